import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';
import { createDatabase, type Database } from '../../src/infra/postgres.ts';
import { administer, withDatabase } from './database-administration.ts';

export { administer, withDatabase };

export interface TestDatabase {
  readonly url: string;
  readonly db: Database;
  /** Ends the pool and drops the database. */
  drop(): Promise<void>;
}

export interface TestDatabaseOptions {
  readonly poolSize?: number;
  readonly statementTimeoutSeconds?: number;
}

/** A migrated database of the caller's own, copied from a template: call it once per test file, in `beforeAll`. */
export async function createTestDatabase({
  poolSize = 10,
  statementTimeoutSeconds = 10,
}: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const { adminUrl, template } = inject('postgres');
  const name = `test_${randomBytes(6).toString('hex')}`;
  await administer(adminUrl, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  const url = withDatabase(adminUrl, name);
  const db = createDatabase({ url, poolSize, statementTimeoutSeconds });
  return {
    url,
    db,
    async drop() {
      await db.destroy();
      await administer(adminUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
}
