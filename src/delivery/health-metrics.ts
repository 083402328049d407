import { setTimeout as sleep } from 'node:timers/promises';
import { Gauge, type Registry } from 'prom-client';
import type { Log } from '../infra/log.ts';
import type { Database } from '../infra/postgres.ts';
import { countLimit, type EndpointState, stateSql } from './health.ts';

/** Postgres that does not answer must not hold up the other figures. */
const readMilliseconds = 2_000;

const states: readonly EndpointState[] = ['healthy', 'failing', 'circuit_open', 'disabled'];

/**
 * Reports endpoints and deliveries at each reading, from Postgres: every replica says the same. One bounded statement serves all of
 * them; while Postgres is away they report nothing.
 */
export function watchEndpoints(deps: { readonly db: Database; readonly registry: Registry; readonly log: Log }): void {
  const { db, registry, log } = deps;
  const endpoints = new Gauge({
    name: 'rollcall_endpoints',
    help: 'Webhook endpoints, by state.',
    labelNames: ['state'],
    registers: [registry],
    collect: readOnce,
  });
  const deliveries = new Gauge({
    name: 'rollcall_deliveries_queued',
    help: `Deliveries that wait for an attempt, and those that rest because every attempt failed; counted up to ${countLimit} each.`,
    labelNames: ['status'],
    registers: [registry],
    collect: readOnce,
  });
  const oldest = new Gauge({
    name: 'rollcall_delivery_oldest_due_seconds',
    help: 'For how long the delivery of an enabled endpoint that is due longest has been due; 0: none is due.',
    registers: [registry],
    collect: readOnce,
  });
  let reading: Promise<void> | null = null;

  /** One statement for all three. */
  async function readOnce(): Promise<void> {
    reading ??= read();
    await Promise.race([reading, sleep(readMilliseconds, undefined, { ref: false })]);
  }

  async function read(): Promise<void> {
    for (const gauge of [endpoints, deliveries, oldest]) gauge.reset();
    try {
      const { rows } = await db.raw<{ rows: [Totals] }>(readTotalsSql, { limit: countLimit });
      const [totals] = rows;
      for (const state of states) endpoints.set({ state }, totals.states[state] ?? 0);
      deliveries.set({ status: 'waiting' }, totals.waiting);
      deliveries.set({ status: 'exhausted' }, totals.exhausted);
      oldest.set(totals.oldest_due_seconds);
    } catch (error) {
      // The other figures are worth having without these.
      log.warn({ err: error }, 'metrics: the state of the endpoints could not be read');
      oldest.remove();
    } finally {
      reading = null;
    }
  }
}

interface Totals {
  readonly states: Partial<Record<EndpointState, number>>;
  readonly waiting: number;
  readonly exhausted: number;
  readonly oldest_due_seconds: number;
}

/** Indexes: deliveries_waiting, deliveries_exhausted, delivery_lanes_due (its first entry of each enabled endpoint). */
const readTotalsSql = `
  SELECT
    (SELECT coalesce(json_object_agg(state, number), '{}') FROM (
       SELECT ${stateSql} AS state, count(*) AS number
       FROM endpoints AS endpoint LEFT JOIN endpoint_health AS health USING (endpoint_id)
       WHERE endpoint.deleted_at IS NULL GROUP BY 1) AS by_state) AS states,
    (SELECT count(*)::integer FROM (SELECT 1 FROM deliveries WHERE status = 'waiting' LIMIT :limit) AS counted) AS waiting,
    (SELECT count(*)::integer FROM (SELECT 1 FROM deliveries WHERE status = 'exhausted' LIMIT :limit) AS counted) AS exhausted,
    (SELECT coalesce(extract(epoch FROM greatest(now() - min(due_at), interval '0')), 0)::float8
     FROM endpoints CROSS JOIN LATERAL (
       SELECT due_at FROM delivery_lanes WHERE delivery_lanes.endpoint_id = endpoints.endpoint_id AND due_at IS NOT NULL
       ORDER BY due_at LIMIT 1) AS first
     WHERE enabled) AS oldest_due_seconds`;
