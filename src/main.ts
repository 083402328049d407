import { fileURLToPath } from 'node:url';
import { composeBroker } from './compose.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './infra/embedded-postgres.ts';
import { createLog, type Log } from './infra/log.ts';
import { migrate } from './infra/migrate.ts';
import { createDatabase, waitForDatabase } from './infra/postgres.ts';
import { loadSettings } from './settings/load.ts';
import type { Settings } from './settings/schema.ts';
import { createStores, type Stores } from './stores.ts';

export const configFolder = fileURLToPath(new URL('../config', import.meta.url));
export const migrationsFolder = fileURLToPath(new URL('../migrations', import.meta.url));

/** Postgres ready for use: reached, migrated, with the stores on it. */
export interface Opened {
  readonly stores: Stores;
  close(): Promise<void>;
}

/**
 * Finds or starts Postgres, waits for it, and brings the schema up to date.
 * @throws BrokerError `unavailable` when the server does not come in time
 */
export async function openStores(deps: {
  readonly settings: Settings;
  readonly log: Log;
  readonly now: () => Date;
}): Promise<Opened> {
  const { settings, log } = deps;
  const embedded = settings.postgres.url === null ? await startEmbedded(settings, log) : null;
  const databaseUrl = embedded?.url ?? (settings.postgres.url as string);
  try {
    await prepareDatabase(settings, settings.postgres.directUrl ?? databaseUrl, log);
    const stores = createStores({ ...deps, databaseUrl });
    return {
      stores,
      async close() {
        await stores.close();
        await embedded?.stop();
      },
    };
  } catch (error) {
    await embedded?.stop();
    throw error;
  }
}

async function startEmbedded(settings: Settings, log: Log): Promise<EmbeddedPostgres> {
  log.info({ folder: settings.postgres.embeddedDataFolder }, 'no DATABASE_URL: starting the embedded Postgres');
  return startEmbeddedPostgres({ dataFolder: settings.postgres.embeddedDataFolder, log });
}

async function prepareDatabase(settings: Settings, url: string, log: Log): Promise<void> {
  const { startWaitSeconds, statementTimeoutSeconds } = settings.postgres;
  const db = createDatabase({ url, poolSize: 1, statementTimeoutSeconds });
  try {
    await waitForDatabase(db, { waitSeconds: startWaitSeconds, log });
    const applied = await migrate(db, { folder: migrationsFolder, log });
    if (applied.length > 0) log.info({ applied }, 'schema brought up to date');
  } finally {
    await db.destroy();
  }
}

/** Serves until a signal says otherwise. */
export async function serve(env: NodeJS.ProcessEnv): Promise<void> {
  const settings = loadSettings({ env, folder: configFolder });
  const log = createLog({ level: settings.log.level });
  const now = () => new Date();
  const opened = await openStores({ settings, log, now });
  // Whatever fails from here on, the process must end: open connections would keep it alive, neither serving nor started anew.
  try {
    const broker = await composeBroker({ settings, stores: opened.stores, log, now, processMetrics: true });
    try {
      const port = await broker.start();
      log.info({ publicUrl: settings.publicUrl, port }, 'Rollcall serves');
      const signal = await stopSignal();
      log.info({ signal }, 'stopping: requests and deliveries under way may end');
    } finally {
      await broker.stop();
    }
  } finally {
    await opened.close();
  }
  log.info('stopped');
}

function stopSignal(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  process.once('SIGTERM', resolve);
  process.once('SIGINT', resolve);
  return promise;
}

if (import.meta.main) {
  serve(process.env).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
