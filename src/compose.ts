import { createPublicKey } from 'node:crypto';
import { composeDelivery } from './compose-delivery.ts';
import { composeExpiringStore } from './compose-expiring-store.ts';
import { composeLogin } from './compose-login.ts';
import { watchEndpoints } from './delivery/health-metrics.ts';
import { renderErrorPage } from './http/pages.ts';
import { scopeOfChange, writePlannedChange } from './http/planned-change.ts';
import { createRateLimit } from './http/rate-limit.ts';
import { createHttpServer } from './http/server.ts';
import { createInstanceKeyWatch } from './infra/instance-key-watch.ts';
import type { Log } from './infra/log.ts';
import { createMetrics } from './infra/metrics.ts';
import { createNotifications } from './infra/notifications.ts';
import { connectRedis, type RedisClient } from './infra/redis.ts';
import { createSweeper } from './login/sweeper.ts';
import { createSyncCaches } from './login/sync-caches.ts';
import { createTraceStore } from './login/trace-store.ts';
import { createPlans } from './membership/plan.ts';
import { createSimulate } from './membership/simulate.ts';
import { createUserLifecycle } from './membership/user-lifecycle.ts';
import { createExplainWhyNot } from './membership/why-not-store.ts';
import { readEvent, readEvents } from './outbox/read.ts';
import { createRenewableProvider } from './provider/renewable-provider.ts';
import type { Settings } from './settings/schema.ts';
import type { Stores } from './stores.ts';

/** How soon a process follows a rotation of the instance's keys; the new ones sign much later. */
const keyRefreshSeconds = 30;

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
  const { db, connections, sealedBox, licences } = stores;
  const { publicUrl } = settings;
  const metrics = createMetrics({ processMetrics: deps.processMetrics ?? false });
  metrics.watchPool(db);
  watchEndpoints({ db, registry: metrics.registry, log });
  const expiring = composeExpiringStore({ redis, db, sealedBox, metrics, log, now });
  const notifications = createNotifications({ url: stores.directDatabaseUrl, log });
  await stores.instanceKeys.ensure();
  const firstKeys = await stores.instanceKeys.load();
  const keys = createInstanceKeyWatch({
    load: stores.instanceKeys.load,
    first: firstKeys,
    refreshSeconds: keyRefreshSeconds,
    onChange: ({ tokenSigning }) => provider.useSigningKeys(tokenSigning),
    log,
  });
  await licences.refresh({ announce: true });

  const delivery = composeDelivery({ settings, stores, keys: keys.current, notifications, log, now });
  const caches = createSyncCaches({
    db,
    redis,
    notifications,
    sealedBox,
    loadCandidates: connections.candidates,
    limits: settings.cache,
    onConnectionRevised: (connectionId) => login.forgetIdp(connectionId),
    onLookup: metrics.countCacheLookup,
    log,
  });
  const login = composeLogin({
    settings,
    stores,
    caches,
    keys: keys.current,
    expiring,
    metrics,
    onChange: delivery.wake,
    log,
    now,
  });
  const provider = createRenewableProvider({
    issuer: `${publicUrl}/oidc`,
    store: expiring,
    findClient: stores.clients.find,
    loadAccount: stores.memberships.loadAccount,
    signingKeys: firstKeys.tokenSigning,
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
    settleMilliseconds: settings.cache.maxStaleSeconds * 1_000,
    waitMilliseconds: (settings.http.requestTimeoutSeconds * 1_000) / 2,
    onChange({ connectionIds, workspaceIds }) {
      for (const connectionId of connectionIds) caches.changed('connection', connectionId);
      for (const workspaceId of workspaceIds) caches.changed('catalogue', workspaceId);
    },
    onEvents: delivery.wake,
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
      revokeUser: provider.revokeUser,
      licences,
      workspaces: stores.workspaces,
      catalogue: stores.catalogue,
      catalogueChanges: stores.catalogueChanges,
      syncLists: stores.syncLists,
      workspaceLifecycle: stores.workspaceLifecycle,
      users: stores.users,
      userLifecycle: createUserLifecycle({ db, revokeUser: provider.revokeUser, seatLimit: licences.seatLimit, now }),
      manualEdits: stores.manualEdits,
      onEvents: delivery.wake,
      members: stores.memberships,
      snapshots: stores.snapshots,
      plans,
      planLossThresholdPercent: settings.groupSync.planLossThresholdPercent,
      scopeOfChange: (change) => scopeOfChange(db, change, changeDeps),
      simulate: createSimulate({ db, ladder: stores.ladder }),
      explainWhyNot: createExplainWhyNot({ db, ladder: stores.ladder }),
      endpoints: stores.endpoints,
      readEndpointHealth: stores.readEndpointHealth,
      sendEndpointTest: stores.sendEndpointTest,
      endpointSnapshots: stores.endpointSnapshots,
      replays: stores.replays,
      attemptLog: stores.attemptLog,
      onEndpointTask: delivery.wakeTasks,
      clients: stores.clients,
      readEvents: (filter) => readEvents(db, filter),
      readEvent: (eventId) => readEvent(db, eventId),
      findLogin: traces.find,
      onConnectionChange: (connectionId) => caches.changed('connection', connectionId),
      onCatalogueChange: (workspaceId) => caches.changed('catalogue', workspaceId),
    },
    webhookKeys: () =>
      keys.current().webhookSigning.map(({ keyId, privateKey }) => ({ keyId, publicKey: createPublicKey(privateKey) })),
    checkDatabase: () => db.raw('SELECT 1'),
    metrics,
  });
  const sweeper = createSweeper({ db, now, log, ...settings.retention, traceDays: settings.retention.loginTraceDays });

  return {
    async start() {
      const port = await http.listen(settings.http);
      notifications.start();
      caches.start();
      delivery.start();
      sweeper.start();
      licences.start();
      keys.start();
      return port;
    },
    async stop() {
      sweeper.stop();
      await Promise.all([http.close(), plans.stop(), delivery.stop(), licences.stop(), keys.stop()]);
      await Promise.all([caches.stop(), notifications.stop()]);
      redis?.disconnect();
    },
  };
}
