import type { Transaction } from '../infra/postgres.ts';
import { retentionLock } from '../outbox/retention.ts';
import type { EndpointTask, TaskBatch } from './tasks.ts';

/** What a replay sends again; as JSON the filter of its task. Times are ISO 8601, `to` is exclusive. */
export type ReplayFilter =
  | { readonly kind: 'events'; readonly eventIds: readonly string[] }
  | { readonly kind: 'range'; readonly from: string; readonly to: string }
  | { readonly kind: 'exhausted' }
  | {
      readonly kind: 'member';
      readonly workspaceId: string;
      readonly userId: string;
      readonly from: string | null;
      readonly to: string | null;
    };

/**
 * Makes the deliveries of a replay's next events, as fan-out would: with the same id and body, in their lanes by position, so that an
 * older event goes before newer ones that wait. What waits already is left alone; what rested as exhausted begins anew.
 *
 * Lanes are locked in the order of their keys, as in fan-out and where deliveries are settled: no deadlock. The endpoint's filters
 * apply as they are now. What fan-out has not seen yet is left to it.
 */
export async function carryReplayBatch(
  tx: Transaction,
  task: EndpointTask,
  { batchSize }: { readonly now: Date; readonly batchSize: number },
): Promise<TaskBatch> {
  // Retention must not drop the week of an event between the look at it and the commit of its delivery.
  await tx.raw(`SELECT pg_advisory_xact_lock_shared(${retentionLock})`);
  const { candidates, bindings } = candidatesOf(task.filter as ReplayFilter, task.progress);
  const { rows } = await tx.raw<{ rows: [BatchRow] }>(makeDeliveriesSql(candidates), {
    endpointId: task.endpointId,
    batchSize,
    ...bindings,
  });
  const [batch] = rows;
  return {
    done: batch.candidates < batchSize,
    progress: batch.last === null ? task.progress : batch.last,
    deliveries: batch.deliveries,
  };
}

/** The next events that a filter names, wanted or not: the progress moves past all of them. `at` is where the next batch begins. */
function candidatesOf(filter: ReplayFilter, progress: unknown): { candidates: string; bindings: Record<string, unknown> } {
  switch (filter.kind) {
    case 'events':
      return { candidates: namedEventsSql, bindings: { eventIds: filter.eventIds, after: (progress as number | null) ?? 0 } };
    case 'exhausted':
      return { candidates: exhaustedSql, bindings: { after: (progress as number | null) ?? 0 } };
    case 'member':
      return {
        candidates: memberSql,
        bindings: {
          orderKey: `member:${filter.workspaceId}:${filter.userId}`,
          from: filter.from,
          to: filter.to,
          after: (progress as number | null) ?? 0,
        },
      };
    case 'range': {
      const { day, position } = (progress as { day: string; position: number } | null) ?? {
        day: dayBeside(filter.from, -1),
        position: 0,
      };
      return { candidates: rangeSql, bindings: { ...filter, day, position, lastDay: dayBeside(filter.to, 1) } };
    }
    default:
      return filter satisfies never;
  }
}

const dayMilliseconds = 24 * 60 * 60 * 1_000;

/** `recorded_on` goes by the clock of Postgres and `occurred_at` by that of a process: a day covers what lies between them. */
function dayBeside(moment: string, days: number): string {
  return new Date(new Date(moment).getTime() + days * dayMilliseconds).toISOString().slice(0, 10);
}

/** Index: event_log_by_event. */
const namedEventsSql = `
  SELECT to_jsonb(named.ordinal) AS at, named.ordinal AS rank, log.position, log.recorded_on, true AS within
  FROM unnest(:eventIds::uuid[]) WITH ORDINALITY AS named (event_id, ordinal)
  LEFT JOIN event_log AS log USING (event_id)
  WHERE named.ordinal > :after::bigint
  ORDER BY named.ordinal LIMIT :batchSize`;

/** Index: deliveries_exhausted. */
const exhaustedSql = `
  SELECT to_jsonb(position) AS at, position AS rank, position, recorded_on, true AS within
  FROM deliveries
  WHERE endpoint_id = :endpointId AND status = 'exhausted' AND position > :after::bigint
  ORDER BY position LIMIT :batchSize`;

