import type { User } from '../domain/user.ts';
import {
  groupsForApp,
  type MembershipData,
  type MembershipEvent,
  memberOrderKey,
  type SyncHeldEvent,
  type UserDeletedEvent,
  type UserEvent,
} from '../domain/webhook-event.ts';
import type { Held } from './decision.ts';
import type { MembershipChange } from './diff.ts';

/** What an event says about its origin. */
export interface EventContext {
  readonly user: User;
  readonly cause: MembershipData['cause'];
  readonly now: Date;
}

export interface WorkspaceRef {
  readonly workspaceId: string;
  readonly workspaceSlug: string;
}

/** The whole state after the change, so that a late or doubled event is harmless (law 3). */
export function membershipEvent(
  change: MembershipChange,
  workspace: WorkspaceRef,
  { user, cause, now }: EventContext,
): MembershipEvent {
  const { next, previous } = change;
  return {
    type: change.type,
    workspaceId: next.workspaceId,
    userId: next.userId,
    orderKey: memberOrderKey(next.workspaceId, next.userId),
    occurredAt: now,
    data: {
      workspace: { id: next.workspaceId, slug: workspace.workspaceSlug },
      user: { id: user.userId, email: user.email, name: user.name },
      role: next.role,
      groups: groupsForApp(next.groups),
      version: next.version,
      previous: previous && { role: previous.role, groups: groupsForApp(previous.groups) },
      added: groupsForApp(change.added),
      removed: groupsForApp(change.removed),
      cause,
    },
  };
}

/** R25, R30: access stayed as it was, and why; `version` is the membership's, unchanged by this. */
export function syncHeldEvent(
  held: Held,
  version: number,
  workspace: WorkspaceRef,
  { user, cause, now }: EventContext,
): SyncHeldEvent {
  const { workspaceId, workspaceSlug } = workspace;
  return {
    type: 'sync.held',
    workspaceId,
    userId: user.userId,
    orderKey: memberOrderKey(workspaceId, user.userId),
    occurredAt: now,
    data: { workspace: { id: workspaceId, slug: workspaceSlug }, user: { id: user.userId }, ...held, version, cause },
  };
}

export function userEvent(type: UserEvent['type'], user: User, now: Date): UserEvent {
  const { userId, email, name, status } = user;
  return {
    type,
    workspaceId: null,
    userId,
    orderKey: `user:${userId}`,
    occurredAt: now,
    data: { user: { id: userId, email, name, status } },
  };
}

export function userDeletedEvent(userId: string, now: Date): UserDeletedEvent {
  return {
    type: 'user.deleted',
    workspaceId: null,
    userId,
    orderKey: `user:${userId}`,
    occurredAt: now,
    data: { user: { id: userId } },
  };
}
