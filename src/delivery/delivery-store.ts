import type { Database } from '../infra/postgres.ts';
import type { DeliveryTarget } from './attempt.ts';

/**
 * A lane is the queue of one order key at one endpoint. It is leased as a whole; its deliveries are sent one after the other.
 *
 * Leases and due times go by the clock of Postgres, the one clock that all workers share: what a worker's own clock says, or a step
 * of it, decides nothing.
 */
export interface LeasedLane {
  readonly endpointId: string;
  readonly orderKey: string;
  readonly target: DeliveryTarget;
  /** Changes when deliveries are added to the lane. */
  readonly revision: number;
  /** With the worker's id the name of the lease, as Postgres wrote it: a lane that the same worker took again has another. */
  readonly leasedUntil: string;
  /** A moment before the lease began, by the worker's clock. */
  readonly requestedAt: Date;
  /** The first that wait, in order; the lane may hold more. */
  readonly deliveries: readonly WaitingDelivery[];
  /** Whether these are all that waited when it was leased. */
  readonly complete: boolean;
}

export interface WaitingDelivery {
  readonly position: number;
  readonly eventId: string;
  /** Made so far. */
  readonly attempts: number;
  readonly body: string;
}

export interface RecordedOutcome {
  readonly position: number;
  readonly status: 'waiting' | 'delivered' | 'exhausted';
  readonly httpStatus: number | null;
  readonly error: string | null;
}

/** What became of one delivery, and of the lease with it. */
export interface Settlement {
  readonly lane: Pick<LeasedLane, 'endpointId' | 'orderKey' | 'revision' | 'leasedUntil'>;
  /** Null: nothing was sent. */
  readonly outcome: RecordedOutcome | null;
  /**
   * `keep` renews it; `release` gives the lane back: due at once, after a pause, or (`if-added`) only when deliveries
   * were added since the lease began.
   */
  readonly lease:
    | { readonly kind: 'keep' }
    | { readonly kind: 'release'; readonly due: 'at-once' | 'if-added' | { readonly afterSeconds: number } };
}

/** The renewed `leasedUntil`; null: the lane was released; `lost`: the lease had gone to somebody else, and nothing was recorded. */
export type SettlementResult = { readonly kind: 'kept'; readonly leasedUntil: string } | { readonly kind: 'released' | 'lost' };

export function createDeliveryStore(deps: {
  readonly db: Database;
  readonly readTargets: (db: Database, endpointIds: readonly string[]) => Promise<Map<string, DeliveryTarget>>;
  readonly now: () => Date;
  readonly workerId: string;
  readonly leaseSeconds: number;
  readonly deliveriesPerLane: number;
}) {
  const { db, workerId, leaseSeconds, deliveriesPerLane } = deps;

  /** Leases up to `limit` lanes that are due or whose lease ran out, with their first deliveries. */
  async function lease(limit: number): Promise<LeasedLane[]> {
    const requestedAt = deps.now();
    return db.transaction(async (tx) => {
      const { rows: lanes } = await tx.raw<{ rows: LaneRow[] }>(leaseSql, { workerId, leaseSeconds, laneLimit: limit });
      if (lanes.length === 0) return [];
      // Read after the lanes are locked: whatever comes later changes their revision.
      const { rows } = await tx.raw<{ rows: DeliveryRow[] }>(readWaitingSql, {
        endpointIds: lanes.map((lane) => lane.endpoint_id),
        orderKeys: lanes.map((lane) => lane.order_key),
        deliveriesPerLane,
      });
      const targets = await deps.readTargets(tx, [...new Set(lanes.map((lane) => lane.endpoint_id))]);
      const deliveries = Map.groupBy(rows, (row) => row.lane);
      return lanes.map((lane, index) => {
        const waiting = (deliveries.get(index + 1) ?? []).map(toWaitingDelivery);
        return {
          endpointId: lane.endpoint_id,
          orderKey: lane.order_key,
          target: targets.get(lane.endpoint_id) ?? noTarget,
          revision: lane.revision,
          leasedUntil: lane.leased_until,
          requestedAt,
          deliveries: waiting,
          complete: waiting.length < deliveriesPerLane,
        };
      });
    });
  }

  /**
   * Records outcomes and renews or ends the leases in one statement. Fenced: who lost the lease records nothing.
   * @returns one result for each settlement, in their order
   */
  async function settle(settlements: readonly Settlement[]): Promise<SettlementResult[]> {
    const releases = settlements.map(({ lease }) => (lease.kind === 'release' ? lease : null));
    const { rows } = await db.raw<{ rows: SettledRow[] }>(settleSql, {
      workerId,
      leaseSeconds,
      endpointIds: settlements.map(({ lane }) => lane.endpointId),
      orderKeys: settlements.map(({ lane }) => lane.orderKey),
      leases: settlements.map(({ lane }) => lane.leasedUntil),
      revisions: settlements.map(({ lane }) => lane.revision),
      keeps: releases.map((release) => release === null),
      pauses: releases.map((release) => pauseSeconds(release?.due)),
      positions: settlements.map(({ outcome }) => outcome?.position ?? null),
      statuses: settlements.map(({ outcome }) => outcome?.status ?? null),
      httpStatuses: settlements.map(({ outcome }) => outcome?.httpStatus ?? null),
      outcomeErrors: settlements.map(({ outcome }) => outcome?.error ?? null),
    });
    const settled = new Map(rows.map((row) => [row.ordinal, row]));
    return settlements.map((_, index) => toResult(settled.get(index + 1)));
  }

  return { lease, settle };
}

