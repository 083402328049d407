import { fallbackRole, type RoleLadder } from '../domain/group-sync.ts';
import type { Membership } from '../domain/membership.ts';
import { diffMembership } from './diff.ts';
import type { PlanCounts, PlannedMember } from './plan-types.ts';
import type { MemberToReevaluate } from './reevaluation-store.ts';

/** What the next state of a membership would change for its member; null: nothing that the app can see. Pure. */
export function effectOf(
  { membership }: Pick<MemberToReevaluate, 'membership'>,
  next: Omit<Membership, 'version'>,
  ladder: RoleLadder,
): PlannedMember | null {
  const change = diffMembership(membership, next);
  if (!change) return null;
  const { type, previous, added, removed } = change;
  const roleBefore = previous?.role ?? null;
  const roleAfter = type === 'membership.removed' ? null : change.next.role;
  const step = rankOf(roleBefore, ladder) - rankOf(roleAfter, ladder);
  return {
    workspaceId: next.workspaceId,
    userId: next.userId,
    type,
    gains: step > 0 || added.length > 0,
    loses: step < 0 || removed.length > 0,
    admin: adminChange(roleBefore, roleAfter, ladder),
    roleBefore,
    roleAfter,
    added,
    removed,
  };
}

/** 0 is the highest; no access stands below every role, and a role that the ladder lost counts as its lowest. */
function rankOf(role: string | null, ladder: RoleLadder): number {
  if (role === null) return ladder.length;
  const rank = ladder.indexOf(role);
  return rank === -1 ? ladder.indexOf(fallbackRole(ladder)) : rank;
}

function adminChange(before: string | null, after: string | null, [highest]: RoleLadder): PlannedMember['admin'] {
  if (before === highest) return after === highest ? null : 'loses';
  return after === highest ? 'gains' : null;
}

export interface Tally {
  readonly counts: PlanCounts;
  examine(members: number, withAccess: number, unknown: number): void;
  add(effect: PlannedMember): void;
  admins(before: number): void;
  keepAdmin(): void;
}

/** Sums effects up as they come. */
export function createTally(): Tally {
  const admins = { before: 0, after: 0, gaining: 0, losing: 0, kept: 0 };
  const counts = { examined: 0, members: 0, changed: 0, gaining: 0, losing: 0, created: 0, removed: 0, unknown: 0, admins };
  return {
    counts,
    examine(members, withAccess, unknown) {
      counts.examined += members;
      counts.members += withAccess;
      counts.unknown += unknown;
    },
    add(effect) {
      counts.changed += 1;
      if (effect.gains) counts.gaining += 1;
      if (effect.loses) counts.losing += 1;
      if (effect.type === 'membership.created') counts.created += 1;
      if (effect.type === 'membership.removed') counts.removed += 1;
      if (effect.admin === 'gains') admins.gaining += 1;
      if (effect.admin === 'loses') admins.losing += 1;
      admins.after = admins.before + admins.gaining - admins.losing;
    },
    admins(before) {
      admins.before += before;
      admins.after += before;
    },
    keepAdmin() {
      admins.kept += 1;
    },
  };
}
