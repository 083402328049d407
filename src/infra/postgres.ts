import { setTimeout as sleep } from 'node:timers/promises';
import knex, { type Knex } from 'knex';
import pg from 'pg';
import { BrokerError } from '../domain/broker-error.ts';
import type { Log } from './log.ts';

export type Database = Knex;
export type Transaction = Knex.Transaction;

export interface DatabaseOptions {
  readonly url: string;
  readonly poolSize: number;
  readonly statementTimeoutSeconds: number;
  /** Told what the pool says of connections that come and go, at the level `debug`: whoever uses one gets the error itself. */
  readonly log?: Log;
}

/** How long past the statement's own limit the client waits before it gives the connection up. */
const graceMilliseconds = 1_000;
const connectMilliseconds = 5_000;

/**
 * A pool of connections that works through PgBouncer in transaction mode: no session state, no named prepared statements, and no
 * start-up parameter that PgBouncer does not know. `statement_timeout` is therefore neither a start-up parameter (PgBouncer
 * refuses the connection) nor a `SET` after connecting (it would stay behind on a server connection of somebody else). Instead
 *   - each transaction opens with `BEGIN; SET LOCAL statement_timeout …` in one message and one round trip: the server itself
 *     ends a statement, and a transaction left idle, and frees their locks;
 *   - each statement, in a transaction or not, has a deadline of the same length and a second in the client, which ends the
 *     connection: nothing waits for ever on a server or a network that went silent.
 *
 * `bigint` columns are read as numbers (beyond 2^53 they are an error), timestamps as `Date`.
 *
 * @throws at use, not here: `isDatabaseUnavailable` tells an absent server from a mistake
 */
export function createDatabase({ url, poolSize, statementTimeoutSeconds, log }: DatabaseOptions): Database {
  const limitMilliseconds = statementTimeoutSeconds * 1_000;
  return knex({
    client: 'pg',
    // Newer servers are treated alike; naming one spares each new connection a `SELECT version()`.
    version: '15',
    connection: {
      connectionString: url,
      application_name: 'rollcall',
      connectionTimeoutMillis: connectMilliseconds,
      keepAlive: true,
      types: columnTypes,
    },
    pool: {
      min: 0,
      max: poolSize,
      idleTimeoutMillis: 30_000,
      afterCreate: (connection: pg.Client, done: (error: Error | null, connection: pg.Client) => void) => {
        limitStatements(connection, limitMilliseconds);
        done(null, connection);
      },
    },
    // Nobody waits longer for a connection than for a statement.
    acquireConnectionTimeout: Math.min(connectMilliseconds, limitMilliseconds),
    // Error messages quote the statement with its placeholders, not with its values: they go to the log.
    compileSqlOnError: false,
    log: knexLog(log),
  });
}

function knexLog(log: Log | undefined) {
  // knex passes strings, errors and their mixtures.
  const tell = (message: unknown) =>
    log?.debug({ err: message instanceof Error ? message : new Error(String(message)) }, 'Postgres pool');
  return { debug: tell, deprecate: tell, warn: tell, error: tell };
}

const int8 = 20;

const columnTypes = {
  getTypeParser(oid: number): (text: string) => unknown {
    return oid === int8 ? parseSafeInteger : pg.types.getTypeParser(oid, 'text');
  },
};

function parseSafeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`bigint ${text} does not fit a JavaScript number`);
  return value;
}

/** A statement that outlives the limit by nature, such as a migration: `tx.raw(sql).options(withoutDeadline)`. */
export const withoutDeadline: Readonly<Record<string, unknown>> = { rollcallWithoutDeadline: true };

interface StatementConfig {
  text: string;
  rollcallWithoutDeadline?: boolean;
}
type StatementCallback = (error: Error | null, result?: pg.QueryResult) => void;
/** How knex calls pg: always with a config and a callback. */
type Query = (config: StatementConfig, callback: StatementCallback) => unknown;

