import { createHash, timingSafeEqual } from 'node:crypto';
import type { Database } from '../infra/postgres.ts';
import { isUniqueId, randomToken, uniqueId } from '../infra/unique-id.ts';

/** Who calls the API (R13): `workspaceId` null is instance scope. */
export interface ApiKeyHolder {
  readonly keyId: string;
  readonly workspaceId: string | null;
  readonly readOnly: boolean;
}

export type ApiKeyStore = ReturnType<typeof createApiKeyStore>;

/** Kept as SHA-256 only: a key has 256 random bits, which no search finds, so a slow hash would add nothing. */
export function createApiKeyStore(deps: {
  readonly db: Database;
  readonly now: () => Date;
  /** A key of instance scope from the settings; null: none. */
  readonly bootstrapApiKey: string | null;
}) {
  const { db, now } = deps;
  const bootstrapHash = deps.bootstrapApiKey === null ? null : hashOf(deps.bootstrapApiKey);

  return {
    /** @returns the key itself, this once */
    async create(input: {
      readonly name: string;
      readonly workspaceId: string | null;
      readonly readOnly: boolean;
      readonly expiresAt: Date | null;
    }): Promise<{ readonly keyId: string; readonly key: string }> {
      const keyId = uniqueId(now());
      const key = prefix + randomToken();
      await db('api_keys').insert({
        key_id: keyId,
        name: input.name,
        secret_hash: hashOf(key),
        workspace_id: input.workspaceId,
        read_only: input.readOnly,
        expires_at: input.expiresAt,
        created_at: now(),
      });
      return { keyId, key };
    },

    /** The holder of a key that is valid now. One look-up by the hash; index: api_keys_secret_hash_key. */
    async find(key: string): Promise<ApiKeyHolder | null> {
      const hash = hashOf(key);
      if (bootstrapHash !== null && timingSafeEqual(hash, bootstrapHash)) {
        return { keyId: 'bootstrap', workspaceId: null, readOnly: false };
      }
      if (!isStoredForm(key)) return null;
      const row = await db<ApiKeyRow>('api_keys').where({ secret_hash: hash }).first();
      if (!row || !timingSafeEqual(row.secret_hash, hash)) return null;
      if (row.revoked_at !== null || (row.expires_at !== null && row.expires_at <= now())) return null;
      return { keyId: row.key_id, workspaceId: row.workspace_id, readOnly: row.read_only };
    },

    /** @returns false when there is no such key or it was revoked before */
    async revoke(keyId: string): Promise<boolean> {
      if (!isUniqueId(keyId)) return false;
      return (await db('api_keys').where({ key_id: keyId, revoked_at: null }).update({ revoked_at: now() })) > 0;
    },
  };
}

/** Tells scanners for leaked secrets what they found. */
const prefix = 'rollcall_key_';

/** Anything else is no key, and costs the database nothing. */
function isStoredForm(key: string): boolean {
  return key.length === prefix.length + 43 && key.startsWith(prefix);
}

function hashOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

interface ApiKeyRow {
  key_id: string;
  secret_hash: Buffer;
  workspace_id: string | null;
  read_only: boolean;
  expires_at: Date | null;
  revoked_at: Date | null;
}
