import { createEndpointStore } from './delivery/endpoint-store.ts';
import { createApiKeyStore } from './http/api-key-store.ts';
import { createInstanceKeys } from './infra/instance-keys.ts';
import type { Log } from './infra/log.ts';
import { createOutboundHttp } from './infra/outbound-http.ts';
import { createDatabase } from './infra/postgres.ts';
import { createSealedBox } from './infra/sealed-box.ts';
import { createConnectionStore } from './login/connection-store.ts';
import { createCatalogueStore } from './membership/catalogue-store.ts';
import { createMembershipStore } from './membership/store.ts';
import { createWorkspaceStore } from './membership/workspace-store.ts';
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
  const { settings, databaseUrl, now } = deps;
  const { poolSize, statementTimeoutSeconds } = settings.postgres;
  const db = createDatabase({ url: databaseUrl, poolSize, statementTimeoutSeconds });
  const sealedBox = createSealedBox({ keys: settings.secrets.sealingKeys });
  const outbound = createOutboundHttp(settings.outbound);
  const maxBytes = settings.saml.maxMetadataBytes;
  const ladder = settings.groupSync.roles as [string, ...string[]];
  return {
    db,
    sealedBox,
    outbound,
    ladder,
    workspaces: createWorkspaceStore({ db, now }),
    catalogue: createCatalogueStore({ db, roles: ladder, now }),
    memberships: createMembershipStore({ db }),
    connections: createConnectionStore({
      db,
      sealedBox,
      now,
      fetchMetadata: (url) => fetchIdpMetadata({ outbound, url, maxBytes }),
      readMetadata: (xml) => parseIdpMetadata(xml, { maxBytes, now: now() }),
    }),
    clients: createClientStore({ db, sealedBox, now }),
    endpoints: createEndpointStore({ db, sealedBox, now }),
    apiKeys: createApiKeyStore({ db, now, bootstrapApiKey: settings.secrets.bootstrapApiKey }),
    instanceKeys: createInstanceKeys({ db, sealedBox, now }),
    async close(): Promise<void> {
      await outbound.close();
      await db.destroy();
    },
  };
}
