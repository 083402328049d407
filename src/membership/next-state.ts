import type { GroupRef, MappingWarning, Membership, Reason } from '../domain/membership.ts';
import type { MembershipDecision, StoredMembership } from './decision.ts';

export type NextState = Omit<Membership, 'version'>;

/** The membership that a decision leads to; null: it stays as it is, or there is none. Pure. */
export function stateAfter(
  decision: MembershipDecision,
  stored: StoredMembership | null,
  { workspaceId, userId }: Pick<Membership, 'workspaceId' | 'userId'>,
): NextState | null {
  switch (decision.kind) {
    case 'grant':
      return { workspaceId, userId, role: decision.role, groups: decision.groups, status: 'active' };
    case 'deny':
      if (!decision.removes || stored?.status !== 'active') return null;
      return { workspaceId, userId, role: stored.role, groups: [], status: 'removed' };
    case 'hold':
      return null;
    default:
      return decision satisfies never;
  }
}

/** A person in ten thousand groups may have as many warnings; the first ones tell what kind of thing is wrong. */
const maxStoredWarnings = 200;

/** State and reasons as the table holds them. */
export function columnsOf({ role, groups, status }: NextState, version: number, decision: MembershipDecision) {
  const { reasons, warnings } = reasonsOf(decision);
  return {
    role,
    group_ids: groups.map(({ groupId }: GroupRef) => groupId),
    status,
    version,
    reasons,
    warnings: warnings.slice(0, maxStoredWarnings),
  };
}

function reasonsOf(decision: MembershipDecision): {
  readonly reasons: readonly Reason[];
  readonly warnings: readonly MappingWarning[];
} {
  return decision.kind === 'grant' ? decision : { reasons: [], warnings: [] };
}
