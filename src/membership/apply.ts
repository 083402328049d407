import { BrokerError } from '../domain/broker-error.ts';
import type { FederatedIdentity } from '../domain/federated-identity.ts';
import type { RoleLadder } from '../domain/group-sync.ts';
import type { User } from '../domain/user.ts';
import type { WebhookEvent } from '../domain/webhook-event.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { uniqueId } from '../infra/unique-id.ts';
import {
  decideMembership,
  keepLastAdmin,
  type MembershipDecision,
  type StoredMembership,
  type WorkspaceSync,
  wouldDemoteAdmin,
} from './decision.ts';
import { diffMembership } from './diff.ts';
import { type EventContext, membershipEvent, syncHeldEvent, userEvent } from './events.ts';
import { groupsFingerprint, profileFingerprint, syncFingerprint } from './fingerprint.ts';
import type { LinkByEmail } from './link.ts';
import * as store from './login-store.ts';
import { columnsOf, stateAfter } from './next-state.ts';
import { findPerson } from './person.ts';
import { claimSeat } from './seats.ts';

export interface LoginSync {
  readonly loginId: string;
  readonly connectionId: string;
  readonly justInTimeProvisioning: boolean;
  /** R33: how a first login may belong to a known person; null or absent: not at all. */
  readonly link?: LinkByEmail | null;
  readonly identity: FederatedIdentity;
  readonly workspaces: readonly WorkspaceSync[];
  /** Claim name to group names, of the known claims only; kept as last-seen (R38). Null when none is known. */
  readonly lastGroups: Readonly<Record<string, readonly string[]>> | null;
  readonly traceDetail: object;
}

/** `refusal`: what was decided is committed, but it leaves the user without access (R22 `deny`). */
export interface SyncResult {
  readonly userId: string;
  readonly changed: boolean;
  readonly refusal: BrokerError | null;
}

/**
 * Calls the roll: brings user and memberships of one login in line with what the IdP said, in one transaction with the answer's
 * single-use mark, the events and the trace (laws 2 and 3, R28).
 * @throws BrokerError `assertion_replayed`, `user_archived`, `not_entitled`, `licence_limit_reached`; nothing is written then
 */
export function createApplyLogin(deps: {
  readonly db: Database;
  readonly ladder: RoleLadder;
  /** R36: active users there may be; null: any number. */
  readonly seatLimit?: () => number | null;
  readonly now: () => Date;
}) {
  return async function applyLogin(login: LoginSync): Promise<SyncResult> {
    const now = deps.now();
    const prints = fingerprintsOf(login);
    const confirmed = await store.confirmUnchanged(deps.db, {
      connectionId: login.connectionId,
      identity: login.identity,
      profileFingerprint: prints.profile,
      groupsFingerprint: prints.groups,
      memberships: prints.memberships,
      trace: traceRow(login, null, now),
    });
    if (confirmed?.fresh === false) throw replayed();
    if (confirmed) return { userId: confirmed.userId, changed: false, refusal: null };
    const { ladder, seatLimit = () => null } = deps;
    return withoutDeadlock(() =>
      deps.db.transaction((tx) => applyChanges(tx, login, prints, { ladder, maxUsers: seatLimit(), now })),
    );
  };
}

async function applyChanges(
  tx: Transaction,
  login: LoginSync,
  prints: Fingerprints,
  { ladder, maxUsers, now }: { readonly ladder: RoleLadder; readonly maxUsers: number | null; readonly now: Date },
): Promise<SyncResult> {
  const { connectionId, identity, loginId } = login;
  const workspaces = inLockOrder(login.workspaces);
  // Before anything is written: a transaction gets its id at its first write, and the event log goes by it (`outbox/read.ts`). Got
  // under the lock, the ids of logins of one person, and so their events, stand in the order of their versions.
  const { known, linked } = await findPerson(tx, login);
  const fresh = await store.markAnswerUsed(tx, {
    connectionId,
    answerId: identity.answerId,
    usedUntil: identity.answerExpiresAt,
  });
  if (!fresh) throw replayed();

  const user: User = { userId: known?.user.userId ?? uniqueId(now), status: 'active', ...identity.profile };
  const workspaceIds = workspaces.map(({ workspaceId }) => workspaceId);
  const served = await store.readServed(tx, connectionId, user.userId, workspaceIds);

  const outcomes: Outcome[] = [];
  for (const sync of workspaces) {
    const stored = served.get(sync.workspaceId);
    if (stored === undefined) continue;
    outcomes.push({ sync, stored, decision: await decide(tx, stored, sync, user.userId, ladder) });
  }
  const refusal = refusalOf(outcomes);
  if (refusal && !known) throw refusal;

  if (!known) await claimSeat(tx, maxUsers);
  const profileChanged = known?.profileFingerprint !== prints.profile;
  const events: WebhookEvent[] = [];
  if (profileChanged) events.push(userEvent(known ? 'user.updated' : 'user.created', user, now));
  const cause = { kind: 'login', connection_id: connectionId, login_id: loginId } as const;
  const memberships = await carryOut(tx, outcomes, { user, cause, now }, events);
  await store.saveLogin(tx, {
    user,
    profileFingerprint: profileChanged ? prints.profile : null,
    identity,
    connectionId,
    groups: login.lastGroups,
    groupsFingerprint: prints.groups,
    memberships,
    events,
    trace: traceRow(
      linked ? { ...login, traceDetail: { ...login.traceDetail, linked_by_email: true } } : login,
      {
        userId: user.userId,
        refusal,
      },
      now,
    ),
    now,
  });
  return { userId: user.userId, changed: events.length > 0, refusal };
}

