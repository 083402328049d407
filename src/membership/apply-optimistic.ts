import type { Database } from '../infra/postgres.ts';
import { uniqueId } from '../infra/unique-id.ts';
import {
  type ApplyContext,
  decideOutcomes,
  type LoginSync,
  type Outcome,
  refusalOf,
  replayed,
  type SyncResult,
  writeOf,
} from './login-outcome.ts';
import { type LoginState, readLoginState } from './login-state.ts';
import { saveLogin } from './login-write.ts';

/** Longer waits are for a transaction, whose limit ends them at the server. Past the second after which Postgres looks for a deadlock. */
const waitMilliseconds = 2_000;

/**
 * Decides by what is stored now, without a lock, and writes only if that is still so: two statements.
 * @returns null: nothing was written, the login has to be applied under locks
 * @throws BrokerError `assertion_replayed`; a unique violation when somebody made the same person or membership (`isTakenMeanwhile`)
 */
export async function applyOptimistically(db: Database, login: LoginSync, context: ApplyContext): Promise<SyncResult | null> {
  const { prints, ladder, now } = context;
  const { connectionId, identity } = login;
  const workspaceIds = login.workspaces.map(({ workspaceId }) => workspaceId);
  const { connection, known, served } = await readLoginState(db, { connectionId, identity, userId: null, workspaceIds });
  if (!connection?.enabled || !(known ? isGood(known, login) : mayMake(login, context))) return null;
  const outcomes = decideOutcomes(login, served, ladder);
  const refusal = refusalOf(outcomes);
  if ((refusal && !known) || outcomes.some(needsLocks)) return null;

  const newUserId = uniqueId(now);
  const connectionVersion = connection.version;
  const write = writeOf(login, { prints, known, linked: false, newUserId, connectionVersion, outcomes, now });
  const saved = await saveLogin(db, write, { waitMilliseconds });
  switch (saved) {
    case 'saved':
      return { userId: write.user.userId, changed: write.events.length > 0, refusal };
    case 'moved':
      return null;
    case 'replayed':
      throw replayed();
    default:
      return saved satisfies never;
  }
}

/** Refusals are decided under locks. */
function isGood({ issuer, user }: NonNullable<LoginState['known']>, { identity }: LoginSync): boolean {
  return issuer === identity.issuer && user.status === 'active';
}

/** A new person who cannot be somebody else's double (R33), and takes no seat that has to be counted (R36). */
function mayMake({ justInTimeProvisioning, link }: LoginSync, { maxUsers }: ApplyContext): boolean {
  return justInTimeProvisioning && !link && maxUsers === null;
}

/** Other rows than the member's own decide, or are made (R23, R30). */
function needsLocks({ sync, decision, asksForOtherAdmin }: Outcome): boolean {
  return asksForOtherAdmin || (decision.kind === 'grant' && sync.newGroups.length > 0);
}
