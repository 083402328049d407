import type { Groups } from '../domain/federated-identity.ts';
import { type AppGroup, fallbackRole, type GroupSyncSettings, type RoleLadder } from '../domain/group-sync.ts';
import type { Entitlements, GroupRef, MappingWarning, Membership, Reason } from '../domain/membership.ts';
import type { SyncHeldData } from '../domain/webhook-event.ts';

/** What one sync says about one workspace: the groups as read, and what the mapping makes of them. */
export interface WorkspaceSync {
  readonly workspaceId: string;
  readonly workspaceSlug: string;
  readonly settings: GroupSyncSettings;
  readonly groups: Groups;
  /** Of the known groups; of no groups at all while they are unknown. */
  readonly entitlements: Entitlements;
  /** App groups that the entitlements count on and that do not exist yet (R23, `createMissingGroups`). */
  readonly newGroups: readonly AppGroup[];
}

export interface StoredMembership extends Membership {
  readonly reasons: readonly Reason[];
}

export type MembershipDecision =
  | {
      readonly kind: 'grant';
      readonly role: string;
      readonly groups: readonly GroupRef[];
      readonly reasons: readonly Reason[];
      readonly warnings: readonly MappingWarning[];
      readonly held: Held | null;
    }
  /** The membership stays exactly as it is. */
  | { readonly kind: 'hold'; readonly held: Held | null }
  /** No access to this workspace; `removes` only where the IdP's groups are known (law 6). */
  | { readonly kind: 'deny'; readonly reason: 'no_matching_group' | 'groups_unknown'; readonly removes: boolean };

export interface Held {
  readonly reason: SyncHeldData['reason'];
  readonly detail: string;
}

/** R12, R22, R25, R27 for one member of one workspace. Pure. */
export function decideMembership(current: StoredMembership | null, sync: WorkspaceSync, ladder: RoleLadder): MembershipDecision {
  const active = current?.status === 'active' ? current : null;
  if (!sync.settings.enabled) return active ? { kind: 'hold', held: null } : grantFallback(ladder, null);
  if (sync.groups.state === 'unknown') return decideUnknown(active, sync, sync.groups, ladder);
  return decideKnown(active, sync, ladder);
}

/** R25: missing data never takes access away; a first login gets the fallback role. */
function decideUnknown(
  active: StoredMembership | null,
  sync: WorkspaceSync,
  groups: Groups & { state: 'unknown' },
  ladder: RoleLadder,
): MembershipDecision {
  const policy = sync.settings.unknownGroups;
  switch (policy) {
    case 'hold': {
      const held: Held = { reason: `groups_${groups.reason}`, detail: groups.detail };
      return active ? { kind: 'hold', held } : grantFallback(ladder, held);
    }
    case 'treat-as-empty':
      return decideKnown(active, sync, ladder);
    case 'deny':
      return { kind: 'deny', reason: 'groups_unknown', removes: false };
    default:
      return policy satisfies never;
  }
}

function decideKnown(active: StoredMembership | null, sync: WorkspaceSync, ladder: RoleLadder): MembershipDecision {
  const { entitlements, settings } = sync;
  if (!entitlements.matched) {
    if (settings.noMatch === 'deny') return { kind: 'deny', reason: 'no_matching_group', removes: true };
    if (settings.noMatch === 'keep' && active) return { kind: 'hold', held: null };
  }
  const { role, groups, reasons, warnings } = entitlements;
  const mapped = { kind: 'grant', role, groups, reasons, warnings, held: null } as const;
  return settings.mode === 'managed-only' && active ? withManualGrants(mapped, active, ladder) : mapped;
}

/** R27 `managed-only`: what Rollcall did not grant stays, and says so. */
function withManualGrants(
  mapped: MembershipDecision & { kind: 'grant' },
  active: StoredMembership,
  ladder: RoleLadder,
): MembershipDecision {
  const bySync = active.reasons.filter(({ via }) => !(via.kind === 'kept' && via.because === 'manual'));
  const syncedGroups = new Set(bySync.flatMap(({ grant }) => (grant.kind === 'group' ? [grant.groupId] : [])));
  const mappedGroups = new Set(mapped.groups.map(({ groupId }) => groupId));
  const manualGroups = active.groups.filter(({ groupId }) => !syncedGroups.has(groupId) && !mappedGroups.has(groupId));
  const manualRole = bySync.some(({ grant }) => grant.kind === 'role' && grant.role === active.role) ? null : active.role;
  const keepsRole = manualRole !== null && isHigher(ladder, manualRole, mapped.role);
  const kept: Reason[] = manualGroups.map((group) => keptReason({ kind: 'group', ...group }, 'manual'));
  if (keepsRole) kept.push(keptReason({ kind: 'role', role: manualRole }, 'manual'));
  return {
    ...mapped,
    role: keepsRole ? manualRole : mapped.role,
    groups: [...mapped.groups, ...manualGroups],
    reasons: [...mapped.reasons, ...kept],
  };
}

/** R30: true if carrying the decision out takes the highest role away from this member. */
export function wouldDemoteAdmin(current: StoredMembership | null, decision: MembershipDecision, ladder: RoleLadder): boolean {
  if (current?.status !== 'active' || current.role !== ladder[0]) return false;
  if (decision.kind === 'deny') return decision.removes;
  return decision.kind === 'grant' && decision.role !== ladder[0];
}

/** R30: the decision for a workspace that has no other admin: the role stays, groups follow the mapping. */
export function keepLastAdmin(decision: MembershipDecision, ladder: RoleLadder): MembershipDecision {
  const held: Held = { reason: 'last_admin', detail: 'the last admin of a workspace keeps the role' };
  if (decision.kind !== 'grant') return { kind: 'hold', held };
  const role = ladder[0];
  // The roles that the mapping gave instead do not hold, so their reasons would mislead.
  const groupReasons = decision.reasons.filter(({ grant }) => grant.kind === 'group');
  return {
    ...decision,
    role,
    held,
    reasons: [...groupReasons, keptReason({ kind: 'role', role }, 'last-admin')],
    groups: decision.groups,
  };
}

function grantFallback(ladder: RoleLadder, held: Held | null): MembershipDecision {
  const role = fallbackRole(ladder);
  const reason: Reason = { grant: { kind: 'role', role }, idpGroup: null, via: { kind: 'fallback' } };
  return { kind: 'grant', role, groups: [], reasons: [reason], warnings: [], held };
}

function keptReason(grant: Reason['grant'], because: 'last-admin' | 'manual'): Reason {
  return { grant, idpGroup: null, via: { kind: 'kept', because } };
}

function isHigher(ladder: RoleLadder, role: string, than: string): boolean {
  const rank = ladder.indexOf(role);
  return rank !== -1 && rank < ladder.indexOf(than);
}
