import { BrokerError } from '../domain/broker-error.ts';
import type { Database } from '../infra/postgres.ts';

/** Never counted further: a backlog of a million must not make the question slow. */
export const countLimit = 10_000;

export interface BoundedCount {
  readonly count: number;
  /** False: there are more than were counted. */
  readonly exact: boolean;
}

/**
 * `circuit_open`: the endpoint failed again and again, and is only probed now and then. `failing`: the last attempt failed. `healthy`
 * also when nothing was tried yet.
 */
export type EndpointState = 'healthy' | 'failing' | 'circuit_open' | 'disabled';

export interface EndpointHealth {
  readonly endpointId: string;
  readonly state: EndpointState;
  readonly disabledReason: 'request' | 'gone' | 'failing' | null;
  /** The first failure after the last success. */
  readonly failingSince: Date | null;
  readonly consecutiveFailures: number;
  readonly lastSuccessAt: Date | null;
  readonly lastFailureAt: Date | null;
  /** HTTP status of the last attempt; null: there was no answer, or nothing was tried. */
  readonly lastStatus: number | null;
  readonly lastError: string | null;
  readonly waiting: BoundedCount;
  readonly exhausted: BoundedCount;
  /** When the delivery that waits longest was made; among those that were counted. */
  readonly oldestWaitingAt: Date | null;
  /** When something is sent next; a moment gone by: as soon as a worker is free. Null: nothing waits, or the endpoint is disabled. */
  readonly nextAttemptAt: Date | null;
}

export type ReadHealth = (endpointId: string) => Promise<EndpointHealth>;

/** @throws BrokerError `not_found` (the reader) */
export function createHealthReader({ db }: { readonly db: Database }): ReadHealth {
  return async (endpointId) => {
    const { rows } = await db.raw<{ rows: HealthRow[] }>(readHealthSql, { endpointId, limit: countLimit + 1 });
    const row = rows[0];
    if (!row) throw new BrokerError('not_found', 'there is no endpoint with this id');
    return toHealth(row);
  };
}

/** What an endpoint's state is, in SQL and here alone. */
export const stateSql = `CASE
  WHEN NOT endpoint.enabled THEN 'disabled'
  WHEN health.paused_until IS NOT NULL THEN 'circuit_open'
  WHEN health.failing_since IS NOT NULL THEN 'failing'
  ELSE 'healthy' END`;

/** Indexes: deliveries_waiting, deliveries_exhausted, delivery_lanes_due, each to a bounded depth. */
const readHealthSql = `
  SELECT endpoint.endpoint_id, ${stateSql} AS state, endpoint.disabled_reason,
         health.failing_since, coalesce(health.consecutive_failures, 0) AS consecutive_failures,
         health.last_success_at, health.last_failure_at, health.last_status, health.last_error,
         waiting.count AS waiting, waiting.oldest AS oldest_waiting_at, exhausted.count AS exhausted,
         CASE WHEN endpoint.enabled AND next.due_at IS NOT NULL THEN greatest(next.due_at, health.paused_until) END AS next_attempt_at
  FROM endpoints AS endpoint
  LEFT JOIN endpoint_health AS health USING (endpoint_id)
  CROSS JOIN LATERAL (
    SELECT count(*)::integer AS count, min(created_at) AS oldest
    FROM (SELECT created_at FROM deliveries WHERE endpoint_id = endpoint.endpoint_id AND status = 'waiting' LIMIT :limit) AS counted
  ) AS waiting
  CROSS JOIN LATERAL (
    SELECT count(*)::integer AS count
    FROM (SELECT 1 FROM deliveries WHERE endpoint_id = endpoint.endpoint_id AND status = 'exhausted' LIMIT :limit) AS counted
  ) AS exhausted
  LEFT JOIN LATERAL (
    SELECT due_at FROM delivery_lanes WHERE endpoint_id = endpoint.endpoint_id AND due_at IS NOT NULL ORDER BY due_at LIMIT 1
  ) AS next ON waiting.count > 0
  WHERE endpoint.endpoint_id = :endpointId AND endpoint.deleted_at IS NULL`;

interface HealthRow {
  readonly endpoint_id: string;
  readonly state: EndpointState;
  readonly disabled_reason: EndpointHealth['disabledReason'];
  readonly failing_since: Date | null;
  readonly consecutive_failures: number;
  readonly last_success_at: Date | null;
  readonly last_failure_at: Date | null;
  readonly last_status: number | null;
  readonly last_error: string | null;
  readonly waiting: number;
  readonly oldest_waiting_at: Date | null;
  readonly exhausted: number;
  readonly next_attempt_at: Date | null;
}

function toHealth(row: HealthRow): EndpointHealth {
  return {
    endpointId: row.endpoint_id,
    state: row.state,
    disabledReason: row.disabled_reason,
    failingSince: row.failing_since,
    consecutiveFailures: row.consecutive_failures,
    lastSuccessAt: row.last_success_at,
    lastFailureAt: row.last_failure_at,
    lastStatus: row.last_status,
    lastError: row.last_error,
    waiting: bounded(row.waiting),
    exhausted: bounded(row.exhausted),
    oldestWaitingAt: row.oldest_waiting_at,
    nextAttemptAt: row.next_attempt_at,
  };
}

function bounded(count: number): BoundedCount {
  return { count: Math.min(count, countLimit), exact: count <= countLimit };
}
