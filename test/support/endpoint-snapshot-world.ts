import { randomUUID } from 'node:crypto';
import { fanOut } from '../../src/delivery/fan-out.ts';
import { carrySnapshotBatch } from '../../src/delivery/snapshot-task.ts';
import { type CarryBatch, createTaskRunner } from '../../src/delivery/tasks.ts';
import type { Database } from '../../src/infra/postgres.ts';
import { uniqueId } from '../../src/infra/unique-id.ts';
import { createManualEdits } from '../../src/membership/manual-edit.ts';
import { createDeliveryWorld, silentLog } from './delivery-world.ts';
import { aWorld } from './membership-world.ts';
import { ladder } from './sync-builder.ts';

/** What a receiver was sent about one member, in the order in which it will come. */
export interface SentMember {
  readonly type: string;
  readonly version: number;
  readonly role: string;
  readonly groups: readonly string[];
  readonly status: 'active' | 'removed';
}

/** Members who change as people change them, and endpoints that ask for all of them. */
export async function createSnapshotWorld(db: Database) {
  const delivery = createDeliveryWorld(db);
  const now = () => new Date();
  const edits = createManualEdits({ db, ladder, now });
  const catalogue = ['eng', 'ops'].map((name) => ({ name, requiresRole: null }));
  const worlds = [
    await aWorld(db, `a-${randomUUID().slice(0, 8)}`, catalogue),
    await aWorld(db, `b-${randomUUID().slice(0, 8)}`, catalogue),
  ];

  return {
    ...delivery,
    db,
    workspaceIds: worlds.map(({ workspaceId }) => workspaceId) as [string, string],

    async addUser(): Promise<string> {
      const userId = uniqueId(now());
      await db('users').insert({ user_id: userId, email: `${userId}@example.com`, name: 'Ann' });
      return userId;
    },

    /** A random role and groups, in the ordinary way: lock, write, event. */
    async setMember(workspaceId: string, userId: string): Promise<void> {
      const groups = worlds.find((each) => each.workspaceId === workspaceId)?.catalogue ?? [];
      const groupIds = groups.filter(() => Math.random() < 0.5).map(({ groupId }) => groupId);
      const role = Math.random() < 0.5 ? 'builder' : 'end-user';
      await edits.put(workspaceId, userId, { role, groupIds }, { precondition: null, mayAdd: true });
    },

    removeMember: (workspaceId: string, userId: string) => edits.remove(workspaceId, userId, { precondition: null }),

    /** Carries out what waits, in small batches. */
    runner: (snapshot: CarryBatch = carrySnapshotBatch, batchSize = 3) =>
      createTaskRunner({
        db,
        carry: { snapshot, replay: async () => ({ done: true, progress: null, deliveries: 0 }) },
        now,
        log: silentLog,
        pollSeconds: 0.01,
        batchSize,
      }),

    async fanOutAll(): Promise<void> {
      for (;;) {
        const result = await fanOut(db, { batchEvents: 50 });
        if (result.kind === 'done' && result.events === 0) return;
      }
    },

    /** By workspace and user: what the endpoint will be sent, in the order of its lanes. */
    async sent(endpointId: string): Promise<Map<string, SentMember[]>> {
      const { rows } = await db.raw(
        `SELECT order_key, events.payload FROM deliveries JOIN events USING (recorded_on, position, order_key)
          WHERE endpoint_id = ? AND order_key LIKE 'member:%' ORDER BY order_key, position`,
        [endpointId],
      );
      const sent = new Map<string, SentMember[]>();
      for (const { order_key: orderKey, payload } of rows as { order_key: string; payload: Payload }[]) {
        const member = orderKey.replace('member:', '');
        sent.set(member, [...(sent.get(member) ?? []), toSent(payload)]);
      }
      return sent;
    },

    /** The members that there are, as a receiver should know them. */
    async members(): Promise<Map<string, Omit<SentMember, 'type' | 'status'>>> {
      const { rows } = await db.raw(
        `SELECT m.workspace_id || ':' || m.user_id AS member, m.version, m.role,
                coalesce((SELECT json_agg(g.name ORDER BY g.name) FROM app_groups g WHERE g.group_id = ANY (m.group_ids)), '[]') AS groups
           FROM memberships m WHERE m.status = 'active'`,
      );
      return new Map(rows.map(({ member, ...state }: { member: string }) => [member, state]));
    },

    async clearAll(): Promise<void> {
      await delivery.clear();
      await db.raw('DELETE FROM memberships');
    },
  };
}

export type SnapshotWorld = Awaited<ReturnType<typeof createSnapshotWorld>>;

interface Payload {
  readonly type: string;
  readonly data: {
    readonly version: number;
    readonly role: string;
    readonly groups: readonly { readonly name: string }[];
    readonly status?: 'active' | 'removed';
  };
}

function toSent({ type, data }: Payload): SentMember {
  const removed = type === 'membership.removed' || data.status === 'removed';
  const { version, role } = data;
  return { type, version, role, groups: data.groups.map(({ name }) => name), status: removed ? 'removed' : 'active' };
}
