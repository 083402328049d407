import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerError } from '../domain/broker-error.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../infra/embedded-postgres.ts';
import type { Log } from '../infra/log.ts';
import { readMigrationState } from '../infra/migrate.ts';
import type { Settings } from '../settings/schema.ts';
import { createStores, type Stores } from '../stores.ts';
import {
  allConnections,
  lookAtConnection,
  lookAtDatabaseClock,
  lookAtLicence,
  lookAtRedis,
  lookAtSealedSecrets,
  readEndpointStates,
} from './doctor-checks.ts';
import { type Finding, judgeFailure, ok, problem, type Verdict, warning } from './doctor-findings.ts';
import { judgeClock, judgeEndpoint, judgeMigrations } from './doctor-judgement.ts';

export interface DoctorDeps {
  readonly settings: Settings;
  readonly migrationsFolder: string;
  readonly log: Log;
  readonly now: () => Date;
  /** For each check. */
  readonly limitSeconds: number;
}

/** Connections looked at side by side: each may wait for a server that is away. */
const atOnce = 8;

/** Looks at everything that a login and a delivery need, and changes nothing. */
export async function examine(deps: DoctorDeps): Promise<Finding[]> {
  const { settings, log, now } = deps;
  const { url } = settings.redis;
  const [clock, redis, database] = await Promise.all([
    checked('clock', deps, async () => judgeClock(now())),
    checked('Redis', deps, async () =>
      url === null ? ok('not configured: right for one replica') : lookAtRedis(url, settings.redis, log),
    ),
    examineDatabase(deps),
  ]);
  return [{ check: 'settings', ...ok(`mode ${settings.mode}, ${settings.publicUrl}`) }, clock, redis, ...database];
}

const needsDatabase = ['migrations', 'sealing keys', 'licence', 'connections', 'endpoints'];

async function examineDatabase(deps: DoctorDeps): Promise<Finding[]> {
  const opened: { embedded?: EmbeddedPostgres; stores?: Stores } = {};
  try {
    const database = await checked('database', deps, async () => {
      if (deps.settings.postgres.url === null && !existsSync(deps.settings.postgres.embeddedDataFolder)) {
        return problem(
          'there is no DATABASE_URL, and no embedded database yet',
          'Set DATABASE_URL, or start rollcall serve once.',
        );
      }
      opened.stores = await openStores(deps, opened);
      await opened.stores.db.raw('SELECT 1');
      return ok('reached');
    });
    if (database.level === 'ok' && opened.stores) return [database, ...(await examineStored(opened.stores, deps))];
    const unknown = warning('not checked, because the database cannot be used', 'See to the database first.');
    return [database, ...needsDatabase.map((check) => ({ check, ...unknown }))];
  } finally {
    await opened.stores?.close();
    await opened.embedded?.stop();
  }
}

/** Unlike other commands this one leaves the schema as it is. */
async function openStores({ settings, log, now }: DoctorDeps, opened: { embedded?: EmbeddedPostgres }): Promise<Stores> {
  let databaseUrl = settings.postgres.url;
  if (databaseUrl === null) {
    opened.embedded = await startEmbeddedPostgres({ dataFolder: settings.postgres.embeddedDataFolder, log });
    databaseUrl = opened.embedded.url;
  }
  return createStores({ settings, databaseUrl, log, now });
}

async function examineStored(stores: Stores, deps: DoctorDeps): Promise<Finding[]> {
  const { now, migrationsFolder } = deps;
  return [
    await checked('clock of the database', deps, () => lookAtDatabaseClock(stores, now)),
    await checked('migrations', deps, async () =>
      judgeMigrations(await readMigrationState(stores.db, { folder: migrationsFolder })),
    ),
    await checked('sealing keys', deps, () => lookAtSealedSecrets(stores, now)),
    await checked('licence', deps, () => lookAtLicence(stores, now())),
    ...(await examineConnections(stores, deps)),
    ...(await examineEndpoints(stores, deps)),
  ];
}

async function examineConnections(stores: Stores, deps: DoctorDeps): Promise<Finding[]> {
  let enabled: Awaited<ReturnType<typeof allConnections>> = [];
  const list = await checked('connections', deps, async () => {
    const all = await allConnections(stores);
    enabled = all.filter((connection) => connection.enabled);
    return ok(`${enabled.length} enabled, ${all.length - enabled.length} disabled`);
  });
  const findings = [list];
  for (let from = 0; from < enabled.length; from += atOnce) {
    const looks = enabled.slice(from, from + atOnce).map((connection) => {
      const place = connection.workspaceSlug === null ? '' : ` of ${connection.workspaceSlug}`;
      const check = `connection ${connection.displayName}${place}`;
      return checked(check, deps, () => lookAtConnection(connection, { ...deps, stores }));
    });
    findings.push(...(await Promise.all(looks)));
  }
  return findings;
}

async function examineEndpoints(stores: Stores, deps: DoctorDeps): Promise<Finding[]> {
  let findings: Finding[] = [];
  const list = await checked('endpoints', deps, async () => {
    const states = await readEndpointStates(stores);
    findings = states.map((state) => ({ check: `endpoint ${state.url}`, ...judgeEndpoint(state, deps.now()) }));
    const enabled = states.filter((state) => state.enabled).length;
    return ok(`${enabled} enabled, ${states.length - enabled} disabled`);
  });
  return [list, ...findings];
}

/** The one place where a check that fails or hangs becomes a finding like any other. */
async function checked(
  check: string,
  { limitSeconds }: Pick<DoctorDeps, 'limitSeconds'>,
  look: () => Promise<Verdict>,
): Promise<Finding> {
  const ended = new AbortController();
  const late = sleep(limitSeconds * 1_000, undefined, { signal: ended.signal }).then((): never => {
    throw new BrokerError('unavailable', `no result within ${limitSeconds} s`, { reason: 'took_too_long' });
  });
  // Ended early it rejects, with nobody waiting for it any more.
  late.catch(() => {});
  try {
    return { check, ...(await Promise.race([look(), late])) };
  } catch (error) {
    return { check, ...judgeFailure(error) };
  } finally {
    ended.abort();
  }
}
