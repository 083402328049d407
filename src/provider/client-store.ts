import { createCache } from '../infra/cache.ts';
import type { Database } from '../infra/postgres.ts';
import type { SealedBox } from '../infra/sealed-box.ts';
import { type ClientMetadata, clientIdPattern } from './client-metadata.ts';

export type ClientStore = ReturnType<typeof createClientStore>;

/** The clients of the OpenID Provider, in Postgres, with sealed secrets. */
export function createClientStore(deps: { readonly db: Database; readonly sealedBox: SealedBox; readonly now: () => Date }) {
  const { db, sealedBox, now } = deps;
  // A login asks four times for the same client. Other replicas see a change when their entry has run out.
  const cache = createCache<ClientMetadata | null>({ maxEntries: 1_000, ttlSeconds: 10, load });

  async function load(clientId: string): Promise<ClientMetadata | null> {
    const { rows } = await db.raw<{ rows: ClientRow[] }>(
      'SELECT client_id, sealed_client_secret, metadata FROM oidc_clients WHERE client_id = ?',
      [clientId],
    );
    const [row] = rows;
    if (!row) return null;
    const sealed = row.sealed_client_secret;
    return { clientId, clientSecret: sealed === null ? null : sealedBox.open(sealed, sealingContext(clientId)), ...row.metadata };
  }

  return {
    /** Creates the client or replaces all of it; the caller validated it by `clientMetadataSchema`. */
    async upsert({ clientId, clientSecret, ...metadata }: ClientMetadata): Promise<void> {
      const sealed = clientSecret === null ? null : sealedBox.seal(clientSecret, sealingContext(clientId));
      await db.raw(
        `INSERT INTO oidc_clients (client_id, sealed_client_secret, metadata, created_at, updated_at)
         VALUES (:clientId, :sealed, :metadata, :now, :now)
         ON CONFLICT (client_id) DO UPDATE
           SET sealed_client_secret = excluded.sealed_client_secret, metadata = excluded.metadata, updated_at = excluded.updated_at`,
        { clientId, sealed, metadata: JSON.stringify(metadata), now: now() },
      );
      cache.forget(clientId);
    },

    /** @param clientId anything that a request brought along */
    async find(clientId: string): Promise<ClientMetadata | null> {
      return clientIdPattern.test(clientId) ? cache.get(clientId) : null;
    },

    /** Every client, without its secret. */
    async list(): Promise<Omit<ClientMetadata, 'clientSecret'>[]> {
      const { rows } = await db.raw<{ rows: ClientRow[] }>(
        'SELECT client_id, metadata FROM oidc_clients ORDER BY client_id COLLATE "C"',
      );
      return rows.map(({ client_id: clientId, metadata }) => ({ clientId, ...metadata }));
    },
  };
}

interface ClientRow {
  readonly client_id: string;
  readonly sealed_client_secret: string | null;
  readonly metadata: Omit<ClientMetadata, 'clientId' | 'clientSecret'>;
}

/** Bound to the row: a sealed secret that is moved to another client does not open there. */
function sealingContext(clientId: string): string {
  return `oidc-client/${clientId}/secret`;
}
