import type { GroupRef, Membership } from '../domain/membership.ts';
import type { MembershipEvent } from '../domain/webhook-event.ts';

export interface MembershipChange {
  readonly type: MembershipEvent['type'];
  readonly next: Membership;
  readonly previous: Membership | null;
  readonly added: readonly GroupRef[];
  readonly removed: readonly GroupRef[];
}

/**
 * What changes between two states of a membership, or null if nothing that the app can see does. The version grows by one with each
 * change, also over a removal and a later return. Pure.
 */
export function diffMembership(previous: Membership | null, next: Omit<Membership, 'version'>): MembershipChange | null {
  const wasActive = previous?.status === 'active' ? previous : null;
  const isActive = next.status === 'active';
  if (!wasActive && !isActive) return null;
  const version = (previous?.version ?? 0) + 1;
  const [before, after] = [wasActive?.groups ?? [], isActive ? next.groups : []];
  const added = without(after, before);
  const removed = without(before, after);
  if (wasActive && isActive && wasActive.role === next.role && added.length === 0 && removed.length === 0) return null;
  const type = !wasActive ? 'membership.created' : isActive ? 'membership.updated' : 'membership.removed';
  return { type, next: { ...next, version }, previous: wasActive, added, removed };
}

function without(groups: readonly GroupRef[], others: readonly GroupRef[]): GroupRef[] {
  const ids = new Set(others.map(({ groupId }) => groupId));
  return groups.filter(({ groupId }) => !ids.has(groupId));
}
