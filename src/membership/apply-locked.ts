import { BrokerError } from '../domain/broker-error.ts';
import type { RoleLadder } from '../domain/group-sync.ts';
import type { Transaction } from '../infra/postgres.ts';
import { uniqueId } from '../infra/unique-id.ts';
import { keepLastAdmin, type WorkspaceSync } from './decision.ts';
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
import { readLoginState } from './login-state.ts';
import { createAppGroups, hasOtherAdmin, lockConnection } from './login-store.ts';
import { saveLogin } from './login-write.ts';
import { findPerson } from './person.ts';
import { claimSeat } from './seats.ts';

/**
 * Locks connection and person, then decides and writes by what cannot change any more. For what a comparison cannot hold: refusals,
 * linking, seats, the last admin, app groups to be made.
 * @throws BrokerError, see `createApplyLogin`; `conflict`, reason `catalogue_moved` or `identity_moved`
 */
export async function applyUnderLocks(tx: Transaction, login: LoginSync, context: ApplyContext): Promise<SyncResult> {
  const { prints, ladder, maxUsers, now } = context;
  const { connectionId, identity } = login;
  const connection = await lockConnection(tx, connectionId);
  if (!connection?.enabled) throw new BrokerError('connection_disabled', `connection ${connectionId} is disabled`);
  const { known, linked } = await findPerson(tx, login);
  const newUserId = uniqueId(now);
  const userId = known?.user.userId ?? newUserId;
  const workspaceIds = login.workspaces.map(({ workspaceId }) => workspaceId);
  const { served } = await readLoginState(tx, { connectionId, identity, userId, workspaceIds });

  const outcomes: Outcome[] = [];
  for (const outcome of decideOutcomes(login, served, ladder)) {
    outcomes.push(outcome.asksForOtherAdmin ? await protectLastAdmin(tx, outcome, userId, ladder) : outcome);
  }
  const refusal = refusalOf(outcomes);
  if (refusal && !known) throw refusal;
  if (!known) await claimSeat(tx, maxUsers);
  for (const { sync, decision } of outcomes) {
    if (decision.kind === 'grant' && sync.newGroups.length > 0) await createGroups(tx, sync);
  }

  const connectionVersion = connection.version;
  const write = writeOf(login, { prints, known, linked, newUserId, connectionVersion, outcomes, now });
  const saved = await saveLogin(tx, write);
  switch (saved) {
    case 'saved':
      return { userId, changed: write.events.length > 0, refusal };
    case 'moved':
      // Everything else is locked; an administrator who unlinks an identity does not ask for the user's lock.
      throw new BrokerError('conflict', 'the identity was unlinked at the same moment', { reason: 'identity_moved' });
    case 'replayed':
      throw replayed();
    default:
      return saved satisfies never;
  }
}

async function protectLastAdmin(tx: Transaction, outcome: Outcome, userId: string, ladder: RoleLadder): Promise<Outcome> {
  const { sync, decision } = outcome;
  if (await hasOtherAdmin(tx, sync.workspaceId, userId, ladder[0])) return outcome;
  return { ...outcome, decision: keepLastAdmin(decision, ladder) };
}

async function createGroups(tx: Transaction, sync: WorkspaceSync): Promise<void> {
  if (await createAppGroups(tx, sync.workspaceId, sync.newGroups)) return;
  throw new BrokerError('conflict', 'an app group was created by somebody else at the same moment', {
    reason: 'catalogue_moved',
  });
}
