import { randomUUID } from 'node:crypto';
import type { MembershipEvent, SyncHeldEvent, UserEvent } from '../../src/domain/webhook-event.ts';

export const workspaceId = '018f0000-0000-7000-8000-000000000001';
const cause = { kind: 'login', connection_id: '018f0000-0000-7000-8000-0000000000c1', login_id: randomUUID() } as const;

/** One change of one member; give `userId` to make several events of one member. */
export function membershipEvent(
  change: { readonly userId?: string; readonly version?: number; readonly workspaceId?: string; readonly at?: Date } = {},
): MembershipEvent {
  const { userId = randomUUID(), version = 1, workspaceId: workspace = workspaceId, at = new Date() } = change;
  const created = version === 1;
  return {
    type: created ? 'membership.created' : 'membership.updated',
    workspaceId: workspace,
    userId,
    orderKey: `member:${workspace}:${userId}`,
    occurredAt: at,
    data: {
      workspace: { id: workspace, slug: 'acme' },
      user: { id: userId, email: 'ada@example.com', name: 'Ada "Åse" Löve\u2028lace' },
      role: 'builder',
      groups: [{ id: '018f0000-0000-7000-8000-0000000000a1', name: 'marketing' }],
      version,
      previous: created ? null : { role: 'end-user', groups: [] },
      added: [{ id: '018f0000-0000-7000-8000-0000000000a1', name: 'marketing' }],
      removed: [],
      cause,
    },
  };
}

export function userEvent(type: UserEvent['type'] = 'user.created', userId: string = randomUUID()): UserEvent {
  return {
    type,
    workspaceId: null,
    userId,
    orderKey: `user:${userId}`,
    occurredAt: new Date(),
    data: { user: { id: userId, email: null, name: 'Ada', status: type === 'user.archived' ? 'archived' : 'active' } },
  };
}

export function syncHeldEvent(userId: string = randomUUID()): SyncHeldEvent {
  return {
    type: 'sync.held',
    workspaceId,
    userId,
    orderKey: `member:${workspaceId}:${userId}`,
    occurredAt: new Date(),
    data: {
      workspace: { id: workspaceId, slug: 'acme' },
      user: { id: userId },
      reason: 'groups_absent',
      detail: 'the claim "groups" is not in the answer',
      version: 3,
      cause,
    },
  };
}
