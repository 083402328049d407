import { createAttemptLog } from '../../src/delivery/attempt-log.ts';
import { createEndpointStore } from '../../src/delivery/endpoint-store.ts';
import { createSendTest } from '../../src/delivery/endpoint-test.ts';
import { createHealthReader } from '../../src/delivery/health.ts';
import { createReplayStore } from '../../src/delivery/replay-store.ts';
import { createSnapshotRequests } from '../../src/delivery/snapshot-request.ts';
import { createApiKeyStore } from '../../src/http/api-key-store.ts';
import { createAuditStore } from '../../src/http/audit-store.ts';
import { createIdempotencyStore } from '../../src/http/idempotency-store.ts';
import type { HttpServerDeps } from '../../src/http/server.ts';
import { createLicenceReader } from '../../src/infra/licence-token.ts';
import type { Database } from '../../src/infra/postgres.ts';
import { createDomainStore, type ResolveTxt } from '../../src/login/domains.ts';
import { createLicenceStore } from '../../src/login/licence-store.ts';
import { createIdentityStore } from '../../src/login/linking-store.ts';
import { createSyncListStore, syncListDeparture } from '../../src/login/sync-list.ts';
import { createTraceStore } from '../../src/login/trace-store.ts';
import { createCatalogueChanges } from '../../src/membership/catalogue-changes.ts';
import { createCatalogueStore } from '../../src/membership/catalogue-store.ts';
import { createManualEdits } from '../../src/membership/manual-edit.ts';
import { createReevaluateMembers } from '../../src/membership/reevaluate.ts';
import { createSnapshots } from '../../src/membership/snapshot.ts';
import { createMembershipStore } from '../../src/membership/store.ts';
import { createUserLifecycle } from '../../src/membership/user-lifecycle.ts';
import { createUserStore } from '../../src/membership/users.ts';
import { createWorkspaceLifecycle } from '../../src/membership/workspace-lifecycle.ts';
import { appendEvents } from '../../src/outbox/append.ts';
import { readEvent, readEvents } from '../../src/outbox/read.ts';
import { createClientStore } from '../../src/provider/client-store.ts';
import { connectionWorld } from './connection-world.ts';
import { planningOn } from './planning.ts';
import { quietLog } from './quiet-log.ts';
import { ladder } from './sync-builder.ts';

export const bootstrapApiKey = 'bootstrap-key-of-the-tests-0123456789';

export interface ApiWorldOptions {
  /** What DNS says; no records unless given. */
  readonly resolveTxt?: ResolveTxt;
  /** PEM. */
  readonly licencePublicKeys?: readonly string[];
}

/** What the API stands on, all of it real. */
export function apiOn(db: Database, world = connectionWorld(db), options: ApiWorldOptions = {}): HttpServerDeps['api'] {
  const now = () => new Date();
  const { connections, workspaces, sealedBox } = world;
  const catalogue = createCatalogueStore({ db, roles: ladder, now });
  const reevaluateMembers = createReevaluateMembers({ db, ladder, now });
  return {
    allowHttp: false,
    audit: createAuditStore({ db, now }),
    idempotency: createIdempotencyStore({ db, sealedBox, now }),
    apiKeys: createApiKeyStore({ db, now, bootstrapApiKey }),
    connections,
    domains: createDomainStore({ db, resolveTxt: options.resolveTxt ?? (async () => []), now }),
    identities: createIdentityStore({ db, entityIdOf: () => 'https://idp.example.com', now }),
    revokeUser: async () => {},
    licences: createLicenceStore({
      db,
      reader: createLicenceReader({ publicKeys: options.licencePublicKeys ?? [] }),
      configured: { token: null, file: null },
      appendEvents,
      log: quietLog,
      now,
    }),
    workspaces,
    catalogue,
    members: createMembershipStore({ db }),
    snapshots: createSnapshots({ db, maxSimultaneous: 4, stallSeconds: 5, maxSeconds: 60 }),
    ...planningOn(db, { sealedBox, now }),
    catalogueChanges: createCatalogueChanges({ db, catalogue, roles: ladder, reevaluateMembers, now }),
    manualEdits: createManualEdits({ db, ladder, now }),
    users: createUserStore({ db }),
    userLifecycle: createUserLifecycle({ db, revokeUser: async () => {}, now }),
    syncLists: createSyncListStore({ db, now }),
    workspaceLifecycle: createWorkspaceLifecycle({ db, syncLists: syncListDeparture({ now }), now }),
    onEvents: () => {},
    onEndpointTask: () => {},
    endpoints: createEndpointStore({ db, sealedBox, now }),
    readEndpointHealth: createHealthReader({ db }),
    sendEndpointTest: createSendTest({ db, now }),
    endpointSnapshots: createSnapshotRequests({ db, now }),
    replays: createReplayStore({ db, now }),
    attemptLog: createAttemptLog({ db }),
    readEvent: (eventId) => readEvent(db, eventId),
    clients: createClientStore({ db, sealedBox, now }),
    readEvents: (filter) => readEvents(db, filter),
    findLogin: createTraceStore({ db }).find,
    onConnectionChange: () => {},
    onCatalogueChange: () => {},
  };
}
