import type { ExpiringStore } from './expiring-store.ts';
import { storableKey } from './expiring-store-key.ts';
import type { Database } from './postgres.ts';

export interface PostgresStoreOptions {
  readonly db: Database;
  readonly now: () => Date;
}

/** What the fallback store needs on top. */
export interface PostgresStore extends ExpiringStore {
  /** Puts a mark in place of a live value, to stay `extraSeconds` longer, and returns what was there; null, and no change, if nothing was. */
  bury(key: string, mark: string, extraSeconds: number): Promise<string | null>;
  /** Stores only over the live value that is expected: false if something else, or nothing, is there. */
  replace(key: string, expected: string, value: string, ttlSeconds: number): Promise<boolean>;
  /** Whether anything live is stored. */
  holdsAnything(): Promise<boolean>;
}

const writesPerSweep = 500;
const rowsPerSweep = 1_000;

/** On the table `expiring_values`, which a crash of the server empties. Each operation is one statement by primary key. */
export function createPostgresStore({ db, now }: PostgresStoreOptions): PostgresStore {
  let writes = 0;

  const row = (key: string, value: string, ttlSeconds: number) => {
    const at = now();
    return { key: storableKey(key), value: encode(value), expiresAt: new Date(at.getTime() + ttlSeconds * 1_000), now: at };
  };

  /** Expired rows are invisible anyway: they go with every so many writes, a bounded number at a time. */
  const sweep = async (): Promise<void> => {
    writes += 1;
    if (writes % writesPerSweep !== 0) return;
    await db.raw(
      `DELETE FROM expiring_values WHERE key IN (
         SELECT key FROM expiring_values WHERE expires_at <= ? ORDER BY expires_at LIMIT ? FOR UPDATE SKIP LOCKED)`,
      [now(), rowsPerSweep],
    );
  };

  return {
    async set(key, value, ttlSeconds) {
      await db.raw(
        `INSERT INTO expiring_values (key, value, expires_at) VALUES (:key, :value, :expiresAt)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at`,
        row(key, value, ttlSeconds),
      );
      await sweep();
    },
    async add(key, value, ttlSeconds) {
      const { rowCount } = await db.raw(
        `INSERT INTO expiring_values AS held (key, value, expires_at) VALUES (:key, :value, :expiresAt)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at WHERE held.expires_at <= :now`,
        row(key, value, ttlSeconds),
      );
      await sweep();
      return rowCount === 1;
    },
    async get(key) {
      const { rows } = await db.raw('SELECT value FROM expiring_values WHERE key = ? AND expires_at > ?', [
        storableKey(key),
        now(),
      ]);
      return firstValue(rows);
    },
    async take(key) {
      const { rows } = await db.raw('DELETE FROM expiring_values WHERE key = ? AND expires_at > ? RETURNING value', [
        storableKey(key),
        now(),
      ]);
      return firstValue(rows);
    },
    async delete(key) {
      await db.raw('DELETE FROM expiring_values WHERE key = ?', [storableKey(key)]);
    },
    async bury(key, marker, extraSeconds) {
      // FOR UPDATE waits for a rival and then sees what the rival wrote.
      const { rows } = await db.raw(
        `WITH held AS (SELECT key, value FROM expiring_values WHERE key = ? AND expires_at > ? FOR UPDATE)
         UPDATE expiring_values AS buried SET value = ?, expires_at = buried.expires_at + make_interval(secs => ?)
         FROM held WHERE buried.key = held.key RETURNING held.value`,
        [storableKey(key), now(), encode(marker), extraSeconds],
      );
      return firstValue(rows);
    },
    async replace(key, expected, value, ttlSeconds) {
      const { rowCount } = await db.raw(
        'UPDATE expiring_values SET value = :value, expires_at = :expiresAt WHERE key = :key AND value = :expected AND expires_at > :now',
        { ...row(key, value, ttlSeconds), expected: encode(expected) },
      );
      return rowCount === 1;
    },
    async holdsAnything() {
      const { rows } = await db.raw('SELECT EXISTS (SELECT 1 FROM expiring_values WHERE expires_at > ?) AS held', [now()]);
      return (rows as { held: boolean }[])[0]?.held === true;
    },
  };
}

function firstValue(rows: readonly { value: string }[]): string | null {
  return rows[0] === undefined ? null : decode(rows[0].value);
}

// Postgres text cannot hold NUL: a value that has one is written as JSON behind a mark that no other value starts with.
const mark = '\u0001';

function encode(value: string): string {
  return value.includes('\0') || value.startsWith(mark) ? mark + JSON.stringify(value) : value;
}

function decode(stored: string): string {
  return stored.startsWith(mark) ? (JSON.parse(stored.slice(mark.length)) as string) : stored;
}