function limitStatements(connection: pg.Client, limitMilliseconds: number): void {
  const query = connection.query.bind(connection) as unknown as Query;
  const limits = `SET LOCAL statement_timeout = ${limitMilliseconds}; SET LOCAL idle_in_transaction_session_timeout = ${limitMilliseconds};`;
  const limited: Query = (config, callback) => {
    if (config.text.startsWith('BEGIN')) config.text = `${config.text} ${limits}`;
    const timer = config.rollcallWithoutDeadline
      ? undefined
      : setTimeout(() => endConnection(connection, limitMilliseconds), limitMilliseconds + graceMilliseconds);
    return query(config, (error, result) => {
      clearTimeout(timer);
      callback(error ?? commitError(config, result), result);
    });
  };
  Object.assign(connection, { query: limited });
}

function endConnection(connection: pg.Client, limitMilliseconds: number): void {
  const error = Object.assign(new Error(`no answer from Postgres within ${limitMilliseconds + graceMilliseconds} ms`), {
    code: 'ETIMEDOUT',
  });
  connection.connection.stream.destroy(error);
}

/** Postgres answers COMMIT of a transaction in which a statement failed with ROLLBACK and no error: nobody may take that for success. */
function commitError(config: StatementConfig, result: pg.QueryResult | undefined): Error | null {
  if (config.text !== 'COMMIT;' || result?.command !== 'ROLLBACK') return null;
  return new Error('the transaction was rolled back at COMMIT, because one of its statements had failed');
}

const unavailableCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  '53300', // too_many_connections
  '57014', // query_canceled: the statement's time limit
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now: it starts or recovers
  '57P05', // idle_session_timeout
  '25P03', // idle_in_transaction_session_timeout
  '25006', // read_only_sql_transaction: connected to a replica during a failover
]);
const unavailableMessages =
  /Connection terminated|Connection ended|connection timeout|timeout expired|not queryable|Client was closed|Timeout acquiring a connection|server conn crashed|server_login_retry|query_wait_timeout/i;

/** Whether the server is away, starting, overloaded or cut off, as against a mistake in the statement or its values. */
export function isDatabaseUnavailable(error: unknown): boolean {
  // A BrokerError is a verdict already; its cause may be a refused connection to somebody else, such as an IdP.
  if (!(error instanceof Error) || error instanceof BrokerError) return false;
  const { code } = error as { code?: unknown };
  // SQLSTATE class 08 (PostgreSQL, appendix A): connection exceptions; PgBouncer answers with them too.
  if (typeof code === 'string' && (unavailableCodes.has(code) || /^08[0-9A-Z]{3}$/.test(code))) return true;
  return unavailableMessages.test(error.message) || isDatabaseUnavailable(error.cause);
}

export interface WaitOptions {
  readonly waitSeconds: number;
  readonly log: Log;
}

const retryMilliseconds = 250;
const remindMilliseconds = 5_000;

/**
 * Waits until the server answers, and says that it waits. A refusal that waiting cannot cure (password, missing database) is
 * thrown at once.
 * @throws BrokerError `unavailable` after `waitSeconds`
 */
export async function waitForDatabase(db: Database, { waitSeconds, log }: WaitOptions): Promise<void> {
  const startedAt = performance.now();
  let remindedAt = Number.NEGATIVE_INFINITY;
  for (;;) {
    try {
      await db.raw('SELECT 1');
      return;
    } catch (error) {
      if (!isDatabaseUnavailable(error)) {
        throw new BrokerError(
          'unavailable',
          'Postgres refuses the connection; check the address, user, password and database in DATABASE_URL',
          {
            cause: error,
            reason: 'database_refused',
          },
        );
      }
      const waited = performance.now() - startedAt;
      if (waited > waitSeconds * 1_000) {
        throw new BrokerError(
          'unavailable',
          `Postgres did not answer within ${waitSeconds} s; is DATABASE_URL right and the server running?`,
          {
            cause: error,
            reason: 'database_unreachable',
          },
        );
      }
      if (performance.now() - remindedAt > remindMilliseconds) {
        remindedAt = performance.now();
        log.warn({ err: error, waitedSeconds: Math.round(waited / 1_000), waitSeconds }, 'waiting for Postgres');
      }
      await sleep(retryMilliseconds);
    }
  }
}