export type DeliveryStore = ReturnType<typeof createDeliveryStore>;

/**
 * Endpoints in random order, so that none starves another; walks the index delivery_lanes_due of each until the limit is reached.
 * Lanes of a disabled endpoint stay due and are passed by.
 */
const leaseSql = `
  WITH due AS MATERIALIZED (
    SELECT lane.endpoint_id, lane.order_key
    FROM (SELECT endpoint_id FROM endpoints WHERE enabled ORDER BY random()) AS endpoint
    CROSS JOIN LATERAL (
      SELECT endpoint_id, order_key FROM delivery_lanes
      WHERE endpoint_id = endpoint.endpoint_id AND due_at <= now() AND (leased_until IS NULL OR leased_until <= now())
      ORDER BY due_at LIMIT :laneLimit
      FOR NO KEY UPDATE SKIP LOCKED
    ) AS lane
    LIMIT :laneLimit
  )
  UPDATE delivery_lanes AS lane
  SET leased_by = :workerId, leased_until = now() + make_interval(secs => :leaseSeconds)
  FROM due WHERE lane.endpoint_id = due.endpoint_id AND lane.order_key = due.order_key
  RETURNING lane.endpoint_id, lane.order_key, lane.revision, lane.leased_until::text`;

/** Walks the index deliveries_waiting of each lane. */
const readWaitingSql = `
  SELECT lane.ordinal AS lane, next.position, next.event_id, next.attempts, next.body
  FROM unnest(:endpointIds::uuid[], :orderKeys::text[]) WITH ORDINALITY AS lane (endpoint_id, order_key, ordinal)
  CROSS JOIN LATERAL (
    SELECT position, event_id, attempts, 
           (SELECT payload::text FROM events WHERE events.recorded_on = delivery.recorded_on AND events.position = delivery.position) AS body
    FROM deliveries AS delivery
    WHERE delivery.endpoint_id = lane.endpoint_id AND delivery.order_key = lane.order_key AND status = 'waiting'
    ORDER BY position LIMIT :deliveriesPerLane
  ) AS next
  ORDER BY lane.ordinal, next.position`;

/**
 * Locks in the order of the keys, as fan-out does. Fan-out may have added deliveries since this statement's snapshot: the lane's
 * own `revision`, which is read again after the lock, tells; a look at the table of deliveries would not.
 */
const settleSql = `
  WITH settlement AS MATERIALIZED (
    SELECT * FROM unnest(:endpointIds::uuid[], :orderKeys::text[], :leases::timestamptz[], :revisions::bigint[], :keeps::boolean[],
                         :pauses::float8[], :positions::bigint[], :statuses::text[], :httpStatuses::integer[], :outcomeErrors::text[])
      WITH ORDINALITY AS s (endpoint_id, order_key, leased_until, revision, keep, pause, position, status, http_status, error, ordinal)
  ), held AS MATERIALIZED (
    SELECT settlement.* FROM settlement JOIN delivery_lanes AS lane USING (endpoint_id, order_key)
    WHERE lane.leased_by = :workerId AND lane.leased_until = settlement.leased_until
    ORDER BY endpoint_id, order_key
    FOR NO KEY UPDATE OF lane
  ), settled AS (
    UPDATE delivery_lanes AS lane SET
      leased_by = CASE WHEN keep THEN lane.leased_by END,
      leased_until = CASE WHEN keep THEN now() + make_interval(secs => :leaseSeconds) END,
      due_at = CASE
        WHEN keep THEN lane.due_at
        WHEN pause IS NOT NULL THEN now() + make_interval(secs => pause)
        WHEN lane.revision <> held.revision THEN now()
      END
    FROM held WHERE lane.endpoint_id = held.endpoint_id AND lane.order_key = held.order_key
    RETURNING held.ordinal, lane.leased_until::text
  ), recorded AS (
    UPDATE deliveries AS delivery SET
      status = held.status,
      attempts = delivery.attempts + 1,
      last_status = held.http_status,
      last_error = held.error,
      finished_at = CASE WHEN held.status <> 'waiting' THEN now() END
    FROM held
    WHERE delivery.endpoint_id = held.endpoint_id AND delivery.order_key = held.order_key AND delivery.position = held.position
      AND delivery.status = 'waiting'
  )
  SELECT ordinal, leased_until FROM settled`;

interface LaneRow {
  readonly endpoint_id: string;
  readonly order_key: string;
  readonly revision: number;
  readonly leased_until: string;
}

interface DeliveryRow {
  readonly lane: number;
  readonly position: number;
  readonly event_id: string;
  readonly attempts: number;
  readonly body: string;
}

interface SettledRow {
  readonly ordinal: number;
  readonly leased_until: string | null;
}

/** Lanes refer to their endpoint: there is always one. */
const noTarget: DeliveryTarget = { url: '', keys: null };

function toWaitingDelivery({ position, event_id, attempts, body }: DeliveryRow): WaitingDelivery {
  return { position, eventId: event_id, attempts, body };
}

function pauseSeconds(due: 'at-once' | 'if-added' | { readonly afterSeconds: number } | undefined): number | null {
  if (due === undefined || due === 'if-added') return null;
  return due === 'at-once' ? 0 : due.afterSeconds;
}

function toResult(row: SettledRow | undefined): SettlementResult {
  if (row === undefined) return { kind: 'lost' };
  return row.leased_until === null ? { kind: 'released' } : { kind: 'kept', leasedUntil: row.leased_until };
}
