import type { Database, Transaction } from '../infra/postgres.ts';

/** Told by Postgres when events are committed (migration 0006, `events_to_outbox`). */
export const eventsChannel = 'rollcall_events';

/** `busy`: somebody else is at it. */
export type FanOutResult = { readonly kind: 'done'; readonly events: number } | { readonly kind: 'busy' };

/**
 * Makes deliveries of the next events that have none yet: one for each endpoint that is enabled and wants the event. Deliveries,
 * lanes, the log's sequence and the events' leaving of the outbox commit together: a death on the way loses nothing and doubles nothing.
 *
 * One at a time, over all processes: events of one order key must enter their lanes in the order of their positions, and each
 * pass sees all positions that committed.
 * @param batchEvents the most events of one pass
 */
export async function fanOut(db: Database, { batchEvents }: { readonly batchEvents: number }): Promise<FanOutResult> {
  return db.transaction(async (tx) => {
    const { rows: locks } = await tx.raw<{ rows: { locked: boolean }[] }>(tryFanOutLockSql);
    if (!locks[0]?.locked) return { kind: 'busy' };
    // A statement of its own: its snapshot must be younger than the lock, or it would miss what the holder before committed.
    const { rows } = await tx.raw<{ rows: { events: number }[] }>(fanOutSql, { batchEvents });
    return { kind: 'done', events: rows[0]?.events ?? 0 };
  });
}

/**
 * Keeps fan-out away until `tx` ends. Whoever creates an endpoint holds it: between the snapshot from which the endpoint counts
 * and its commit no event may be fanned out without it.
 */
export async function lockFanOut(tx: Transaction): Promise<void> {
  await tx.raw(`SELECT pg_advisory_xact_lock(${fanOutLock})`);
}

const fanOutLock = "hashtextextended('rollcall.delivery.fan-out', 0)";
const tryFanOutLockSql = `SELECT pg_try_advisory_xact_lock(${fanOutLock}) AS locked`;

/**
 * Lanes are locked in the order of their keys, here and where deliveries are settled: no deadlock. A lane that is leased or waits
 * for a retry keeps its time (`due_at` is not null); its `revision` tells the worker that something came.
 *
 * The log gets its sequence here, in the order of positions and under the lock: it becomes visible without gaps, and readers need no
 * look at open transactions (R40).
 *
 * The position alone decides for nearly all events; it also holds after a logical restore, when transaction ids start anew.
 */
const fanOutSql = `
  WITH next AS MATERIALIZED (
    SELECT position FROM outbox ORDER BY position LIMIT :batchEvents
  ), batch AS MATERIALIZED (
    DELETE FROM outbox USING next WHERE outbox.position = next.position RETURNING outbox.*
  ), wanted AS MATERIALIZED (
    SELECT endpoint_id, order_key, position, recorded_on, event_id
    FROM batch JOIN endpoints ON endpoints.enabled
      AND CASE WHEN only_endpoint_id IS NOT NULL THEN only_endpoint_id = endpoint_id ELSE
        (event_types IS NULL OR batch.type = ANY (event_types))
        AND (workspace_ids IS NULL OR batch.workspace_id = ANY (workspace_ids))
        AND (batch.position > since_position OR NOT pg_visible_in_snapshot(batch.transaction_id, since_snapshot))
      END
  ), lanes AS (
    INSERT INTO delivery_lanes AS lane (endpoint_id, order_key, due_at)
    SELECT DISTINCT endpoint_id, order_key, now() FROM wanted ORDER BY endpoint_id, order_key
    ON CONFLICT (endpoint_id, order_key) DO UPDATE
      SET due_at = coalesce(lane.due_at, excluded.due_at), revision = lane.revision + 1
  ), made AS (
    INSERT INTO deliveries (endpoint_id, order_key, position, recorded_on, event_id)
    SELECT endpoint_id, order_key, position, recorded_on, event_id FROM wanted
  ), logged AS (
    INSERT INTO event_log (position, recorded_on, event_id, workspace_id, user_id, order_key, type)
    SELECT position, recorded_on, event_id, workspace_id, user_id, order_key, type
    FROM batch WHERE only_endpoint_id IS NULL ORDER BY position
  )
  SELECT count(*) AS events FROM batch`;