/** Index: event_log_by_order_key. */
const memberSql = `
  SELECT to_jsonb(log.sequence) AS at, log.sequence AS rank, log.position, log.recorded_on,
         (:from::timestamptz IS NULL OR occurred_at >= :from::timestamptz)
         AND (:to::timestamptz IS NULL OR occurred_at < :to::timestamptz) AS within
  FROM (
    SELECT sequence, position, recorded_on FROM event_log
    WHERE order_key = :orderKey AND sequence > :after::bigint
    ORDER BY sequence LIMIT :batchSize
  ) AS log
  LEFT JOIN events ON events.recorded_on = log.recorded_on AND events.position = log.position`;

/** Walks the primary key of the partitions between the two days. */
const rangeSql = `
  SELECT jsonb_build_object('day', recorded_on, 'position', position) AS at,
         row_number() OVER (ORDER BY recorded_on, position) AS rank, position, recorded_on,
         occurred_at >= :from::timestamptz AND occurred_at < :to::timestamptz AND only_endpoint_id IS NULL AS within
  FROM events
  WHERE recorded_on >= :day::date AND recorded_on <= :lastDay::date AND (recorded_on, position) > (:day::date, :position::bigint)
  ORDER BY recorded_on, position LIMIT :batchSize`;

/**
 * A delivery that was sent while this ran is made anew: somebody asked for it. An event that stands in the outbox still is not
 * touched: fan-out makes its delivery, and must not find one.
 *
 * Deliveries are made when the lanes have been counted, and so locked: a delivery that another replay has just made is locked by its
 * conflict, and whoever settles locks the lane first.
 */
const makeDeliveriesSql = (candidates: string) => `
  WITH candidate AS MATERIALIZED (${candidates}
  ), wanted AS MATERIALIZED (
    SELECT endpoint.endpoint_id, event.order_key, event.position, event.recorded_on, event.event_id
    FROM candidate
    JOIN events AS event ON event.recorded_on = candidate.recorded_on AND event.position = candidate.position
    JOIN endpoints AS endpoint ON endpoint.endpoint_id = :endpointId
    WHERE candidate.within
      AND CASE WHEN event.only_endpoint_id IS NOT NULL THEN event.only_endpoint_id = endpoint.endpoint_id ELSE
        (endpoint.event_types IS NULL OR event.type = ANY (endpoint.event_types))
        AND (endpoint.workspace_ids IS NULL OR event.workspace_id = ANY (endpoint.workspace_ids))
      END
      AND NOT EXISTS (SELECT FROM outbox WHERE outbox.position = event.position)
      AND NOT EXISTS (SELECT FROM deliveries AS known WHERE known.endpoint_id = endpoint.endpoint_id
                        AND known.order_key = event.order_key AND known.position = event.position AND known.status = 'waiting')
  ), lanes AS (
    INSERT INTO delivery_lanes AS lane (endpoint_id, order_key, due_at)
    SELECT DISTINCT endpoint_id, order_key, now() FROM wanted ORDER BY endpoint_id, order_key
    ON CONFLICT (endpoint_id, order_key) DO UPDATE
      SET due_at = coalesce(lane.due_at, excluded.due_at), revision = lane.revision + 1
    RETURNING 1
  ), made AS (
    INSERT INTO deliveries AS delivery (endpoint_id, order_key, position, recorded_on, event_id)
    SELECT endpoint_id, order_key, position, recorded_on, event_id
    FROM wanted WHERE (SELECT count(*) FROM lanes) > 0 ORDER BY order_key, position
    ON CONFLICT (endpoint_id, order_key, position) DO UPDATE
      SET status = 'waiting', attempts = 0, last_status = NULL, last_error = NULL, finished_at = NULL
      WHERE delivery.status <> 'waiting'
    RETURNING 1
  )
  SELECT (SELECT count(*) FROM candidate) AS candidates,
         (SELECT at FROM candidate ORDER BY rank DESC LIMIT 1) AS last,
         (SELECT count(*) FROM made) AS deliveries`;

interface BatchRow {
  readonly candidates: number;
  readonly last: unknown;
  readonly deliveries: number;
}
