import type { ExpiringStore } from '../infra/expiring-store.ts';
import { type LoginGrant, parseGrantId } from './login-grant.ts';

/**
 * Which grants are in force. A grant gets a record when its code is exchanged, and the access token counts only beside that record:
 * so the usual question finds its answer in the store (a miss costs a look into the store that stands in), and a store that lost its
 * values lost the tokens with them. A revoked user is a tombstone, since nobody keeps a list of what a user was given.
 */
export function createRevocation(deps: {
  readonly store: ExpiringStore;
  readonly now: () => Date;
  readonly longestLifetimeSeconds: number;
}) {
  const { store, now, longestLifetimeSeconds } = deps;
  const keyOf = (grantId: string) => parseGrantId(grantId)?.grantKey;

  const revocation = {
    /** Atomic: of any number of simultaneous callers exactly one gets true, and none after the grant was revoked. */
    async useGrant(grantId: string): Promise<boolean> {
      const grantKey = keyOf(grantId);
      return grantKey !== undefined && store.add(grantRecord(grantKey), inUse, longestLifetimeSeconds);
    },

    async isGrantInUse(grantId: string): Promise<boolean> {
      const grantKey = keyOf(grantId);
      return grantKey !== undefined && (await store.get(grantRecord(grantKey))) === inUse;
    },

    async revokeGrant(grantId: string): Promise<void> {
      const grantKey = keyOf(grantId);
      if (grantKey !== undefined) await revocation.revokeGrantKey(grantKey);
    },

    async revokeGrantKey(grantKey: string): Promise<void> {
      await store.set(grantRecord(grantKey), revoked, longestLifetimeSeconds);
    },

    async revokeUser(userId: string): Promise<void> {
      await store.set(userTombstone(userId), String(now().getTime()), longestLifetimeSeconds);
    },

    /** Whether the login came before its user was revoked: a restored user has to sign in again. */
    async isUserRevoked({ userId, signedInAt }: Pick<LoginGrant, 'userId' | 'signedInAt'>): Promise<boolean> {
      const revokedAt = await store.get(userTombstone(userId));
      return revokedAt !== null && signedInAt <= Number(revokedAt);
    },
  };
  return revocation;
}

export type Revocation = ReturnType<typeof createRevocation>;

const inUse = 'in-use';
const revoked = 'revoked';
const grantRecord = (grantKey: string) => `op:grant:${grantKey}`;
const userTombstone = (userId: string) => `op:revoked-user:${userId}`;
