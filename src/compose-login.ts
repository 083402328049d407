import type { ExpiringStore } from './infra/expiring-store.ts';
import type { InstanceKeySet } from './infra/instance-keys.ts';
import type { Log } from './infra/log.ts';
import type { Metrics } from './infra/metrics.ts';
import { createLoginCompletion } from './login/complete.ts';
import { connectionSecretContext } from './login/connection-store.ts';
import { createPendingLoginStore } from './login/pending-login-store.ts';
import { createRefusalRecorder } from './login/refusal.ts';
import { createLoginStart } from './login/start.ts';
import type { SyncCaches } from './login/sync-caches.ts';
import { createSyncContexts } from './login/sync-context.ts';
import { createTraceStore } from './login/trace-store.ts';
import { createApplyLogin } from './membership/apply.ts';
import { createRelyingParty } from './oidc/relying-party.ts';
import { createResponseVerifier } from './saml/response.ts';
import { createServiceProvider } from './saml/service-provider.ts';
import type { Settings } from './settings/schema.ts';
import type { Stores } from './stores.ts';

/** The login itself: from the app's request to the IdP and from its answer to the membership. */
export function composeLogin(deps: {
  readonly settings: Settings;
  readonly stores: Stores;
  readonly caches: SyncCaches;
  readonly keys: () => InstanceKeySet;
  readonly expiring: ExpiringStore;
  readonly metrics: Metrics;
  readonly onChange: () => void;
  readonly log: Log;
  readonly now: () => Date;
}) {
  const { settings, stores, caches, keys, metrics, log, now } = deps;
  const { db, ladder, outbound, sealedBox, licences } = stores;
  const { publicUrl, saml } = settings;
  const pendingLogins = createPendingLoginStore({
    store: deps.expiring,
    pendingLoginSeconds: settings.login.pendingLoginSeconds,
  });
  const recordRefusal = createRefusalRecorder({ pendingLogins, saveTrace: createTraceStore({ db }).save, log, now });
  const { connections, catalogues, candidates } = caches;
  const contexts = createSyncContexts({ connections, catalogues, ladder, limits: settings.groupSync, now });
  const serviceProvider = createServiceProvider({
    publicUrl,
    keys,
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
    forgetIdp(connectionId: string): void {
      serviceProvider.forget(connectionId);
      relyingParty.forget(connectionId);
    },
  };
}
