import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { migrate } from '../../../src/infra/migrate.ts';
import { createDatabase } from '../../../src/infra/postgres.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { quietLog, recordingLog } from '../../support/quiet-log.ts';

let database: TestDatabase;
let folder: string;
const cleanups: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  database = await createTestDatabase();
  await database.db.raw('TRUNCATE schema_migrations');
  const made = await mkdtemp(join(tmpdir(), 'rollcall-migrations-'));
  folder = made;
  cleanups.push(database.drop, () => rm(made, { recursive: true }));
});
afterAll(async () => {
  for (const cleanup of cleanups) await cleanup();
});

const write = (name: string, sql: string) => writeFile(join(folder, name), sql);
const run = () => migrate(database.db, { folder, log: quietLog });

test('applies what is new, in the order of the names, and nothing twice', async () => {
  await write('0002_second.sql', 'INSERT INTO notes SELECT count(*) FROM notes;');
  await write('0001_first.sql', 'CREATE TABLE notes (n bigint); INSERT INTO notes VALUES (7);');
  expect(await run()).toEqual(['0001_first.sql', '0002_second.sql']);
  expect(await run()).toEqual([]);
  await write('0003_third.sql', 'INSERT INTO notes VALUES (3);');
  expect(await run()).toEqual(['0003_third.sql']);
  expect(await database.db('notes').orderBy('n').pluck('n')).toEqual([1, 3, 7]);
});

test('of ten processes that start at once, each file is applied by one', async () => {
  await database.db.raw('DROP TABLE schema_migrations');
  await write('0001_first.sql', 'CREATE TABLE notes (n int); SELECT pg_sleep(0.2);');
  await write('0002_second.sql', 'INSERT INTO notes VALUES (1);');
  const pools = Array.from({ length: 10 }, () => createDatabase({ url: database.url, poolSize: 1, statementTimeoutSeconds: 10 }));
  const applied = await Promise.all(pools.map((db) => migrate(db, { folder, log: quietLog })));
  await Promise.all(pools.map((db) => db.destroy()));
  expect(applied.flat().sort()).toEqual(['0001_first.sql', '0002_second.sql']);
  expect(await database.db('notes').pluck('n')).toEqual([1]);
});

test('a file that fails leaves nothing of itself, keeps those before it, and can be corrected', async () => {
  await write('0001_first.sql', 'CREATE TABLE notes (n int);');
  await write('0002_second.sql', 'INSERT INTO notes VALUES (1); INSERT INTO nowhere VALUES (1);');
  await expect(run()).rejects.toThrow(/nowhere/);
  expect(await database.db('notes').pluck('n')).toEqual([]);
  await write('0002_second.sql', 'INSERT INTO notes VALUES (2);');
  expect(await run()).toEqual(['0002_second.sql']);
});

test('a file that was changed after it was applied is refused', async () => {
  await write('0001_first.sql', 'CREATE TABLE notes (n int);');
  await run();
  await write('0001_first.sql', 'CREATE TABLE notes (n bigint);');
  await expect(run()).rejects.toMatchObject({ code: 'conflict', reason: 'migration_changed' });
});

test('may run longer than the time limit of ordinary statements', async () => {
  const db = createDatabase({ url: database.url, poolSize: 1, statementTimeoutSeconds: 1 });
  await write('0001_slow.sql', 'SELECT pg_sleep(2.2);');
  expect(await migrate(db, { folder, log: quietLog })).toEqual(['0001_slow.sql']);
  await db.destroy();
});

test('question marks and dollar quotes reach the server as they are', async () => {
  await write(
    '0001_odd.sql',
    `CREATE TABLE notes AS SELECT '{"a":1}'::jsonb ? 'a' AS found, 'why?' AS text, $$ :name ?? $$ AS quoted;`,
  );
  await run();
  expect(await database.db('notes').first()).toEqual({ found: true, text: 'why?', quoted: ' :name ?? ' });
});

test('migrations of a newer version are allowed and reported: the old one still serves during an upgrade', async () => {
  await write('0001_first.sql', 'CREATE TABLE notes (n int);');
  await run();
  await database.db('schema_migrations').insert({ name: '0002_newer.sql', checksum: 'x' });
  const { log, lines } = recordingLog();
  expect(await migrate(database.db, { folder, log })).toEqual([]);
  expect(lines).toMatchObject([{ level: 'warn', migrations: ['0002_newer.sql'] }]);
});

test('a file with a name that does not sort is refused before anything runs', async () => {
  await write('0001_first.sql', 'CREATE TABLE notes (n int);');
  await write('10_late.sql', 'SELECT 1;');
  await expect(run()).rejects.toThrow(/10_late\.sql/);
  expect(await database.db.schema.hasTable('notes')).toBe(false);
});
