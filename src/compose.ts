import { randomUUID } from 'node:crypto';
import { createDeliveryWorker } from './delivery/worker.ts';
import { renderErrorPage } from './http/pages.ts';
import { scopeOfChange, writePlannedChange } from './http/planned-change.ts';
import { createRateLimit } from './http/rate-limit.ts';
import { createHttpServer } from './http/server.ts';
import { createCache } from './infra/cache.ts';
import type { ExpiringStore } from './infra/expiring-store.ts';
import { createFallbackStore } from './infra/expiring-store-fallback.ts';
import { createMemoryStore } from './infra/expiring-store-memory.ts';
import { createPostgresStore } from './infra/expiring-store-postgres.ts';
import { createRedisStore } from './infra/expiring-store-redis.ts';
import type { InstanceKeySet } from './infra/instance-keys.ts';
import type { Log } from './infra/log.ts';
import { createMetrics, type Metrics } from './infra/metrics.ts';
import type { Database } from './infra/postgres.ts';
import { connectRedis, type RedisClient } from './infra/redis.ts';
import { createLoginCompletion } from './login/complete.ts';
import type { LoginHints } from './login/connection-candidates.ts';
import { connectionSecretContext } from './login/connection-store.ts';
import { createPendingLoginStore } from './login/pending-login-store.ts';
import { createRefusalRecorder } from './login/refusal.ts';
import { createLoginStart } from './login/start.ts';
import { createSweeper } from './login/sweeper.ts';
import { createSyncContexts } from './login/sync-context.ts';
import { createTraceStore } from './login/trace-store.ts';
import { createApplyLogin } from './membership/apply.ts';
import { createPlans } from './membership/plan.ts';
import { createSimulate } from './membership/simulate.ts';
import { createUserLifecycle } from './membership/user-lifecycle.ts';
import { createExplainWhyNot } from './membership/why-not-store.ts';
import { createRelyingParty } from './oidc/relying-party.ts';
import { readEvents } from './outbox/read.ts';
import { createProvider } from './provider/provider.ts';
import { createResponseVerifier } from './saml/response.ts';
import { createServiceProvider } from './saml/service-provider.ts';
import type { Settings } from './settings/schema.ts';
import type { Stores } from './stores.ts';

/** How old a login's view of connections, mappings and catalogues may be; changes made through this process show at once. */
const contextSeconds = 2;
/** About 100 MB at the most: pending logins and provider artifacts of 50,000 logins under way. */
const maxMemoryEntries = 200_000;

export interface Broker {
  /** @returns the port that was taken */
  start(): Promise<number>;
  /** Takes no more requests, lets what is under way end, then closes Redis. The stores stay open. */
  stop(): Promise<void>;
}

/** One complete broker from its parts, each by name. Nothing is shared with another broker in the same process (law 12). */
export async function composeBroker(deps: BrokerDeps): Promise<Broker> {
  const { url } = deps.settings.redis;
  const redis = url === null ? null : connectRedis({ ...deps.settings.redis, url, log: deps.log });
  try {
    return await composeOn(redis, deps);
  } catch (error) {
    // An open connection would keep a process alive whose start failed.
    redis?.disconnect();
    throw error;
  }
}

interface BrokerDeps {
  readonly settings: Settings;
  readonly stores: Stores;
  readonly log: Log;
  readonly now: () => Date;
  /** Process metrics as well; for one broker of a process. */
  readonly processMetrics?: boolean;
}

