import { createAttemptLog } from './delivery/attempt-log.ts';
import { createEndpointStore } from './delivery/endpoint-store.ts';
import { createSendTest } from './delivery/endpoint-test.ts';
import { createHealthReader } from './delivery/health.ts';
import { createReplayStore } from './delivery/replay-store.ts';
import { createSnapshotRequests } from './delivery/snapshot-request.ts';
import { createApiKeyStore } from './http/api-key-store.ts';
import { createAuditStore } from './http/audit-store.ts';
import { createIdempotencyStore } from './http/idempotency-store.ts';
import { createInstanceKeyRotation } from './infra/instance-key-rotation.ts';
import { createInstanceKeys } from './infra/instance-keys.ts';
import { createLicenceReader } from './infra/licence-token.ts';
import type { Log } from './infra/log.ts';
import { createOutboundHttp } from './infra/outbound-http.ts';
import { createDatabase } from './infra/postgres.ts';
import { createSealedBox } from './infra/sealed-box.ts';
import { createTxtResolver } from './infra/txt-records.ts';
import { createConnectionStore } from './login/connection-store.ts';
import { createDomainStore } from './login/domains.ts';
import { createHomeRealm } from './login/home-realm.ts';
import { createLicenceStore } from './login/licence-store.ts';
import { createIdentityStore } from './login/linking-store.ts';
import { createSyncListStore, syncListDeparture } from './login/sync-list.ts';
import { createCatalogueChanges } from './membership/catalogue-changes.ts';
import { createCatalogueStore } from './membership/catalogue-store.ts';
import { createManualEdits } from './membership/manual-edit.ts';
import { createReevaluateMembers } from './membership/reevaluate.ts';
import { createSnapshots } from './membership/snapshot.ts';
import { createMembershipStore } from './membership/store.ts';
import { createUserStore } from './membership/users.ts';
import { createWorkspaceLifecycle } from './membership/workspace-lifecycle.ts';
import { createWorkspaceStore } from './membership/workspace-store.ts';
import { appendEvents } from './outbox/append.ts';
import { createClientStore } from './provider/client-store.ts';
import { fetchIdpMetadata, parseIdpMetadata } from './saml/metadata.ts';
import type { Settings } from './settings/schema.ts';

export type Stores = ReturnType<typeof createStores>;

/** Postgres and what is kept in it: all that commands need which do not serve. */
export function createStores(deps: {
  readonly settings: Settings;
  readonly databaseUrl: string;
  readonly log: Log;
  readonly now: () => Date;
}) {
  const { settings, databaseUrl, log, now } = deps;
  const { poolSize, statementTimeoutSeconds } = settings.postgres;
  const db = createDatabase({ url: databaseUrl, poolSize, statementTimeoutSeconds });
  // Whoever reads a whole workspace slowly keeps no connection from the logins.
  const snapshotDb = createDatabase({
    url: databaseUrl,
    poolSize: settings.snapshots.maxSimultaneous,
    statementTimeoutSeconds,
  });
  const sealedBox = createSealedBox({ keys: settings.secrets.sealingKeys });
  const outbound = createOutboundHttp(settings.outbound);
  const maxBytes = settings.saml.maxMetadataBytes;
  const ladder = settings.groupSync.roles as [string, ...string[]];
  const catalogue = createCatalogueStore({ db, roles: ladder, now });
  const { signingKeyPublishSeconds: publishSeconds, idTokenSeconds: tokenSeconds } = settings.provider;
  const reevaluateMembers = createReevaluateMembers({ db, ladder, now });
  return {
    db,
    /** For connections that a pooler must not stand before (LISTEN). */
    directDatabaseUrl: settings.postgres.directUrl ?? databaseUrl,
    sealedBox,
    outbound,
    ladder,
    workspaces: createWorkspaceStore({ db, now }),
    catalogue,
    memberships: createMembershipStore({ db }),
    snapshots: createSnapshots({ db: snapshotDb, ...settings.snapshots }),
    reevaluateMembers,
    catalogueChanges: createCatalogueChanges({ db, catalogue, roles: ladder, reevaluateMembers, now }),
    manualEdits: createManualEdits({ db, ladder, now }),
    users: createUserStore({ db }),
    syncLists: createSyncListStore({ db, now }),
    workspaceLifecycle: createWorkspaceLifecycle({ db, syncLists: syncListDeparture({ now }), now }),
    connections: createConnectionStore({
      db,
      sealedBox,
      now,
      fetchMetadata: (url) => fetchIdpMetadata({ outbound, url, maxBytes }),
      readMetadata: (xml) => parseIdpMetadata(xml, { maxBytes, now: now() }),
    }),
    domains: createDomainStore({ db, resolveTxt: createTxtResolver(settings.outbound), now }),
    homeRealm: createHomeRealm({ db }),
    identities: createIdentityStore({
      db,
      entityIdOf: (xml) => parseIdpMetadata(xml, { maxBytes, now: now() }).entityId,
      now,
    }),
    licences: createLicenceStore({
      db,
      reader: createLicenceReader(settings.licence),
      configured: settings.licence,
      appendEvents,
      log,
      now,
    }),
    clients: createClientStore({ db, sealedBox, now }),
    endpoints: createEndpointStore({ db, sealedBox, now }),
    readEndpointHealth: createHealthReader({ db }),
    sendEndpointTest: createSendTest({ db, now }),
    endpointSnapshots: createSnapshotRequests({ db, now }),
    replays: createReplayStore({ db, now }),
    attemptLog: createAttemptLog({ db }),
    audit: createAuditStore({ db, now }),
    idempotency: createIdempotencyStore({ db, sealedBox, now }),
    apiKeys: createApiKeyStore({ db, now, bootstrapApiKey: settings.secrets.bootstrapApiKey }),
    instanceKeys: createInstanceKeys({ db, sealedBox, now, publishSeconds }),
    instanceKeyRotation: createInstanceKeyRotation({ db, sealedBox, now, publishSeconds, tokenSeconds }),
    async close(): Promise<void> {
      await outbound.close();
      await Promise.all([db.destroy(), snapshotDb.destroy()]);
    },
  };
}
