import { BrokerError } from '../domain/broker-error.ts';
import type { User } from '../domain/user.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { isUniqueId } from '../infra/unique-id.ts';
import { appendEvents } from '../outbox/append.ts';
import { userDeletedEvent, userEvent } from './events.ts';
import { removeMembershipsOf } from './removal.ts';
import { claimSeat } from './seats.ts';
import { userOf } from './store.ts';

export type UserLifecycle = ReturnType<typeof createUserLifecycle>;

/**
 * Locks people out, lets them in again, forgets them (R32). Each change is one transaction with its event; tokens end beside it,
 * because their store is not part of the transaction. All throw `not_found` for an unknown or deleted user.
 */
export function createUserLifecycle(deps: {
  readonly db: Database;
  /** Everything the user was given until now is worth nothing from here on. */
  readonly revokeUser: (userId: string) => Promise<void>;
  /** R36: active users there may be; null: any number. */
  readonly seatLimit?: () => number | null;
  readonly now: () => Date;
}) {
  const { db, revokeUser, seatLimit = () => null, now } = deps;

  async function setStatus(userId: string, status: User['status']): Promise<boolean> {
    return db.transaction(async (tx) => {
      const user = await lockUser(tx, userId);
      if (user.status === status) return false;
      if (status === 'active') await claimSeat(tx, seatLimit());
      await tx('users').where({ user_id: userId }).update({ status, updated_at: now() });
      const type = status === 'archived' ? 'user.archived' : 'user.restored';
      await appendEvents(tx, [userEvent(type, { ...user, status }, now())], { now: now() });
      return true;
    });
  }

  return {
    /**
     * No login and no token from here on; memberships stay as they are, for the day of the restoring.
     * @returns false: the user was archived before
     */
    async archive(userId: string): Promise<boolean> {
      const changed = await setStatus(userId, 'archived');
      // Also when nothing changed: an earlier attempt may have failed here.
      await revokeUser(userId);
      return changed;
    },

    /**
     * The user may log in again; what was given before the restoring stays worth nothing.
     * @throws BrokerError `licence_limit_reached` when no seat is left (R36)
     */
    async restore(userId: string): Promise<boolean> {
      await revokeIfArchived(userId);
      return setStatus(userId, 'active');
    },

    /**
     * Forgets a person: profile, identities, last-seen groups, reasons and traces of logins are erased, and so are address and names
     * in the events of the log, whose ids, order and types stay, and what endpoints answered to them. Memberships end with their events. What remains is the id, which
     * names nobody. A later login of the same person makes a new user: to keep somebody out, archive instead.
     */
    async erase(userId: string): Promise<void> {
      await db.transaction(async (tx) => {
        await lockUser(tx, userId);
        const at = now();
        // First the profile, so that the events of the ending say no more than the id.
        await eraseProfile(tx, userId, at);
        await removeMembershipsOf(tx, userId, { cause: { kind: 'api', connection_id: null, login_id: null }, now: at });
        await eraseRecords(tx, userId);
        await appendEvents(tx, [userDeletedEvent(userId, at)], { now: at });
      });
      await revokeUser(userId);
    },
  };

  async function revokeIfArchived(userId: string): Promise<void> {
    if (!isUniqueId(userId)) return;
    const row = await db('users').where({ user_id: userId }).first<{ status: User['status'] } | undefined>('status');
    if (row?.status === 'archived') await revokeUser(userId);
  }
}

/** The user's row until commit: logins of this user wait, and come out as what is decided here says (R28). */
async function lockUser(tx: Transaction, userId: string): Promise<User> {
  const row = isUniqueId(userId)
    ? await tx('users').where({ user_id: userId, deleted_at: null }).forNoKeyUpdate().first()
    : undefined;
  if (!row) throw new BrokerError('not_found', 'there is no such user');
  return userOf(row);
}

async function eraseProfile(tx: Transaction, userId: string, now: Date): Promise<void> {
  await tx('users').where({ user_id: userId }).update({
    email: null,
    email_verified: false,
    name: null,
    given_name: null,
    family_name: null,
    profile_fingerprint: null,
    status: 'archived',
    deleted_at: now,
    updated_at: now,
  });
}

async function eraseRecords(tx: Transaction, userId: string): Promise<void> {
  await tx('identities').where({ user_id: userId }).delete();
  await tx('memberships').where({ user_id: userId }).update({ reasons: '[]', warnings: '[]', fingerprint: null, login_id: null });
  await tx('login_traces').where({ user_id: userId }).update({ user_id: null, detail: '{}' });
  // Index: events_by_user. Deliveries read the body from here, so that attempts still to come carry the erased one.
  await tx.raw(
    `UPDATE events
        SET payload = jsonb_set(payload::jsonb, '{data,user}',
              payload::jsonb #> '{data,user}'
              || CASE WHEN payload::jsonb #> '{data,user}' -> 'email' IS NULL THEN '{}' ELSE '{"email": null}' END::jsonb
              || CASE WHEN payload::jsonb #> '{data,user}' -> 'name' IS NULL THEN '{}' ELSE '{"name": null}' END::jsonb)::json
      WHERE user_id = ?`,
    [userId],
  );
  // Index: delivery_attempts_by_event. What receivers answered may repeat what they were told.
  await tx.raw(
    `UPDATE delivery_attempts SET answer = NULL
      WHERE event_id IN (SELECT event_id FROM events WHERE user_id = ?) AND answer IS NOT NULL`,
    [userId],
  );
}