/** Connections list their workspaces in orders of their own; logins that lock several must not meet crosswise. */
function inLockOrder(workspaces: readonly WorkspaceSync[]): readonly WorkspaceSync[] {
  return workspaces.toSorted((a, b) => (a.workspaceId < b.workspaceId ? -1 : 1));
}

/** What meets crosswise all the same (a demotion here, a new group there): Postgres ends one (40P01), which then finds the way free. */
async function withoutDeadlock<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if ((error as { code?: unknown }).code !== '40P01') throw error;
    return run();
  }
}

interface Outcome {
  readonly sync: WorkspaceSync;
  readonly stored: StoredMembership | null;
  readonly decision: MembershipDecision;
}

async function decide(
  tx: Transaction,
  stored: StoredMembership | null,
  sync: WorkspaceSync,
  userId: string,
  ladder: RoleLadder,
): Promise<MembershipDecision> {
  const decision = decideMembership(stored, sync, ladder);
  if (!stored || !sync.settings.keepLastAdmin || !wouldDemoteAdmin(stored, decision, ladder)) return decision;
  const otherAdmin = await store.hasOtherAdmin(tx, sync.workspaceId, userId, ladder[0]);
  return otherAdmin ? decision : keepLastAdmin(decision, ladder);
}

/** R22, R25: a login is refused when every workspace that it would sync denies. */
function refusalOf(outcomes: readonly Outcome[]): BrokerError | null {
  const denied = outcomes.flatMap(({ decision }) => (decision.kind === 'deny' ? [decision.reason] : []));
  if (denied.length === 0 || denied.length < outcomes.length) return null;
  return new BrokerError('not_entitled', 'no workspace grants access for the groups that the identity provider sent', {
    reason: denied[0] as string,
  });
}

/** What each workspace's outcome comes to: the rows to write, and `events` that tell of them. */
async function carryOut(
  tx: Transaction,
  outcomes: readonly Outcome[],
  context: EventContext,
  events: WebhookEvent[],
): Promise<store.MembershipRecord[]> {
  const { userId } = context.user;
  const records: store.MembershipRecord[] = [];
  for (const { sync, stored, decision } of outcomes) {
    const held = decision.kind === 'deny' ? null : decision.held;
    const fingerprint = held || decision.kind === 'deny' ? null : syncFingerprint(sync);
    let version = stored?.version ?? 0;
    if (decision.kind === 'grant' && sync.newGroups.length > 0) await createGroups(tx, sync);
    const next = stateAfter(decision, stored, { workspaceId: sync.workspaceId, userId });
    const change = next && diffMembership(stored, next);
    if (change) {
      version = change.next.version;
      events.push(membershipEvent(change, sync, context));
    }
    if (next) records.push({ workspace_id: sync.workspaceId, ...columnsOf(next, version, decision), fingerprint });
    if (decision.kind === 'hold') await store.saveFingerprint(tx, sync.workspaceId, userId, fingerprint);
    if (held) events.push(syncHeldEvent(held, version, sync, context));
  }
  return records;
}

async function createGroups(tx: Transaction, sync: WorkspaceSync): Promise<void> {
  if (await store.createAppGroups(tx, sync.workspaceId, sync.newGroups)) return;
  throw new BrokerError('conflict', 'an app group was created by somebody else at the same moment', {
    reason: 'catalogue_moved',
  });
}

interface Fingerprints {
  readonly profile: string;
  readonly groups: string | null;
  readonly memberships: readonly { readonly workspaceId: string; readonly fingerprint: string }[];
}

function fingerprintsOf(login: LoginSync): Fingerprints {
  return {
    profile: profileFingerprint(login.identity.profile),
    groups: groupsFingerprint(login.lastGroups),
    memberships: login.workspaces.map((sync) => ({ workspaceId: sync.workspaceId, fingerprint: syncFingerprint(sync) })),
  };
}

function traceRow(
  login: LoginSync,
  result: { readonly userId: string; readonly refusal: BrokerError | null } | null,
  now: Date,
): store.LoginTraceRow {
  return {
    loginId: login.loginId,
    connectionId: login.connectionId,
    userId: result?.userId ?? null,
    outcome: result?.refusal?.code ?? 'signed_in',
    reason: result?.refusal?.reason ?? null,
    detail: login.traceDetail,
    occurredAt: now,
  };
}

function replayed(): BrokerError {
  return new BrokerError('assertion_replayed', 'this answer of the identity provider was accepted before');
}
