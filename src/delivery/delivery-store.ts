import { createLaneLease, type LaneLeaseOptions, type LeasedLane } from './lane-lease.ts';

/** One attempt and what it led to. */
export interface RecordedOutcome {
  readonly position: number;
  readonly eventId: string;
  /** 1: the first. */
  readonly attempt: number;
  /** `failed`: the delivery waits for its next attempt. */
  readonly result: 'delivered' | 'failed' | 'exhausted';
  readonly httpStatus: number | null;
  readonly error: string | null;
  readonly durationMilliseconds: number;
  readonly answer: string | null;
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

export function createDeliveryStore(deps: LaneLeaseOptions) {
  const { db, workerId, leaseSeconds } = deps;

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
      ...outcomeColumns(settlements.map(({ outcome }) => outcome)),
    });
    const settled = new Map(rows.map((row) => [row.ordinal, row]));
    return settlements.map((_, index) => toResult(settled.get(index + 1)));
  }

  return { lease: createLaneLease(deps), settle };
}

export type DeliveryStore = ReturnType<typeof createDeliveryStore>;

/** Arrays, one value for each settlement: null where nothing was sent. */
function outcomeColumns(outcomes: readonly (RecordedOutcome | null)[]) {
  return {
    positions: outcomes.map((outcome) => outcome?.position ?? null),
    eventIds: outcomes.map((outcome) => outcome?.eventId ?? null),
    attempts: outcomes.map((outcome) => outcome?.attempt ?? null),
    results: outcomes.map((outcome) => outcome?.result ?? null),
    httpStatuses: outcomes.map((outcome) => outcome?.httpStatus ?? null),
    outcomeErrors: outcomes.map((outcome) => outcome?.error ?? null),
    durations: outcomes.map((outcome) => outcome?.durationMilliseconds ?? null),
    answers: outcomes.map((outcome) => outcome?.answer ?? null),
  };
}

/**
 * A delivered delivery leaves the queue and stands in the log of attempts, as each attempt does.
 *
 * Locks in the order of the keys, as fan-out does. Fan-out may have added deliveries since this statement's snapshot: the lane's
 * own `revision`, which is read again after the lock, tells; a look at the table of deliveries would not.
 */
const settleSql = `
  WITH settlement AS MATERIALIZED (
    SELECT * FROM unnest(:endpointIds::uuid[], :orderKeys::text[], :leases::timestamptz[], :revisions::bigint[], :keeps::boolean[],
                         :pauses::float8[], :positions::bigint[], :eventIds::uuid[], :attempts::integer[], :results::text[],
                         :httpStatuses::integer[], :outcomeErrors::text[], :durations::integer[], :answers::text[])
      WITH ORDINALITY AS s (endpoint_id, order_key, leased_until, revision, keep, pause, position, event_id, attempt, result,
                            http_status, error, duration, answer, ordinal)
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
  ), delivered AS (
    DELETE FROM deliveries AS delivery USING held
    WHERE delivery.endpoint_id = held.endpoint_id AND delivery.order_key = held.order_key AND delivery.position = held.position
      AND held.result = 'delivered'
  ), failed AS (
    UPDATE deliveries AS delivery SET
      status = CASE held.result WHEN 'exhausted' THEN 'exhausted' ELSE 'waiting' END,
      attempts = held.attempt,
      last_status = held.http_status,
      last_error = held.error,
      finished_at = CASE held.result WHEN 'exhausted' THEN now() END
    FROM held
    WHERE delivery.endpoint_id = held.endpoint_id AND delivery.order_key = held.order_key AND delivery.position = held.position
      AND held.result <> 'delivered' AND delivery.status = 'waiting'
  ), logged AS (
    INSERT INTO delivery_attempts (endpoint_id, order_key, position, event_id, attempt, outcome, status, error,
                                   duration_milliseconds, answer)
    SELECT endpoint_id, order_key, position, event_id, attempt, result, http_status, error, duration, answer
    FROM held WHERE result IS NOT NULL ORDER BY ordinal
  )
  SELECT ordinal, leased_until FROM settled`;

interface SettledRow {
  readonly ordinal: number;
  readonly leased_until: string | null;
}

function pauseSeconds(due: 'at-once' | 'if-added' | { readonly afterSeconds: number } | undefined): number | null {
  if (due === undefined || due === 'if-added') return null;
  return due === 'at-once' ? 0 : due.afterSeconds;
}

function toResult(row: SettledRow | undefined): SettlementResult {
  if (row === undefined) return { kind: 'lost' };
  return row.leased_until === null ? { kind: 'released' } : { kind: 'kept', leasedUntil: row.leased_until };
}
