import type { RoleLadder } from '../domain/group-sync.ts';
import type { Database } from '../infra/postgres.ts';
import { applyUnderLocks } from './apply-locked.ts';
import { applyOptimistically } from './apply-optimistic.ts';
import { fingerprintsOf, type LoginSync, replayed, type SyncResult, traceRow } from './login-outcome.ts';
import { confirmUnchanged } from './login-store.ts';
import { isTakenMeanwhile } from './login-write.ts';

export type { LoginSync, SyncResult } from './login-outcome.ts';

/**
 * Calls the roll: brings user and memberships of one login in line with what the IdP said, in one transaction with the answer's
 * single-use mark, the events and the trace (laws 2 and 3, R28). A login that changes nothing is one statement, most others are three:
 * look, read, compare and write. Locks over several statements are for what a comparison cannot hold, and for what was moved meanwhile.
 * @throws BrokerError `assertion_replayed`, `user_archived`, `not_entitled`, `licence_limit_reached`, `connection_disabled`; nothing is
 *   written then
 */
export function createApplyLogin(deps: {
  readonly db: Database;
  readonly ladder: RoleLadder;
  /** R36: active users there may be; null: any number. */
  readonly seatLimit?: () => number | null;
  readonly now: () => Date;
}) {
  const { db, ladder, seatLimit = () => null } = deps;

  return async function applyLogin(login: LoginSync): Promise<SyncResult> {
    const now = deps.now();
    const prints = fingerprintsOf(login);
    const confirmed = await confirmUnchanged(db, {
      connectionId: login.connectionId,
      identity: login.identity,
      profileFingerprint: prints.profile,
      groupsFingerprint: prints.groups,
      memberships: prints.memberships,
      trace: traceRow(login, null, now),
    });
    if (confirmed?.fresh === false) throw replayed();
    if (confirmed) return { userId: confirmed.userId, changed: false, refusal: null };
    const context = { prints, ladder, maxUsers: seatLimit(), now };
    const applied = await orNothing(() => applyOptimistically(db, login, context));
    return applied ?? again(() => db.transaction((tx) => applyUnderLocks(tx, login, context)));
  };
}

const maxAttempts = 3;

/** Postgres undid the work because of somebody else's; the next attempt sees what they did. */
function isBeaten(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  // SQLSTATE 40P01, deadlock_detected: two met crosswise (a demotion here, a new group there), and one was ended. 55P03,
  // lock_not_available: somebody holds a lock for long.
  return code === '40P01' || code === '55P03' || isTakenMeanwhile(error);
}

async function orNothing<T>(run: () => Promise<T | null>): Promise<T | null> {
  try {
    return await run();
  } catch (error) {
    if (!isBeaten(error)) throw error;
    return null;
  }
}

async function again<T>(run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; attempt < maxAttempts; attempt++) {
    const done = await orNothing(run);
    if (done !== null) return done;
  }
  return run();
}
