import { createEndpointStore } from '../../src/delivery/endpoint-store.ts';
import { createApiKeyStore } from '../../src/http/api-key-store.ts';
import type { HttpServerDeps } from '../../src/http/server.ts';
import type { Database } from '../../src/infra/postgres.ts';
import { createTraceStore } from '../../src/login/trace-store.ts';
import { createCatalogueStore } from '../../src/membership/catalogue-store.ts';
import { createMembershipStore } from '../../src/membership/store.ts';
import { readEvents } from '../../src/outbox/read.ts';
import { createClientStore } from '../../src/provider/client-store.ts';
import { connectionWorld } from './connection-world.ts';
import { ladder } from './sync-builder.ts';

export const bootstrapApiKey = 'bootstrap-key-of-the-tests-0123456789';

/** What the API stands on, all of it real. */
export function apiOn(db: Database, world = connectionWorld(db)): HttpServerDeps['api'] {
  const now = () => new Date();
  const { connections, workspaces, sealedBox } = world;
  return {
    allowHttp: false,
    apiKeys: createApiKeyStore({ db, now, bootstrapApiKey }),
    connections,
    workspaces,
    catalogue: createCatalogueStore({ db, roles: ladder, now }),
    members: createMembershipStore({ db }),
    endpoints: createEndpointStore({ db, sealedBox, now }),
    clients: createClientStore({ db, sealedBox, now }),
    readEvents: (filter) => readEvents(db, filter),
    findLogin: createTraceStore({ db }).find,
    onConnectionChange: () => {},
    onCatalogueChange: () => {},
  };
}
