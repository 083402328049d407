import type { RoleLadder } from '../domain/group-sync.ts';
import type { GroupRef } from '../domain/membership.ts';
import type { MembershipEvent } from '../domain/webhook-event.ts';
import type { Log } from '../infra/log.ts';
import type { Database, Transaction } from '../infra/postgres.ts';

/** What a change touches: the connections whose settings it sets, the workspaces whose catalogue it sets. */
export interface Touched {
  readonly connectionIds: readonly string[];
  readonly workspaceIds: readonly string[];
  /** App groups that go: members lose them first, the groups themselves are deleted last. */
  readonly deletedGroupIds: readonly string[];
  /** Memberships that the change itself ends, with their events. */
  readonly departures?: readonly Departure[];
}

/** Members of a workspace that is archived, or leaves the sync list of the connection by which they came. */
export interface Departure {
  readonly workspaceId: string;
  /** Null: everybody. */
  readonly connectionId: string | null;
}

/** Makes a change within a transaction, the deletion of app groups aside. Throws what the API would answer to the same change. */
export type WriteChange = (tx: Transaction) => Promise<Touched>;

/** A membership that would change. */
export interface PlannedMember {
  readonly workspaceId: string;
  readonly userId: string;
  readonly type: MembershipEvent['type'];
  readonly gains: boolean;
  readonly loses: boolean;
  /** Whether the highest role is gained or lost; `kept`: it would be lost, but a workspace keeps its last admin (R30). */
  readonly admin: 'gains' | 'loses' | 'kept' | null;
  /** Null: no access. */
  readonly roleBefore: string | null;
  readonly roleAfter: string | null;
  readonly added: readonly GroupRef[];
  readonly removed: readonly GroupRef[];
}

export interface PlanCounts {
  /** Members, and users that a connection of the workspace knows. */
  readonly examined: number;
  /** Among them with access before. */
  readonly members: number;
  readonly changed: number;
  readonly gaining: number;
  readonly losing: number;
  readonly created: number;
  readonly removed: number;
  /** Left as they are because their groups are not known (R25). */
  readonly unknown: number;
  readonly admins: {
    readonly before: number;
    readonly after: number;
    readonly gaining: number;
    readonly losing: number;
    readonly kept: number;
  };
}

export interface PlanSummary extends PlanCounts {
  /** Users with access to any workspace. */
  readonly seats: { readonly before: number; readonly after: number };
  /** Of the members before. */
  readonly lossPercent: number;
}

export interface PlanDeps {
  readonly db: Database;
  readonly ladder: RoleLadder;
  readonly now: () => Date;
  readonly log: Log;
  /** Makes a change as the API described it, within the transaction. */
  readonly writeChange: (tx: Transaction, change: unknown) => Promise<Touched>;
  /** A plan that takes access from more of the members is carried out with `force` only. */
  readonly lossThresholdPercent: number;
  /** How long a login may still go by what was in force before a change. */
  readonly settleMilliseconds: number;
  /** How long a request waits for its evaluation or apply, which goes on after it. */
  readonly waitMilliseconds: number;
  /** 500 unless given. */
  readonly membersPerBatch?: number;
  /** Told what an apply changed, so that caches forget it, and of each batch's events. */
  readonly onChange: (touched: Touched) => void;
  readonly onEvents: () => void;
}
