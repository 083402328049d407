import type { Database } from '../infra/postgres.ts';
import type { CircuitReport } from './circuit-report.ts';

export interface CircuitSettings {
  /** The circuit opens after so many failures in a row. */
  readonly circuitFailures: number;
  /** The pause before the first probe; each failed probe doubles it. */
  readonly circuitPauseSeconds: number;
  readonly circuitMaxPauseSeconds: number;
}

/** How an endpoint stands once a report is written. */
export interface CircuitState {
  readonly endpointId: string;
  readonly open: boolean;
  /** The report opened it. */
  readonly opened: boolean;
  /** The report closed it. */
  readonly closed: boolean;
  readonly consecutiveFailures: number;
  /** Since the first failure after the last success, or since the endpoint was last changed, if that was later. */
  readonly failingSeconds: number | null;
}

/** Writes what a worker saw of endpoints, and opens and closes their circuits by it. */
export function createCircuitStore(deps: CircuitSettings & { readonly db: Database; readonly random: () => number }) {
  const { db } = deps;

  /** @param at the worker's clock now: what was seen is dated back from the clock of Postgres */
  async function write(reports: ReadonlyMap<string, CircuitReport>, at: number): Promise<CircuitState[]> {
    const all = [...reports];
    const agesOf = (pick: (report: CircuitReport) => number | null) => all.map(([, report]) => ageSeconds(pick(report), at));
    const bindings = {
      endpointIds: all.map(([endpointId]) => endpointId),
      successAges: agesOf((report) => report.succeededAt),
      failures: all.map(([, report]) => report.failures),
      firstFailureAges: agesOf((report) => report.firstFailureAt),
      failureAges: agesOf((report) => report.lastFailureAt),
      statuses: all.map(([, report]) => report.status),
      outcomeErrors: all.map(([, report]) => report.error),
      probesFailed: all.map(([, report]) => report.probeFailed),
      threshold: deps.circuitFailures,
      pauseSeconds: deps.circuitPauseSeconds,
      maxPauseSeconds: deps.circuitMaxPauseSeconds,
      // Endpoints that failed together are not tried together.
      jitters: all.map(() => 0.8 + 0.4 * deps.random()),
    };
    const { rows } = await db.raw<{ rows: StateRow[] }>(writeSql, bindings);
    if (rows.length === all.length) return released(rows);
    await db.raw(knowSql, { endpointIds: bindings.endpointIds });
    return released((await db.raw<{ rows: StateRow[] }>(writeSql, bindings)).rows);
  }

  /** Members whose own delivery failed while the endpoint was away need not sit out the rest of a pause of hours. */
  async function released(rows: readonly StateRow[]): Promise<CircuitState[]> {
    const endpointIds = rows.filter(({ was_open, open }) => was_open && !open).map(({ endpoint_id }) => endpoint_id);
    if (endpointIds.length > 0) await db.raw(hurrySql, { endpointIds });
    return rows.map((row) => ({
      endpointId: row.endpoint_id,
      open: row.open,
      opened: row.open && !row.was_open,
      closed: row.was_open && !row.open,
      consecutiveFailures: row.consecutive_failures,
      failingSeconds: row.failing_seconds,
    }));
  }

  return { write };
}

export type CircuitStore = ReturnType<typeof createCircuitStore>;

function ageSeconds(moment: number | null, at: number): number | null {
  return moment === null ? null : Math.max(0, (at - moment) / 1_000);
}

/**
 * A success closes the circuit, unless so many failures followed it that it opens anew. A failure of a delivery that was in the air
 * when the circuit opened is no failed probe. Locked in the order of the keys: two workers do not deadlock.
 */
const writeSql = `
  WITH report AS MATERIALIZED (
    SELECT * FROM unnest(:endpointIds::uuid[], :successAges::float8[], :failures::integer[], :firstFailureAges::float8[],
                         :failureAges::float8[], :statuses::integer[], :outcomeErrors::text[], :probesFailed::boolean[], :jitters::float8[])
      AS report (endpoint_id, success_age, failures, first_failure_age, failure_age, status, error, probe_failed, jitter)
  ), held AS MATERIALIZED (
    SELECT report.*, health.paused_until, health.failed_probes + 1 AS probes,
           report.failures + CASE WHEN success_age IS NULL THEN health.consecutive_failures ELSE 0 END AS in_a_row
    FROM endpoint_health AS health JOIN report USING (endpoint_id)
    ORDER BY endpoint_id
    FOR NO KEY UPDATE OF health
  )
  UPDATE endpoint_health AS health SET
    consecutive_failures = in_a_row,
    failing_since = CASE
      WHEN in_a_row = 0 THEN NULL
      WHEN success_age IS NULL AND health.failing_since IS NOT NULL THEN health.failing_since
      ELSE now() - make_interval(secs => first_failure_age)
    END,
    last_success_at = greatest(health.last_success_at, now() - make_interval(secs => success_age)),
    last_failure_at = greatest(health.last_failure_at, now() - make_interval(secs => failure_age)),
    last_status = held.status,
    last_error = held.error,
    paused_until = CASE
      WHEN success_age IS NULL AND probe_failed AND held.paused_until IS NOT NULL
        THEN now() + make_interval(secs => jitter * least(:pauseSeconds::float8 * 2.0 ^ probes, :maxPauseSeconds::float8))
      WHEN success_age IS NULL AND held.paused_until IS NOT NULL THEN held.paused_until
      WHEN in_a_row >= :threshold THEN now() + make_interval(secs => jitter * :pauseSeconds::float8)
    END,
    failed_probes = CASE
      WHEN success_age IS NOT NULL THEN 0
      WHEN probe_failed AND held.paused_until IS NOT NULL THEN least(probes, 30)
      ELSE failed_probes
    END
  FROM held, endpoints AS endpoint
  WHERE health.endpoint_id = held.endpoint_id AND endpoint.endpoint_id = held.endpoint_id
  RETURNING health.endpoint_id, held.paused_until IS NOT NULL AS was_open, health.paused_until IS NOT NULL AS open,
            consecutive_failures,
            CASE WHEN failing_since IS NOT NULL
              THEN extract(epoch FROM now() - greatest(failing_since, endpoint.updated_at))::float8 END AS failing_seconds`;

const knowSql = `
  INSERT INTO endpoint_health (endpoint_id)
  SELECT endpoint_id FROM endpoints WHERE endpoint_id = ANY (:endpointIds::uuid[]) ORDER BY endpoint_id
  ON CONFLICT DO NOTHING`;

/** Index: delivery_lanes_due. An outage leaves few such lanes: the circuit keeps the others from being tried. */
export const hurrySql = `
  UPDATE delivery_lanes AS lane SET due_at = now()
  FROM (
    SELECT endpoint_id, order_key FROM delivery_lanes
    WHERE endpoint_id = ANY (:endpointIds::uuid[]) AND due_at > now() AND leased_by IS NULL
    ORDER BY endpoint_id, order_key LIMIT 1000
    FOR NO KEY UPDATE SKIP LOCKED
  ) AS resting
  WHERE lane.endpoint_id = resting.endpoint_id AND lane.order_key = resting.order_key`;

interface StateRow {
  readonly endpoint_id: string;
  readonly was_open: boolean;
  readonly open: boolean;
  readonly consecutive_failures: number;
  readonly failing_seconds: number | null;
}
