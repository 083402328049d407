import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BrokerError } from '../domain/broker-error.ts';
import type { Log } from './log.ts';
import { type Database, type Transaction, withoutDeadline } from './postgres.ts';

export interface MigrateOptions {
  /** Holds `0001_name.sql`, `0002_name.sql`, …; forward only, each safe to run while the previous version serves. */
  readonly folder: string;
  readonly log: Log;
}

interface Migration {
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
}

/** Two replicas that start at once take turns: any number, the same for all. A transaction's lock passes through PgBouncer. */
const advisoryLock = 7_265_115_005;

/**
 * Applies the SQL files that this database has not seen, in the order of their names, each in its own transaction.
 * @returns the names of the files applied now
 * @throws BrokerError `conflict` when a file that was applied has changed since
 */
export async function migrate(db: Database, { folder, log }: MigrateOptions): Promise<string[]> {
  const migrations = await readMigrations(folder);
  await db.transaction(async (tx) => {
    await takeTurn(tx);
    await tx.raw(
      'CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())',
    );
  });
  const applied: string[] = [];
  for (const migration of migrations) {
    if (await db.transaction((tx) => applyOnce(tx, migration))) {
      applied.push(migration.name);
      log.info({ migration: migration.name }, 'migration applied');
    }
  }
  await reportUnknown(db, migrations, log);
  return applied;
}

export interface MigrationState {
  /** Not applied yet. */
  readonly missing: readonly string[];
  /** Applied, and another file since. */
  readonly changed: readonly string[];
  /** Applied by a newer version. */
  readonly newer: readonly string[];
}

/** Compares the SQL files with what the database has seen, and changes nothing. */
export async function readMigrationState(db: Database, { folder }: Pick<MigrateOptions, 'folder'>): Promise<MigrationState> {
  const migrations = await readMigrations(folder);
  const { rows: tables } = await db.raw<{ rows: { present: boolean }[] }>(
    "SELECT to_regclass('schema_migrations') IS NOT NULL AS present",
  );
  const rows = tables[0]?.present ? await db('schema_migrations').select<MigrationRow[]>('name', 'checksum') : [];
  const applied = new Map(rows.map(({ name, checksum }) => [name, checksum]));
  const isChanged = ({ name, checksum }: Migration) => applied.has(name) && applied.get(name) !== checksum;
  const known = new Set(migrations.map(({ name }) => name));
  return {
    missing: migrations.filter(({ name }) => !applied.has(name)).map(({ name }) => name),
    changed: migrations.filter(isChanged).map(({ name }) => name),
    newer: [...applied.keys()].filter((name) => !known.has(name)).sort(),
  };
}

type MigrationRow = Pick<Migration, 'name' | 'checksum'>;

async function applyOnce(tx: Transaction, { name, sql, checksum }: Migration): Promise<boolean> {
  await takeTurn(tx);
  const known = await tx('schema_migrations').where({ name }).first<{ checksum: string } | undefined>('checksum');
  if (known?.checksum === checksum) return false;
  if (known !== undefined) {
    throw new BrokerError('conflict', `${name} was changed after it had been applied; write a new migration instead`, {
      reason: 'migration_changed',
    });
  }
  // knex takes a question mark for a placeholder, SQL for an operator.
  await tx.raw(sql.replaceAll('?', '\\?')).options(withoutDeadline);
  await tx('schema_migrations').insert({ name, checksum });
  return true;
}

async function takeTurn(tx: Transaction): Promise<void> {
  await tx.raw('SET LOCAL statement_timeout = 0').options(withoutDeadline);
  await tx.raw('SELECT pg_advisory_xact_lock(?)', [advisoryLock]).options(withoutDeadline);
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  const misnamed = names.find((name) => !/^\d{4}_[a-z0-9_]+\.sql$/.test(name));
  if (misnamed !== undefined) throw new BrokerError('internal', `migration ${misnamed}: name it 0001_words.sql`);
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(join(folder, name), 'utf8');
      if (sql.includes('\\?'))
        throw new BrokerError('internal', `migration ${name}: a backslash before a question mark cannot be passed on`);
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

/** During a rolling upgrade the older version meets a newer schema: that is allowed, and said. */
async function reportUnknown(db: Database, migrations: readonly Migration[], log: Log): Promise<void> {
  const names = migrations.map(({ name }) => name);
  const newer = await db('schema_migrations').whereNotIn('name', names).orderBy('name').pluck<string[]>('name');
  if (newer.length > 0) log.warn({ migrations: newer }, 'the database has migrations of a newer version');
}
