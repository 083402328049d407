import { BrokerError } from '../domain/broker-error.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { uniqueId } from '../infra/unique-id.ts';
import type { SnapshotFilter } from './snapshot-task.ts';

/** A snapshot that an endpoint asked for: every member as a `membership.snapshot` event, made in the background. */
export interface EndpointSnapshot {
  readonly snapshotId: string;
  readonly endpointId: string;
  readonly includeRemoved: boolean;
  /** `done`: every event is on its way; `failed`: given up, the endpoint was removed or its batches failed again and again. */
  readonly status: 'waiting' | 'done' | 'failed';
  /** Events made so far. */
  readonly events: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Adds the task that `carrySnapshotBatch` carries out; the endpoint gets live events already. */
export async function addSnapshotTask(
  tx: Transaction,
  { endpointId, includeRemoved, now }: { readonly endpointId: string; readonly includeRemoved: boolean; readonly now: Date },
): Promise<EndpointSnapshot> {
  const filter: SnapshotFilter = { includeRemoved };
  const rows: TaskRow[] = await tx('endpoint_tasks')
    .insert({
      task_id: uniqueId(now),
      endpoint_id: endpointId,
      kind: 'snapshot',
      filter: JSON.stringify(filter),
      created_at: now,
      updated_at: now,
    })
    .returning('*');
  return toSnapshot(rows[0] as TaskRow);
}

/** For an endpoint that is enabled again: changes to members who were told before happened without it. */
export async function restartSnapshots(tx: Transaction, endpointId: string): Promise<void> {
  await tx('endpoint_tasks').where({ endpoint_id: endpointId, kind: 'snapshot', status: 'waiting' }).update({ progress: null });
}

export type SnapshotRequests = ReturnType<typeof createSnapshotRequests>;

/** All throw `not_found` for an endpoint that is not there. */
export function createSnapshotRequests({ db, now }: { readonly db: Database; readonly now: () => Date }) {
  return {
    /** @throws BrokerError `conflict` while the endpoint is disabled, or while another snapshot is being made for it */
    async create(endpointId: string, { includeRemoved }: SnapshotFilter): Promise<EndpointSnapshot> {
      return db.transaction(async (tx) => {
        await lockEnabledEndpoint(tx, endpointId);
        const underWay = await tx('endpoint_tasks')
          .where({ endpoint_id: endpointId, kind: 'snapshot', status: 'waiting' })
          .first();
        if (underWay !== undefined) {
          throw new BrokerError('conflict', 'a snapshot is being made for this endpoint', { reason: 'snapshot_under_way' });
        }
        return addSnapshotTask(tx, { endpointId, includeRemoved, now: now() });
      });
    },

    /** Newest first. Index: endpoint_tasks_by_endpoint. */
    async list(
      endpointId: string,
      page: { readonly after: string | null; readonly limit: number },
    ): Promise<readonly EndpointSnapshot[]> {
      await checkPresent(db, endpointId);
      const query = db<TaskRow>('endpoint_tasks').where({ endpoint_id: endpointId, kind: 'snapshot' });
      if (page.after !== null) query.where('task_id', '<', page.after);
      return (await query.orderBy('task_id', 'desc').limit(page.limit)).map(toSnapshot);
    },

    async get(endpointId: string, snapshotId: string): Promise<EndpointSnapshot> {
      await checkPresent(db, endpointId);
      const row = await db<TaskRow>('endpoint_tasks')
        .where({ endpoint_id: endpointId, kind: 'snapshot', task_id: snapshotId })
        .first();
      if (!row) throw new BrokerError('not_found', 'the endpoint has no snapshot with this id');
      return toSnapshot(row);
    },
  };
}

export interface EnabledEndpoint {
  readonly endpoint_id: string;
  readonly url: string;
  readonly description: string;
}

/**
 * The endpoint, which stays as it is until `tx` ends.
 * @throws BrokerError `not_found`; `conflict` while it is disabled: nothing would be sent
 */
export async function lockEnabledEndpoint(tx: Transaction, endpointId: string): Promise<EnabledEndpoint> {
  const row = await tx('endpoints')
    .where({ endpoint_id: endpointId, deleted_at: null })
    .forNoKeyUpdate()
    .first<(EnabledEndpoint & { enabled: boolean }) | undefined>('endpoint_id', 'url', 'description', 'enabled');
  if (!row) throw unknownEndpoint();
  if (row.enabled) return row;
  throw new BrokerError('conflict', 'the endpoint is disabled', {
    reason: 'endpoint_disabled',
    fields: [{ path: '', message: 'enable the endpoint first: while it is disabled nothing is sent to it' }],
  });
}

async function checkPresent(db: Database, endpointId: string): Promise<void> {
  const row = await db('endpoints').where({ endpoint_id: endpointId, deleted_at: null }).first('endpoint_id');
  if (!row) throw unknownEndpoint();
}

function unknownEndpoint(): BrokerError {
  return new BrokerError('not_found', 'there is no endpoint with this id');
}

interface TaskRow {
  readonly task_id: string;
  readonly endpoint_id: string;
  readonly kind: string;
  readonly filter: SnapshotFilter;
  readonly status: EndpointSnapshot['status'];
  readonly deliveries: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

function toSnapshot(row: TaskRow): EndpointSnapshot {
  return {
    snapshotId: row.task_id,
    endpointId: row.endpoint_id,
    includeRemoved: row.filter.includeRemoved,
    status: row.status,
    events: row.deliveries,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
