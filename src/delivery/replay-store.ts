import { BrokerError } from '../domain/broker-error.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { uniqueId } from '../infra/unique-id.ts';
import { webhookId } from '../outbox/append.ts';
import type { ReplayFilter } from './replay-task.ts';
import { lockEnabledEndpoint } from './snapshot-request.ts';

export interface Replay {
  readonly replayId: string;
  readonly endpointId: string;
  readonly filter: ReplayFilter;
  /** `failed`: given up, because its endpoint was removed or its batches failed again and again. */
  readonly status: 'waiting' | 'done' | 'failed';
  /** Made so far. */
  readonly deliveries: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export type ReplayStore = ReturnType<typeof createReplayStore>;

/** Replays of endpoints, which `carryReplayBatch` carries out in the background. All throw `not_found` for an unknown endpoint. */
export function createReplayStore({ db, now }: { readonly db: Database; readonly now: () => Date }) {
  return {
    /**
     * @throws BrokerError `conflict` while the endpoint is disabled; `validation_failed` when it names events that the log does not hold
     */
    async create(endpointId: string, filter: ReplayFilter): Promise<Replay> {
      return db.transaction(async (tx) => {
        await lockEnabledEndpoint(tx, endpointId);
        if (filter.kind === 'events') await checkKept(tx, filter.eventIds);
        const rows: TaskRow[] = await tx('endpoint_tasks')
          .insert({
            task_id: uniqueId(now()),
            endpoint_id: endpointId,
            kind: 'replay',
            filter: JSON.stringify(filter),
            created_at: now(),
            updated_at: now(),
          })
          .returning('*');
        return toReplay(rows[0] as TaskRow);
      });
    },

    /** Newest first. Index: endpoint_tasks_by_endpoint. */
    async list(endpointId: string, page: { readonly after: string | null; readonly limit: number }): Promise<Replay[]> {
      await checkPresent(db, endpointId);
      const query = db<TaskRow>('endpoint_tasks').where({ endpoint_id: endpointId, kind: 'replay' });
      if (page.after !== null) query.where('task_id', '<', page.after);
      return (await query.orderBy('task_id', 'desc').limit(page.limit)).map(toReplay);
    },

    async get(endpointId: string, replayId: string): Promise<Replay> {
      await checkPresent(db, endpointId);
      const row = await db<TaskRow>('endpoint_tasks')
        .where({ task_id: replayId, endpoint_id: endpointId, kind: 'replay' })
        .first();
      if (!row) throw new BrokerError('not_found', 'the endpoint has no replay with this id');
      return toReplay(row);
    },
  };
}

/** @throws BrokerError `not_found` for an unknown or removed endpoint */
export async function checkPresent(db: Database, endpointId: string): Promise<void> {
  const row = await db('endpoints').where({ endpoint_id: endpointId, deleted_at: null }).first('endpoint_id');
  if (!row) throw new BrokerError('not_found', 'there is no endpoint with this id');
}

async function checkKept(tx: Transaction, eventIds: readonly string[]): Promise<void> {
  const kept: string[] = await tx('event_log')
    .join('events', (on) => on.on('events.recorded_on', 'event_log.recorded_on').andOn('events.position', 'event_log.position'))
    .whereIn('event_log.event_id', [...eventIds])
    .pluck('event_log.event_id');
  const known = new Set(kept);
  const fields = eventIds.flatMap((eventId, index) =>
    known.has(eventId)
      ? []
      : [{ path: `events.${index}`, message: `the log holds no event ${webhookId(eventId)}: it never did, or no longer does` }],
  );
  if (fields.length > 0) {
    throw new BrokerError('validation_failed', 'events to be replayed are not in the log', { reason: 'event_unknown', fields });
  }
}

interface TaskRow {
  readonly task_id: string;
  readonly endpoint_id: string;
  readonly kind: string;
  readonly filter: ReplayFilter;
  readonly status: Replay['status'];
  readonly deliveries: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

function toReplay(row: TaskRow): Replay {
  return {
    replayId: row.task_id,
    endpointId: row.endpoint_id,
    filter: row.filter,
    status: row.status,
    deliveries: row.deliveries,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
