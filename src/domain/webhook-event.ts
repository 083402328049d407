import type { LicenceSource, LicenceStatus } from './licence.ts';
import type { GroupRef } from './membership.ts';

/** What the app is told. Envelope after Standard Webhooks: `{ type, timestamp, data }`, data in snake_case. */
export type WebhookEvent =
  | UserEvent
  | UserDeletedEvent
  | MembershipEvent
  | SyncHeldEvent
  | LicenceChangedEvent
  | LicenceLimitEvent
  | EndpointDisabledEvent
  | EndpointTestEvent
  | MembershipSnapshotEvent;

interface Envelope<Type extends string, Data> {
  readonly type: Type;
  /** Null for events that belong to no workspace. */
  readonly workspaceId: string | null;
  readonly userId: string | null;
  /** Events with the same key are delivered in the order in which they committed. */
  readonly orderKey: string;
  readonly occurredAt: Date;
  readonly data: Data;
}

export interface UserData {
  readonly user: {
    readonly id: string;
    readonly email: string | null;
    readonly name: string | null;
    readonly status: 'active' | 'archived';
  };
}
export type UserEvent = Envelope<'user.created' | 'user.updated' | 'user.archived' | 'user.restored', UserData>;

/** Nothing but the id: the person is forgotten. */
export interface UserDeletedData {
  readonly user: { readonly id: string };
}
export type UserDeletedEvent = Envelope<'user.deleted', UserDeletedData>;

export interface MembershipState {
  readonly role: string;
  readonly groups: readonly { readonly id: string; readonly name: string }[];
}

export interface MembershipData {
  readonly workspace: { readonly id: string; readonly slug: string };
  readonly user: { readonly id: string; readonly email: string | null; readonly name: string | null };
  readonly role: string;
  readonly groups: MembershipState['groups'];
  readonly version: number;
  readonly previous: MembershipState | null;
  readonly added: MembershipState['groups'];
  readonly removed: MembershipState['groups'];
  readonly cause: {
    readonly kind: 'login' | 'api' | 'plan' | 'scim';
    readonly connection_id: string | null;
    readonly login_id: string | null;
  };
}
export type MembershipEvent = Envelope<'membership.created' | 'membership.updated' | 'membership.removed', MembershipData>;

export interface SyncHeldData {
  readonly workspace: { readonly id: string; readonly slug: string };
  readonly user: { readonly id: string };
  /** Why access was left as it was. */
  readonly reason: 'groups_absent' | 'groups_overage' | 'groups_truncated' | 'groups_malformed' | 'last_admin';
  readonly detail: string;
  readonly version: number;
  readonly cause: MembershipData['cause'];
}
export type SyncHeldEvent = Envelope<'sync.held', SyncHeldData>;

export interface LicenceData {
  readonly licence: {
    readonly status: LicenceStatus;
    readonly source: LicenceSource | null;
    readonly id: string | null;
    readonly holder: string | null;
    readonly expires_at: string | null;
    readonly features: readonly string[];
    readonly max_users: number | null;
  };
}
export type LicenceChangedEvent = Envelope<'licence.changed', LicenceData>;

export interface LicenceLimitData {
  readonly max_users: number;
  readonly active_users: number;
}
export type LicenceLimitEvent = Envelope<'licence.limit_reached', LicenceLimitData>;

/** Without the query of its address, which may hold a secret of the receiver's. */
interface EndpointRef {
  readonly id: string;
  readonly url: string;
  readonly description: string;
}

export interface EndpointDisabledData {
  readonly endpoint: EndpointRef;
  /** `gone`: the receiver answered 410; `failing`: nothing succeeded for as long as attempts are made. */
  readonly reason: 'gone' | 'failing';
  readonly failing_since: string | null;
  readonly last_status: number | null;
  readonly last_error: string | null;
}
export type EndpointDisabledEvent = Envelope<'endpoint.disabled', EndpointDisabledData>;

export interface EndpointTestData {
  readonly endpoint: EndpointRef;
}
/** Made for one endpoint alone, and no part of the log. */
export type EndpointTestEvent = Envelope<'endpoint.test', EndpointTestData>;

export interface MembershipSnapshotData extends Pick<MembershipData, 'workspace' | 'role' | 'groups' | 'version'> {
  readonly user: UserData['user'];
  readonly status: 'active' | 'removed';
}
/** The state that a membership has, for an endpoint that asked for it. Made for one endpoint alone, and no part of the log. */
export type MembershipSnapshotEvent = Envelope<'membership.snapshot', MembershipSnapshotData>;

/** Events of one member of one workspace are delivered in order. */
export function memberOrderKey(workspaceId: string, userId: string): string {
  return `member:${workspaceId}:${userId}`;
}

/** `{ id, name }` of each group, in name order (code points), as the app sees them. */
export function groupsForApp(groups: readonly GroupRef[]): MembershipState['groups'] {
  return groups
    .map(({ groupId, name }) => ({ id: groupId, name }))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
