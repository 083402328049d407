import { createCache } from '../infra/cache.ts';
import type { Database } from '../infra/postgres.ts';
import type { SealedBox } from '../infra/sealed-box.ts';
import { type ClientMetadata, clientIdPattern } from './client-metadata.ts';

export type ClientStore = ReturnType<typeof createClientStore>;

/** The clients of the OpenID Provider, in Postgres, with sealed secrets. */
export function createClientStore(deps: { readonly db: Database; readonly sealedBox: SealedBox; readonly now: () => Date }) {
  const { db, sealedBox, now } = deps;
  // A login asks four times for the same client. Other replicas see a change when their entry has run out.
  const cache = createCache<ClientMetadata | null>({ maxEntries: 1_000, ttlSeconds: 10, load: (clientId) => load(clientId) });

  async function load(clientId: string, connection: Database = db): Promise<ClientMetadata | null> {
    const { rows } = await connection.raw<{ rows: ClientRow[] }>(
      'SELECT client_id, sealed_client_secret, metadata FROM oidc_clients WHERE client_id = ?',
      [clientId],
    );
    const [row] = rows;
    if (!row) return null;
    const sealed = row.sealed_client_secret;
    return { clientId, clientSecret: sealed === null ? null : sealedBox.open(sealed, sealingContext(clientId)), ...row.metadata };
  }

  async function write({ clientId, clientSecret, ...metadata }: ClientMetadata, connection: Database): Promise<void> {
    const sealed = clientSecret === null ? null : sealedBox.seal(clientSecret, sealingContext(clientId));
    await connection.raw(
      `INSERT INTO oidc_clients (client_id, sealed_client_secret, metadata, created_at, updated_at)
       VALUES (:clientId, :sealed, :metadata, :now, :now)
       ON CONFLICT (client_id) DO UPDATE
         SET sealed_client_secret = excluded.sealed_client_secret, metadata = excluded.metadata, updated_at = excluded.updated_at`,
      { clientId, sealed, metadata: JSON.stringify(metadata), now: now() },
    );
  }

  return {
    /**
     * Creates the client or replaces all of it.
     * @param change makes the client, valid by `clientMetadataSchema`, from what is stored now, or throws what forbids it; changes of
     *   one client take turns
     */
    async change(
      clientId: string,
      change: (stored: ClientMetadata | null) => ClientMetadata,
    ): Promise<{ readonly client: ClientMetadata; readonly created: boolean }> {
      const changed = await db.transaction(async (tx) => {
        await tx.raw("SELECT pg_advisory_xact_lock(hashtextextended('oidc-client/' || ?, 0))", [clientId]);
        const stored = await load(clientId, tx);
        const client = change(stored);
        await write(client, tx);
        return { client, created: stored === null };
      });
      cache.forget(clientId);
      return changed;
    },

    /** Creates the client or replaces all of it; the caller validated it by `clientMetadataSchema`. */
    async upsert(client: ClientMetadata): Promise<void> {
      await write(client, db);
      cache.forget(client.clientId);
    },

    /** What it was given before stays good for as long as it says; nobody gets more. */
    async remove(clientId: string): Promise<void> {
      await db.raw('DELETE FROM oidc_clients WHERE client_id = ?', [clientId]);
      cache.forget(clientId);
    },

    /** @param clientId anything that a request brought along */
    async find(clientId: string): Promise<ClientMetadata | null> {
      return clientIdPattern.test(clientId) ? cache.get(clientId) : null;
    },

    /** What is stored now, for whoever is about to change it. */
    async read(clientId: string): Promise<ClientMetadata | null> {
      return clientIdPattern.test(clientId) ? load(clientId) : null;
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
