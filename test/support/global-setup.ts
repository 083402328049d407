import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';
import { createLog } from '../../src/infra/log.ts';
import { migrate } from '../../src/infra/migrate.ts';
import { createDatabase } from '../../src/infra/postgres.ts';
import { stopAbandonedServers } from './abandoned-servers.ts';
import { administer, withDatabase } from './database-administration.ts';
import { startTestPostgres, startTestRedis } from './servers.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** `template`: a migrated database that test files copy. */
    postgres: { adminUrl: string; template: string };
    redisUrl: string | null;
  }
}

const migrationsFolder = fileURLToPath(new URL('../../migrations', import.meta.url));

/** Starts the servers once for the whole run. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await stopAbandonedServers();
  const redis = await startTestRedis();
  if (redis === null && process.env.CI)
    throw new Error('the tests need Redis: set TEST_REDIS_URL, or install redis-server or a container runtime');
  const postgres = await startTestPostgres();
  const template = `rollcall_template_${randomBytes(6).toString('hex')}`;
  await administer(postgres.url, `CREATE DATABASE ${template}`);
  const db = createDatabase({ url: withDatabase(postgres.url, template), poolSize: 1, statementTimeoutSeconds: 60 });
  await migrate(db, { folder: migrationsFolder, log: createLog({ level: 'warn' }) });
  await db.destroy();
  console.log(`Postgres: ${postgres.source}. Redis: ${redis?.source ?? 'none, its tests are skipped'}.`);
  project.provide('postgres', { adminUrl: postgres.url, template });
  project.provide('redisUrl', redis?.url ?? null);
  return async () => {
    await administer(postgres.url, `DROP DATABASE IF EXISTS ${template} WITH (FORCE)`);
    await Promise.all([postgres.stop(), redis?.stop()]);
  };
}
