import { createHash, randomUUID } from 'node:crypto';
import type { Database } from '../infra/postgres.ts';

/** How long an answer is kept and given again. */
const keepSeconds = 24 * 60 * 60;
/** After so long a request without an answer counts as cut off: its process died. */
const abandonedSeconds = 5 * 60;

/** An answer as it is given again. */
export interface StoredAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export type Claim =
  /** Go on, and then `complete` or `release`. */
  | { readonly kind: 'claimed'; readonly claimId: string }
  | { readonly kind: 'answered'; readonly answer: StoredAnswer }
  /** The key came with another request before. */
  | { readonly kind: 'reused' }
  /** The same request is under way. */
  | { readonly kind: 'under_way' };

export type IdempotencyStore = ReturnType<typeof createIdempotencyStore>;

/** Which requests were answered, and how. Answers are sealed: some show a secret, once. */
export function createIdempotencyStore(deps: {
  readonly db: Database;
  readonly sealedBox: { seal(plain: string, context: string): string; open(sealed: string, context: string): string };
  readonly now: () => Date;
}) {
  const { db, sealedBox, now } = deps;

  return {
    /** Of two claims at once one wins: the primary key decides. */
    async claim(request: {
      readonly apiKeyId: string;
      readonly key: string;
      readonly requestHash: Buffer;
      readonly method: string;
      readonly path: string;
    }): Promise<Claim> {
      const keyHash = createHash('sha256').update(request.key).digest();
      const claimId = randomUUID();
      const at = now().getTime();
      const { rows } = await db.raw<{ rows: { claim_id: string }[] }>(
        `INSERT INTO idempotency_keys AS k (api_key_id, key_hash, request_hash, method, path, claim_id, started_at, expires_at)
         VALUES (:apiKeyId, :keyHash, :requestHash, :method, :path, :claimId, :now, :expiresAt)
         ON CONFLICT (api_key_id, key_hash) DO UPDATE
           SET request_hash = excluded.request_hash, method = excluded.method, path = excluded.path, claim_id = excluded.claim_id,
               status = NULL, sealed_answer = NULL, started_at = excluded.started_at, expires_at = excluded.expires_at
           WHERE k.expires_at <= :now
              OR (k.status IS NULL AND k.started_at <= :abandonedAt AND k.request_hash = excluded.request_hash)
         RETURNING claim_id`,
        {
          ...request,
          keyHash,
          claimId,
          now: new Date(at),
          expiresAt: new Date(at + keepSeconds * 1_000),
          abandonedAt: new Date(at - abandonedSeconds * 1_000),
        },
      );
      if (rows[0]) return { kind: 'claimed', claimId };
      const known = await db<IdempotencyRow>('idempotency_keys')
        .where({ api_key_id: request.apiKeyId, key_hash: keyHash })
        .first();
      // Released this very moment by a request that was refused.
      if (!known) return { kind: 'under_way' };
      if (!known.request_hash.equals(request.requestHash)) return { kind: 'reused' };
      if (known.status === null || known.sealed_answer === null) return { kind: 'under_way' };
      const { headers, body } = JSON.parse(sealedBox.open(known.sealed_answer, contextOf(known.claim_id)));
      return { kind: 'answered', answer: { status: known.status, headers, body } };
    },

    async complete(claimId: string, { status, headers, body }: StoredAnswer): Promise<void> {
      const sealed = sealedBox.seal(JSON.stringify({ headers, body }), contextOf(claimId));
      await db('idempotency_keys').where({ claim_id: claimId, status: null }).update({ status, sealed_answer: sealed });
    },

    /** The request was refused and changed nothing: its key is free again. */
    async release(claimId: string): Promise<void> {
      await db('idempotency_keys').where({ claim_id: claimId, status: null }).delete();
    },
  };
}

/** Binds a sealed answer to its row. */
function contextOf(claimId: string): string {
  return `idempotency/${claimId}/answer`;
}

interface IdempotencyRow {
  api_key_id: string;
  key_hash: Buffer;
  request_hash: Buffer;
  claim_id: string;
  status: number | null;
  sealed_answer: string | null;
}
