import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { BrokerError } from '../domain/broker-error.ts';
import { locateBinaries, prepareBinaries } from './embedded-postgres-binaries.ts';
import { type Credentials, createCluster, readPassword, userName } from './embedded-postgres-cluster.ts';
import { claimServer, stillOwns } from './embedded-postgres-owner.ts';
import { preparePlace } from './embedded-postgres-place.ts';
import { ensureServer, type Server, stopServer } from './embedded-postgres-server.ts';
import type { Log } from './log.ts';

export interface EmbeddedPostgresOptions {
  /** Where the data lives; made when missing. Its `cluster` folder holds the data and the generated password (mode 0600). */
  readonly dataFolder: string;
  readonly log: Log;
  /** Holds `bin/postgres` and `bin/initdb`; those of the npm package unless told. */
  readonly binariesFolder?: string;
  /** Off for tests only: nothing is flushed to the disk. */
  readonly durable?: boolean;
  /** Tried in order when root's data folder cannot be entered by the account that runs the server. */
  readonly reachableFolders?: readonly string[];
}

export interface EmbeddedPostgres {
  readonly url: string;
  /** Stops the server, unless another live process started or took it over. */
  stop(): Promise<void>;
}

const databaseName = 'rollcall';

/**
 * Runs a real Postgres server on a data folder: on loopback TCP only, at a free port, with a generated password.
 * A server left running by a process that was killed is found and taken over; of two processes that start on one folder the
 * second uses the first one's server, which ends with the first. Postgres refuses to run as root: then it runs as the folder's
 * owner or as `nobody`.
 * @throws BrokerError `unavailable` with what to do: no binaries for this platform, data of another major version, no permission
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { dataFolder, log, durable = true } = options;
  const place = await preparePlace({ dataFolder, log, reachableFolders: options.reachableFolders ?? ['/var/lib', '/var/tmp'] });
  const binaries = await prepareBinaries({ folder: options.binariesFolder ?? locateBinaries(), place, log });
  const cluster = join(place.home, 'cluster');
  await refuseOtherMajor(cluster, binaries.major);
  await createCluster({ cluster, binaries, place, durable, log });
  const credentials = { user: userName, password: await readPassword(cluster) };
  const server = await ensureServer({ cluster, binaries, place, credentials, durable, log });
  await createDatabaseOnce(server, credentials);
  const token = await claimServer(place, server);
  return {
    url: urlOf(server, credentials),
    async stop() {
      if (token !== null && (await stillOwns(place, token))) await stopServer(cluster, server, log);
    },
  };
}

async function refuseOtherMajor(cluster: string, major: number): Promise<void> {
  const found = await readFile(join(cluster, 'PG_VERSION'), 'utf8').catch(() => null);
  if (found === null || Number.parseInt(found, 10) === major) return;
  throw new BrokerError(
    'unavailable',
    `the data folder ${cluster} was written by PostgreSQL ${found.trim()}, but this Rollcall brings PostgreSQL ${major}, which cannot read it. ` +
      'To start afresh, delete the folder. To keep the data, dump it with the old version and restore it, or run a server of the old version ' +
      'on the folder and name it in DATABASE_URL.',
    { reason: 'embedded_postgres_version' },
  );
}

async function createDatabaseOnce(server: Server, credentials: Credentials): Promise<void> {
  const client = new pg.Client({ host: '127.0.0.1', port: server.port, database: 'postgres', ...credentials });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [databaseName]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${databaseName}`);
  } catch (error) {
    // duplicate_database or unique_violation: the other of two processes that start at once was quicker.
    if (!['42P04', '23505'].includes(String((error as { code?: unknown }).code))) throw error;
  } finally {
    await client.end();
  }
}

function urlOf(server: Server, { user, password }: Credentials): string {
  return `postgres://${user}:${encodeURIComponent(password)}@127.0.0.1:${server.port}/${databaseName}`;
}
