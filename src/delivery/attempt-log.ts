import type { Database } from '../infra/postgres.ts';
import { webhookId } from '../outbox/append.ts';
import { checkPresent } from './replay-store.ts';

export interface RecordedAttempt {
  readonly attemptId: string;
  readonly attemptedAt: Date;
  readonly endpointId: string;
  /** `webhook-id` of the request. */
  readonly webhookId: string;
  /** 1: the first. */
  readonly attempt: number;
  /** `failed`: to be tried again. */
  readonly outcome: 'delivered' | 'failed' | 'exhausted';
  /** Of HTTP; null: no answer. */
  readonly status: number | null;
  readonly error: string | null;
  readonly durationMilliseconds: number;
  /** The first KiB of the answer's body; null: there was none, or it was erased. */
  readonly answer: string | null;
}

export interface QueuedDelivery {
  /** Order key and position: the place in the queue. */
  readonly place: QueuePlace;
  readonly webhookId: string;
  readonly type: string;
  readonly workspaceId: string | null;
  readonly userId: string | null;
  readonly status: 'waiting' | 'exhausted';
  readonly attempts: number;
  readonly lastStatus: number | null;
  readonly lastError: string | null;
  readonly createdAt: Date;
  /** Of the first of its member that waits; null: it waits for that one, or is not tried any more. */
  readonly nextAttemptAt: Date | null;
}

export interface QueuePlace {
  readonly orderKey: string;
  readonly position: number;
}

export interface AttemptFilter {
  readonly outcome?: RecordedAttempt['outcome'] | undefined;
  readonly eventId?: string | undefined;
  readonly member?: { readonly workspaceId: string; readonly userId: string } | undefined;
  /** Attempts before this one. */
  readonly after: string | null;
  readonly limit: number;
}

export type AttemptLog = ReturnType<typeof createAttemptLog>;

/** What was sent to endpoints and what came of it, and what waits. Throws `not_found` for an unknown endpoint. */
export function createAttemptLog({ db }: { readonly db: Database }) {
  return {
    /** Newest first. Indexes: delivery_attempts_by_endpoint, delivery_attempts_by_event. */
    async ofEndpoint(endpointId: string, filter: AttemptFilter): Promise<RecordedAttempt[]> {
      await checkPresent(db, endpointId);
      const query = attempts(db, filter).where({ endpoint_id: endpointId });
      if (filter.outcome !== undefined) query.where({ outcome: filter.outcome });
      if (filter.eventId !== undefined) query.where({ event_id: filter.eventId });
      if (filter.member !== undefined) query.where({ order_key: `member:${filter.member.workspaceId}:${filter.member.userId}` });
      return (await query).map(toAttempt);
    },

    /** At every endpoint, newest first. Index: delivery_attempts_by_event. */
    async ofEvent(eventId: string, page: Pick<AttemptFilter, 'after' | 'limit'>): Promise<RecordedAttempt[]> {
      return (await attempts(db, page).where({ event_id: eventId })).map(toAttempt);
    },

    /**
     * What waits or rests as exhausted at an endpoint, member by member in the order of sending; exhausted ones, asked for alone, from the
     * oldest on. Indexes: the primary key of deliveries, deliveries_waiting, deliveries_exhausted.
     */
    async queue(
      endpointId: string,
      filter: {
        readonly status?: QueuedDelivery['status'] | undefined;
        readonly after: QueuePlace | null;
        readonly limit: number;
      },
    ): Promise<QueuedDelivery[]> {
      await checkPresent(db, endpointId);
      const { rows } = await db.raw<{ rows: QueueRow[] }>(queueSql(filter.status), {
        endpointId,
        orderKey: filter.after?.orderKey ?? null,
        position: filter.after?.position ?? null,
        rowLimit: filter.limit,
      });
      return rows.map(toQueued);
    },
  };
}

function attempts(db: Database, { after, limit }: Pick<AttemptFilter, 'after' | 'limit'>) {
  const query = db<AttemptRow>('delivery_attempts').orderBy('attempt_id', 'desc').limit(limit);
  if (after !== null) query.where('attempt_id', '<', after);
  return query;
}

const queueSql = (status: QueuedDelivery['status'] | undefined) => `
  SELECT page.*, event.type, event.workspace_id, event.user_id,
         CASE WHEN page.status = 'waiting' AND NOT EXISTS (
           SELECT FROM deliveries AS earlier
           WHERE earlier.endpoint_id = :endpointId AND earlier.order_key = page.order_key AND earlier.status = 'waiting'
             AND earlier.position < page.position
         ) THEN lane.due_at END AS next_attempt_at
  FROM (
    SELECT order_key, position, recorded_on, event_id, status, attempts, last_status, last_error, created_at
    FROM deliveries
    WHERE endpoint_id = :endpointId AND status ${status === undefined ? "IN ('waiting', 'exhausted')" : `= '${status}'`}
      AND ${pageSql(status)}
    LIMIT :rowLimit
  ) AS page
  JOIN events AS event ON event.recorded_on = page.recorded_on AND event.position = page.position
  JOIN delivery_lanes AS lane ON lane.endpoint_id = :endpointId AND lane.order_key = page.order_key
  ORDER BY ${status === 'exhausted' ? '' : 'page.order_key, '}page.position`;

function pageSql(status: QueuedDelivery['status'] | undefined): string {
  return status === 'exhausted'
    ? 'position > coalesce(:position::bigint, -1) ORDER BY position'
    : "(order_key, position) > (coalesce(:orderKey::text, ''), coalesce(:position::bigint, -1)) ORDER BY order_key, position";
}

interface AttemptRow {
  readonly attempt_id: number;
  readonly attempted_at: Date;
  readonly endpoint_id: string;
  readonly order_key: string;
  readonly event_id: string;
  readonly attempt: number;
  readonly outcome: RecordedAttempt['outcome'];
  readonly status: number | null;
  readonly error: string | null;
  readonly duration_milliseconds: number;
  readonly answer: string | null;
}

interface QueueRow {
  readonly order_key: string;
  readonly position: number;
  readonly event_id: string;
  readonly type: string;
  readonly workspace_id: string | null;
  readonly user_id: string | null;
  readonly status: QueuedDelivery['status'];
  readonly attempts: number;
  readonly last_status: number | null;
  readonly last_error: string | null;
  readonly created_at: Date;
  readonly next_attempt_at: Date | null;
}

function toAttempt(row: AttemptRow): RecordedAttempt {
  return {
    attemptId: String(row.attempt_id),
    attemptedAt: row.attempted_at,
    endpointId: row.endpoint_id,
    webhookId: webhookId(row.event_id),
    attempt: row.attempt,
    outcome: row.outcome,
    status: row.status,
    error: row.error,
    durationMilliseconds: row.duration_milliseconds,
    answer: row.answer,
  };
}

function toQueued(row: QueueRow): QueuedDelivery {
  return {
    place: { orderKey: row.order_key, position: row.position },
    webhookId: webhookId(row.event_id),
    type: row.type,
    workspaceId: row.workspace_id,
    userId: row.user_id,
    status: row.status,
    attempts: row.attempts,
    lastStatus: row.last_status,
    lastError: row.last_error,
    createdAt: row.created_at,
    nextAttemptAt: row.next_attempt_at,
  };
}
