import { BrokerError } from '../domain/broker-error.ts';
import type { FederatedIdentity } from '../domain/federated-identity.ts';
import type { RoleLadder } from '../domain/group-sync.ts';
import type { User } from '../domain/user.ts';
import type { WebhookEvent } from '../domain/webhook-event.ts';
import { decideMembership, type MembershipDecision, type WorkspaceSync, wouldDemoteAdmin } from './decision.ts';
import { diffMembership } from './diff.ts';
import { type EventContext, membershipEvent, syncHeldEvent, userEvent } from './events.ts';
import { groupsFingerprint, profileFingerprint, syncFingerprint } from './fingerprint.ts';
import type { LinkByEmail } from './link.ts';
import type { HeldMembership, LoginState } from './login-state.ts';
import type { KnownIdentity, LoginTraceRow } from './login-store.ts';
import type { LoginWrite, MembershipRecord } from './login-write.ts';
import { columnsOf, stateAfter } from './next-state.ts';

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

/** What the next equal login is recognised by. */
export interface Fingerprints {
  readonly profile: string;
  readonly groups: string | null;
  readonly memberships: readonly { readonly workspaceId: string; readonly fingerprint: string }[];
}

/** `refusal`: what was decided is committed, but it leaves the user without access (R22 `deny`). */
export interface SyncResult {
  readonly userId: string;
  readonly changed: boolean;
  readonly refusal: BrokerError | null;
}

/** What both ways of applying a login go by. */
export interface ApplyContext {
  readonly prints: Fingerprints;
  readonly ladder: RoleLadder;
  readonly maxUsers: number | null;
  readonly now: Date;
}

export function fingerprintsOf(login: LoginSync): Fingerprints {
  return {
    profile: profileFingerprint(login.identity.profile),
    groups: groupsFingerprint(login.lastGroups),
    memberships: login.workspaces.map((sync) => ({ workspaceId: sync.workspaceId, fingerprint: syncFingerprint(sync) })),
  };
}

/** What one login means for one workspace. */
export interface Outcome {
  readonly sync: WorkspaceSync;
  readonly stored: HeldMembership | null;
  readonly decision: MembershipDecision;
  /** R30: takes the highest role from a member, which is for the workspace's lock to allow. */
  readonly asksForOtherAdmin: boolean;
}

/**
 * The outcomes in the workspaces that the connection serves. In the order of the workspaces' ids: connections list them in orders of
 * their own, and logins that lock several must not meet crosswise. Pure.
 */
export function decideOutcomes(login: LoginSync, served: LoginState['served'], ladder: RoleLadder): readonly Outcome[] {
  return login.workspaces
    .toSorted((a, b) => (a.workspaceId < b.workspaceId ? -1 : 1))
    .flatMap((seen) => {
      const now = served.get(seen.workspaceId);
      if (now === undefined) return [];
      const sync = now.syncEnabled ? seen : { ...seen, settings: { ...seen.settings, enabled: false } };
      const stored = now.membership;
      const decision = decideMembership(stored, sync, ladder);
      const asksForOtherAdmin = sync.settings.keepLastAdmin && wouldDemoteAdmin(stored, decision, ladder);
      return [{ sync, stored, decision, asksForOtherAdmin }];
    });
}

/** R22, R25: a login is refused when every workspace that it would sync denies. */
export function refusalOf(outcomes: readonly Outcome[]): BrokerError | null {
  const denied = outcomes.flatMap(({ decision }) => (decision.kind === 'deny' ? [decision.reason] : []));
  if (denied.length === 0 || denied.length < outcomes.length) return null;
  return new BrokerError('not_entitled', 'no workspace grants access for the groups that the identity provider sent', {
    reason: denied[0] as string,
  });
}

/** What a login that was decided on writes: the rows, and the events that tell of them. Pure. */
export function writeOf(
  login: LoginSync,
  given: {
    readonly prints: Fingerprints;
    /** Null: a first login that makes the person. */
    readonly known: KnownIdentity | null;
    /** The person was found by e-mail (R33). */
    readonly linked: boolean;
    /** For a person who is not known yet. */
    readonly newUserId: string;
    readonly connectionVersion: number;
    readonly outcomes: readonly Outcome[];
    readonly now: Date;
  },
): LoginWrite {
  const { connectionId, identity, loginId } = login;
  const { prints, known, linked, outcomes, now } = given;
  const user: User = { userId: known?.user.userId ?? given.newUserId, status: 'active', ...identity.profile };
  const profileChanged = known?.profileFingerprint !== prints.profile;
  const events: WebhookEvent[] = [];
  if (profileChanged) events.push(userEvent(known ? 'user.updated' : 'user.created', user, now));
  const cause = { kind: 'login', connection_id: connectionId, login_id: loginId } as const;
  const carried = outcomes.map((outcome) => carryOut(outcome, { user, cause, now }));
  const refusal = refusalOf(outcomes);
  const traced = linked ? { ...login, traceDetail: { ...login.traceDetail, linked_by_email: true } } : login;
  return {
    connectionId,
    connectionVersion: given.connectionVersion,
    entering: outcomes.some((outcome) => isEntering(outcome, connectionId)),
    user,
    storedProfile: known && { fingerprint: known.profileFingerprint },
    profileFingerprint: profileChanged ? prints.profile : null,
    identity,
    newIdentity: linked || !known,
    groups: login.lastGroups,
    groupsFingerprint: prints.groups,
    read: outcomes.flatMap(({ stored }) => stored ?? []),
    memberships: carried.flatMap(({ record }) => record ?? []),
    holds: carried.flatMap(({ hold }) => hold ?? []),
    events: [...events, ...carried.flatMap(({ told }) => told)],
    trace: traceRow(traced, { userId: user.userId, refusal }, now),
    now,
  };
}

/** Puts somebody among those whom the connection's removal from the workspace, or the workspace's, would end. */
function isEntering({ stored, decision }: Outcome, connectionId: string): boolean {
  return decision.kind === 'grant' && (stored?.status !== 'active' || stored.connectionId !== connectionId);
}

interface Carried {
  readonly record: MembershipRecord | null;
  /** A membership that is held keeps everything; its fingerprint says whether the next equal login needs to look again. */
  readonly hold: LoginWrite['holds'][number] | null;
  readonly told: readonly WebhookEvent[];
}

function carryOut({ sync, stored, decision }: Outcome, context: EventContext): Carried {
  const { workspaceId } = sync;
  const held = decision.kind === 'deny' ? null : decision.held;
  const fingerprint = held || decision.kind === 'deny' ? null : syncFingerprint(sync);
  const next = stateAfter(decision, stored, { workspaceId, userId: context.user.userId });
  const change = next && diffMembership(stored, next);
  const version = change?.next.version ?? stored?.version ?? 0;
  const told: WebhookEvent[] = change ? [membershipEvent(change, sync, context)] : [];
  if (held) told.push(syncHeldEvent(held, version, sync, context));
  return {
    record: next && { workspace_id: workspaceId, is_new: !stored, ...columnsOf(next, version, decision), fingerprint },
    hold: decision.kind === 'hold' ? { workspace_id: workspaceId, fingerprint } : null,
    told,
  };
}

/** @param result null: the user is for the statement that writes it to name */
export function traceRow(
  login: LoginSync,
  result: { readonly userId: string; readonly refusal: BrokerError | null } | null,
  now: Date,
): LoginTraceRow {
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

export function replayed(): BrokerError {
  return new BrokerError('assertion_replayed', 'this answer of the identity provider was accepted before');
}