async function composeOn(redis: RedisClient | null, deps: BrokerDeps): Promise<Broker> {
  const { settings, stores, log, now } = deps;
  const { db, connections, outbound, sealedBox, licences } = stores;
  const { publicUrl } = settings;
  const metrics = createMetrics({ processMetrics: deps.processMetrics ?? false });
  metrics.watchPool(db);
  const expiring = createExpiringStore({ redis, db, metrics, log, now });
  await stores.instanceKeys.ensure();
  const keys = await stores.instanceKeys.load();
  await licences.refresh({ announce: true });

  const worker = createDeliveryWorker({
    db,
    outbound,
    sealedBox,
    now,
    log,
    ...settings.delivery,
    workerId: randomUUID(),
    drainSeconds: settings.http.drainSeconds,
  });
  const login = composeLogin({ settings, stores, keys, expiring, metrics, onChange: worker.wake, log, now });
  const provider = createProvider({
    issuer: `${publicUrl}/oidc`,
    store: expiring,
    findClient: stores.clients.find,
    loadAccount: stores.memberships.loadAccount,
    signingKeys: keys.tokenSigning,
    defaultSigningAlgorithm: settings.provider.tokenSigningAlgorithm,
    cookieKeys: settings.secrets.cookieKeys,
    lifetimes: { ...settings.provider, pendingLoginSeconds: settings.login.pendingLoginSeconds },
    sessionLifetimeSeconds: settings.login.sessionLifetimeSeconds,
    sessionsAllowed: () => licences.refusal() === null,
    log,
    renderError: ({ error, reference }) => renderErrorPage({ error, reference }),
    now,
  });
  const changeDeps = { sealedBox, roles: stores.ladder, now };
  const plans = createPlans({
    db,
    ladder: stores.ladder,
    now,
    log,
    writeChange: (tx, change) => writePlannedChange(tx, change, changeDeps),
    lossThresholdPercent: settings.groupSync.planLossThresholdPercent,
    settleMilliseconds: contextSeconds * 1_000,
    waitMilliseconds: (settings.http.requestTimeoutSeconds * 1_000) / 2,
    onChange({ connectionIds, workspaceIds }) {
      for (const connectionId of connectionIds) login.forgetConnection(connectionId);
      for (const workspaceId of workspaceIds) login.forgetCatalogue(workspaceId);
    },
    onEvents: worker.wake,
  });
  const traces = createTraceStore({ db });
  const requestsPerMinute = settings.http.loginsPerMinutePerAddress;
  const http = createHttpServer({
    publicUrl,
    settings: settings.http,
    pendingLoginSeconds: settings.login.pendingLoginSeconds,
    log,
    now,
    oidcHandler: provider.handler,
    login: {
      provider,
      ...login.routes,
      otherSignInUrl: settings.licence.otherSignInUrl,
      limits: {
        authorize: createRateLimit({ name: 'login-authorize', requestsPerMinute, redis }),
        start: createRateLimit({ name: 'login-start', requestsPerMinute, redis }),
        answer: createRateLimit({ name: 'login-answer', requestsPerMinute, redis }),
      },
    },
    api: {
      allowHttp: settings.outbound.allowHttp,
      apiKeys: stores.apiKeys,
      audit: stores.audit,
      idempotency: stores.idempotency,
      connections,
      domains: stores.domains,
      identities: stores.identities,
      licences,
      workspaces: stores.workspaces,
      catalogue: stores.catalogue,
      catalogueChanges: stores.catalogueChanges,
      syncLists: stores.syncLists,
      workspaceLifecycle: stores.workspaceLifecycle,
      users: stores.users,
      userLifecycle: createUserLifecycle({ db, revokeUser: provider.revokeUser, seatLimit: licences.seatLimit, now }),
      manualEdits: stores.manualEdits,
      onEvents: worker.wake,
      members: stores.memberships,
      plans,
      planLossThresholdPercent: settings.groupSync.planLossThresholdPercent,
      scopeOfChange: (change) => scopeOfChange(db, change, changeDeps),
      simulate: createSimulate({ db, ladder: stores.ladder }),
      explainWhyNot: createExplainWhyNot({ db, ladder: stores.ladder }),
      endpoints: stores.endpoints,
      clients: stores.clients,
      readEvents: (filter) => readEvents(db, filter),
      findLogin: traces.find,
      onConnectionChange: login.forgetConnection,
      onCatalogueChange: login.forgetCatalogue,
    },
    checkDatabase: () => db.raw('SELECT 1'),
    metrics,
  });
  const sweeper = createSweeper({ db, now, log, traceDays: settings.retention.loginTraceDays });

  return {
    async start() {
      const port = await http.listen(settings.http);
      if (settings.delivery.enabled) worker.start();
      sweeper.start();
      licences.start();
      return port;
    },
    async stop() {
      sweeper.stop();
      await Promise.all([http.close(), plans.stop(), worker.stop(), licences.stop()]);
      redis?.disconnect();
    },
  };
}

