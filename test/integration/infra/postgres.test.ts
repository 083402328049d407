import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createMetrics } from '../../../src/infra/metrics.ts';
import { createDatabase, type Database, isDatabaseUnavailable, waitForDatabase } from '../../../src/infra/postgres.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { quietLog, recordingLog } from '../../support/quiet-log.ts';
import { freePort, startPrivatePostgres } from '../../support/servers.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';

let database: TestDatabase;
const pools: Database[] = [];
const proxies: TcpProxy[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
  await database.db.raw('CREATE TABLE notes (id int PRIMARY KEY, big bigint)');
});
afterAll(async () => {
  for (const proxy of proxies) await proxy.close();
  for (const db of pools) await db.destroy();
  await database.drop();
});

function open(url = database.url, { poolSize = 2, statementTimeoutSeconds = 1 } = {}): Database {
  const db = createDatabase({ url, poolSize, statementTimeoutSeconds });
  pools.push(db);
  return db;
}

async function openThroughProxy(): Promise<{ db: Database; proxy: TcpProxy }> {
  const url = new URL(database.url);
  const proxy = await startTcpProxy({ host: url.hostname, port: Number(url.port || 5432) });
  proxies.push(proxy);
  url.host = `127.0.0.1:${proxy.port}`;
  return { db: open(url.href), proxy };
}

