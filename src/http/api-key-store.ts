import { createHash, timingSafeEqual } from 'node:crypto';
import { BrokerError } from '../domain/broker-error.ts';
import type { Database } from '../infra/postgres.ts';
import { isUniqueId, randomToken, uniqueId } from '../infra/unique-id.ts';

/** Who calls the API (R13): `workspaceId` null is instance scope. */
export interface ApiKeyHolder {
  readonly keyId: string;
  readonly workspaceId: string | null;
  readonly readOnly: boolean;
  /** When the key ends; null: never. What it makes must not outlive it. */
  readonly expiresAt: Date | null;
}

/** A key as it may be shown. */
export interface ApiKey extends ApiKeyHolder {
  readonly name: string;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
  readonly rotatedAt: Date | null;
  /** Until when the secret before the last rotation is valid too. */
  readonly previousValidUntil: Date | null;
  readonly revokedAt: Date | null;
}

export type ApiKeyStore = ReturnType<typeof createApiKeyStore>;

/** How exact `lastUsedAt` is: a busy key must not write at each request. */
const lastUsedSeconds = 60;

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
    }): Promise<{ readonly keyId: string; readonly key: string; readonly apiKey: ApiKey }> {
      const key = prefix + randomToken();
      const [row] = await db<ApiKeyRow>('api_keys')
        .insert({
          key_id: uniqueId(now()),
          name: input.name,
          secret_hash: hashOf(key),
          workspace_id: input.workspaceId,
          read_only: input.readOnly,
          expires_at: input.expiresAt,
          created_at: now(),
        })
        .returning('*');
      const apiKey = apiKeyOf(row as ApiKeyRow);
      return { keyId: apiKey.keyId, key, apiKey };
    },

    /**
     * The holder of a key that is valid now. Asked of Postgres at each request: a revoked key is worth nothing at once, on every
     * replica. Indexes: api_keys_secret_hash_key, api_keys_previous_secret_hash_key.
     */
    async find(key: string): Promise<ApiKeyHolder | null> {
      const hash = hashOf(key);
      if (bootstrapHash !== null && timingSafeEqual(hash, bootstrapHash)) {
        return { keyId: 'bootstrap', workspaceId: null, readOnly: false, expiresAt: null };
      }
      if (!isStoredForm(key)) return null;
      const row = await db<ApiKeyRow>('api_keys').where({ secret_hash: hash }).orWhere({ previous_secret_hash: hash }).first();
      if (!row || !isValid(row, hash, now())) return null;
      await noteUse(row);
      return { keyId: row.key_id, workspaceId: row.workspace_id, readOnly: row.read_only, expiresAt: row.expires_at };
    },

    async get(keyId: string): Promise<ApiKey | null> {
      if (!isUniqueId(keyId)) return null;
      const row = await db<ApiKeyRow>('api_keys').where({ key_id: keyId }).first();
      return row ? apiKeyOf(row) : null;
    },

    /** Pages in the order of their making, revoked ones included. Index: api_keys_pkey, api_keys_by_workspace. */
    async list(page: {
      /** Null: of every workspace and of the instance. */
      readonly workspaceId: string | null;
      readonly after?: string | undefined;
      readonly limit: number;
    }): Promise<readonly ApiKey[]> {
      const query = db<ApiKeyRow>('api_keys').orderBy('key_id').limit(page.limit);
      if (page.workspaceId !== null) query.where({ workspace_id: page.workspaceId });
      if (page.after !== undefined) query.where('key_id', '>', page.after);
      return (await query).map(apiKeyOf);
    },

    /**
     * Gives a key a new secret. The one in force until now stays valid for `overlapSeconds`; one from an earlier rotation ends at once.
     * @returns the new key, this once
     * @throws BrokerError `not_found`, `conflict` for a key that is revoked or expired
     */
    async rotate(keyId: string, { overlapSeconds }: { readonly overlapSeconds: number }) {
      const key = prefix + randomToken();
      const at = now();
      const rows = isUniqueId(keyId)
        ? await db<ApiKeyRow>('api_keys')
            .where({ key_id: keyId, revoked_at: null })
            .where((valid) => valid.whereNull('expires_at').orWhere('expires_at', '>', at))
            .update({
              previous_secret_hash: db.ref('secret_hash') as unknown as Buffer,
              previous_valid_until: new Date(at.getTime() + overlapSeconds * 1_000),
              secret_hash: hashOf(key),
              rotated_at: at,
            })
            .returning('*')
        : [];
      if (rows[0]) return { key, apiKey: apiKeyOf(rows[0]) };
      if (!isUniqueId(keyId) || !(await db('api_keys').where({ key_id: keyId }).first('key_id'))) {
        throw new BrokerError('not_found', 'there is no such API key');
      }
      throw new BrokerError('conflict', 'a key that is revoked or expired is not rotated; make another', { reason: 'key_ended' });
    },

    /** @returns false when there is no such key or it was revoked before */
    async revoke(keyId: string): Promise<boolean> {
      if (!isUniqueId(keyId)) return false;
      return (await db('api_keys').where({ key_id: keyId, revoked_at: null }).update({ revoked_at: now() })) > 0;
    },
  };

  async function noteUse({ key_id, last_used_at }: ApiKeyRow): Promise<void> {
    const at = now();
    const before = new Date(at.getTime() - lastUsedSeconds * 1_000);
    if (last_used_at !== null && last_used_at > before) return;
    // Of many requests at once one writes.
    await db('api_keys')
      .where({ key_id })
      .where((stale) => stale.whereNull('last_used_at').orWhere('last_used_at', '<=', before))
      .update({ last_used_at: at });
  }
}

/** Tells scanners for leaked secrets what they found. */
const prefix = 'rollcall_key_';

/** Anything else is no key, and costs the database nothing. */
function isStoredForm(key: string): boolean {
  return key.length === prefix.length + 43 && key.startsWith(prefix);
}

function isValid(row: ApiKeyRow, hash: Buffer, now: Date): boolean {
  if (row.revoked_at !== null || (row.expires_at !== null && row.expires_at <= now)) return false;
  if (timingSafeEqual(row.secret_hash, hash)) return true;
  return row.previous_valid_until !== null && row.previous_valid_until > now;
}

function hashOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

interface ApiKeyRow {
  key_id: string;
  name: string;
  secret_hash: Buffer;
  previous_secret_hash: Buffer | null;
  previous_valid_until: Date | null;
  workspace_id: string | null;
  read_only: boolean;
  expires_at: Date | null;
  revoked_at: Date | null;
  rotated_at: Date | null;
  last_used_at: Date | null;
  created_at: Date;
}

function apiKeyOf(row: ApiKeyRow): ApiKey {
  return {
    keyId: row.key_id,
    workspaceId: row.workspace_id,
    readOnly: row.read_only,
    expiresAt: row.expires_at,
    name: row.name,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    rotatedAt: row.rotated_at,
    previousValidUntil: row.previous_valid_until,
    revokedAt: row.revoked_at,
  };
}