/** The login itself: from the app's request to the IdP and from its answer to the membership. */
function composeLogin(deps: {
  readonly settings: Settings;
  readonly stores: Stores;
  readonly keys: InstanceKeySet;
  readonly expiring: ExpiringStore;
  readonly metrics: Metrics;
  readonly onChange: () => void;
  readonly log: Log;
  readonly now: () => Date;
}) {
  const { settings, stores, keys, metrics, log, now } = deps;
  const { db, ladder, connections, outbound, sealedBox, licences } = stores;
  const { publicUrl, saml } = settings;
  const pendingLogins = createPendingLoginStore({
    store: deps.expiring,
    pendingLoginSeconds: settings.login.pendingLoginSeconds,
  });
  const recordRefusal = createRefusalRecorder({ pendingLogins, saveTrace: createTraceStore({ db }).save, log, now });
  const contexts = createSyncContexts({
    loadForLogin: connections.loadForLogin,
    loadCatalogue: stores.catalogue.loadCatalogue,
    ladder,
    limits: settings.groupSync,
    cacheSeconds: contextSeconds,
    now,
  });
  const serviceProvider = createServiceProvider({
    publicUrl,
    signing: keys.samlSigning,
    decryption: keys.samlDecryption,
    verifier: createResponseVerifier(saml),
    maxMetadataBytes: saml.maxMetadataBytes,
    now,
  });
  const relyingParty = createRelyingParty({
    outbound,
    openSecret: (sealed, connectionId) => sealedBox.open(sealed, connectionSecretContext(connectionId)),
    redirectUri: (connectionId) => `${publicUrl}/callback/${connectionId}`,
    now,
    ...settings.outbound,
  });
  const loadConnection = async (connectionId: string) => (await contexts.connection(connectionId))?.connection ?? null;
  const candidates = createCache({
    maxEntries: 10_000,
    ttlSeconds: contextSeconds,
    load: (hints) => connections.candidates(JSON.parse(hints) as LoginHints),
  });
  const startLogin = createLoginStart({
    candidates: (hints) => candidates.get(JSON.stringify(hints)),
    homeRealm: stores.homeRealm,
    licenceRefusal: licences.refusal,
    loadConnection,
    pendingLogins,
    serviceProvider,
    relyingParty,
    recordRefusal,
    now,
  });
  const completion = createLoginCompletion({
    pendingLogins,
    contexts,
    serviceProvider,
    relyingParty,
    applyLogin: createApplyLogin({ db, ladder, seatLimit: licences.seatLimit, now }),
    licence: licences,
    recordRefusal,
    log,
    onChange: deps.onChange,
    onOutcome: (protocol, outcome) => metrics.countLogin(outcome, protocol),
    now,
  });
  return {
    routes: {
      startLogin,
      ...completion,
      takeOutcome: pendingLogins.takeOutcome,
      async renderMetadata(connectionId: string): Promise<string | null> {
        const connection = await loadConnection(connectionId);
        return connection?.protocol.type === 'saml' ? serviceProvider.metadata(connectionId) : null;
      },
    },
    forgetConnection(connectionId: string): void {
      candidates.clear();
      contexts.forgetConnection(connectionId);
      serviceProvider.forget(connectionId);
      relyingParty.forget(connectionId);
    },
    forgetCatalogue: contexts.forgetCatalogue,
  };
}

function createExpiringStore(deps: {
  readonly redis: RedisClient | null;
  readonly db: Database;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly now: () => Date;
}): ExpiringStore {
  const { redis, db, metrics, log, now } = deps;
  if (redis === null) {
    log.warn('no REDIS_URL: logins under way are kept in this process, which is right for one replica only');
    return createMemoryStore({ now, maxEntries: maxMemoryEntries });
  }
  return createFallbackStore({
    first: createRedisStore({ redis }),
    second: createPostgresStore({ db, now }),
    log,
    onFallback: metrics.countStoreFallback,
  });
}