const caught = (pending: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(pending).then(
    () => null,
    (error: unknown) => error,
  );

describe('types', () => {
  test('bigint and counts are numbers, and one that does not fit is an error in place of a wrong number', async () => {
    const db = open();
    await db('notes').insert({ id: 1, big: Number.MAX_SAFE_INTEGER });
    expect(await db('notes').where({ id: 1 }).first()).toEqual({ id: 1, big: Number.MAX_SAFE_INTEGER });
    expect((await db.raw('SELECT count(*) AS n FROM notes')).rows).toEqual([{ n: 1 }]);
    await expect(db.raw('SELECT 9007199254740993::bigint AS n')).rejects.toThrow(/does not fit/);
  });

  test('times are dates, to the millisecond', async () => {
    const at = new Date('2026-03-29T01:30:00.123Z');
    expect((await open().raw('SELECT ?::timestamptz AS at', [at])).rows).toEqual([{ at }]);
  });
});

describe('time limits', () => {
  test('in a transaction the server ends the statement, and the connection goes on serving', async () => {
    const db = open(database.url, { poolSize: 1 });
    const before = (await db.raw('SELECT pg_backend_pid() AS pid')).rows[0].pid;
    const error = await caught(db.transaction((tx) => tx.raw('SELECT pg_sleep(5)')));
    expect(error).toMatchObject({ code: '57014' });
    expect(isDatabaseUnavailable(error)).toBe(true);
    expect((await db.raw('SELECT pg_backend_pid() AS pid')).rows[0].pid).toBe(before);
  });

  test('a lock that is not to be had ends the waiting transaction, not the holder', async () => {
    const db = open(database.url, { statementTimeoutSeconds: 10 });
    await db('notes').insert({ id: 2, big: 0 });
    await db.transaction(async (holder) => {
      await holder('notes').where({ id: 2 }).update({ big: 1 });
      expect(await caught(open().transaction((tx) => tx('notes').where({ id: 2 }).update({ big: 2 })))).toMatchObject({
        code: '57014',
      });
    });
    expect(await db('notes').where({ id: 2 }).pluck('big')).toEqual([1]);
  });

  test('a transaction left idle loses its connection and its locks', async () => {
    const db = open();
    await db('notes').insert({ id: 3, big: 0 });
    const error = await caught(
      db.transaction(async (tx) => {
        await tx('notes').where({ id: 3 }).update({ big: 1 });
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        await tx.raw('SELECT 1');
      }),
    );
    expect(isDatabaseUnavailable(error)).toBe(true);
    expect(await db('notes').where({ id: 3 }).pluck('big')).toEqual([0]);
  });

  test('outside a transaction the client gives the connection up, and the pool replaces it', async () => {
    const db = open(database.url, { poolSize: 1 });
    const before = (await db.raw('SELECT pg_backend_pid() AS pid')).rows[0].pid;
    const error = await caught(db.raw('SELECT pg_sleep(5)'));
    expect(isDatabaseUnavailable(error)).toBe(true);
    expect((await db.raw('SELECT pg_backend_pid() AS pid')).rows[0].pid).not.toBe(before);
  });

  test('a server that goes silent ends a statement in time, and in a transaction nothing is kept', async () => {
    const { db, proxy } = await openThroughProxy();
    await db.raw('SELECT 1');
    proxy.hang();
    expect(isDatabaseUnavailable(await caught(db.transaction((tx) => tx('notes').insert({ id: 4 }))))).toBe(true);
    await proxy.restore();
    expect((await db.raw('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    expect(await db('notes').where({ id: 4 })).toEqual([]);
  });

  test('nothing of them stays behind on the connection', async () => {
    const db = open(database.url, { poolSize: 1 });
    const show = async () =>
      (
        await db.raw(
          "SELECT current_setting('statement_timeout') AS s, current_setting('idle_in_transaction_session_timeout') AS i",
        )
      ).rows[0];
    const before = await show();
    await db.transaction(async (tx) =>
      expect((await tx.raw('SHOW statement_timeout')).rows).toEqual([{ statement_timeout: '1s' }]),
    );
    expect(await show()).toEqual(before);
  });

  test('hold in read-only transactions and at other isolation levels too', async () => {
    const options = { isolationLevel: 'repeatable read', readOnly: true } as const;
    const shown = await open().transaction(
      async (tx) =>
        (await tx.raw("SELECT current_setting('statement_timeout') AS s, current_setting('transaction_isolation') AS l")).rows[0],
      options,
    );
    expect(shown).toEqual({ s: '1s', l: 'repeatable read' });
  });
});

describe('transactions', () => {
  test('a failed statement that was caught does not pass for a commit', async () => {
    const db = open();
    const error = await caught(
      db.transaction(async (tx) => {
        await tx('notes').insert({ id: 5 });
        await caught(tx.raw('SELECT 1/0'));
      }),
    );
    expect(error).toMatchObject({ message: expect.stringContaining('rolled back at COMMIT') });
    expect(await db('notes').where({ id: 5 })).toEqual([]);
  });

  test('one without failures commits', async () => {
    const db = open();
    await db.transaction((tx) => tx('notes').insert({ id: 6 }));
    expect(await db('notes').where({ id: 6 }).pluck('id')).toEqual([6]);
  });

  test('a failure in a savepoint can be caught', async () => {
    const db = open();
    await db.transaction(async (tx) => {
      await tx('notes').insert({ id: 7 });
      await caught(tx.transaction((inner) => inner('notes').insert({ id: 7 })));
    });
    expect(await db('notes').where({ id: 7 }).pluck('id')).toEqual([7]);
  });
});

describe('an absent server', () => {
  test('errors quote no values', async () => {
    const error = await caught(open().raw('SELECT ?::int', ['ann@example.com']));
    expect((error as Error).message).toMatch(/^SELECT \$1::int/);
    const inStatement = (error as Error).message.split(' - ')[0];
    expect(inStatement).not.toContain('ann@example.com');
  });

  test('a refused connection is told at once, and the pool recovers by itself', async () => {
    const { db, proxy } = await openThroughProxy();
    await db.raw('SELECT 1');
    await proxy.cut();
    const startedAt = performance.now();
    expect(isDatabaseUnavailable(await caught(db.raw('SELECT 1')))).toBe(true);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    await proxy.restore();
    expect((await db.raw('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  test('an exhausted pool counts as unavailable', async () => {
    const db = open(database.url, { poolSize: 1, statementTimeoutSeconds: 1 });
    const held = db.transaction(async (tx) => {
      for (let round = 0; round < 3; round += 1) await tx.raw('SELECT pg_sleep(0.5)');
    });
    expect(isDatabaseUnavailable(await caught(db.raw('SELECT 1')))).toBe(true);
    await held;
  });

  test('a server that is shut down in the middle counts as unavailable', async () => {
    const server = await startPrivatePostgres();
    const db = open(server.url, { statementTimeoutSeconds: 10 });
    const asleep = caught(db.raw('SELECT pg_sleep(5)'));
    await db.raw('SELECT 1');
    await server.stop();
    expect(isDatabaseUnavailable(await asleep)).toBe(true);
    expect(isDatabaseUnavailable(await caught(db.raw('SELECT 1')))).toBe(true);
  });

  test('waiting for it ends when it is there, and says that it waits', async () => {
    const { db, proxy } = await openThroughProxy();
    await proxy.cut();
    const { log, lines } = recordingLog();
    const waiting = waitForDatabase(db, { waitSeconds: 10, log });
    setTimeout(() => proxy.restore(), 600);
    await waiting;
    expect(lines).toMatchObject([{ level: 'warn', msg: 'waiting for Postgres' }]);
  });

  test('waiting for it ends with a plain error when the time is over', async () => {
    const db = open(`postgres://u:p@127.0.0.1:${await freePort()}/x`);
    await expect(waitForDatabase(db, { waitSeconds: 1, log: quietLog })).rejects.toMatchObject({
      code: 'unavailable',
      reason: 'database_unreachable',
    });
  });

  test.each([
    ['a wrong password', (url: URL) => (url.password = 'wrong')],
    ['a database that does not exist', (url: URL) => (url.pathname = '/nowhere')],
  ])('%s is told at once: waiting would not help', async (_, change) => {
    const server = new URL(database.url);
    change(server);
    await expect(waitForDatabase(open(server.href), { waitSeconds: 30, log: quietLog })).rejects.toMatchObject({
      reason: 'database_refused',
    });
  });
});

test('the pool reports its connections', async () => {
  const db = open();
  const metrics = createMetrics();
  metrics.watchPool(db);
  await db.transaction(async (tx) => {
    await tx.raw('SELECT 1');
    expect(await metrics.text()).toContain('rollcall_postgres_pool_connections{state="used"} 1');
  });
  expect(await metrics.text()).toContain('rollcall_postgres_pool_connections{state="idle"} 1');
});
