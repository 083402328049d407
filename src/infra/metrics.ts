import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Database } from './postgres.ts';

export interface HttpRequestMeasure {
  readonly method: string;
  /** The route's pattern (`/saml/:connection/acs`), never the path: each label value is a series. */
  readonly route: string;
  readonly status: number;
  readonly seconds: number;
}

export interface Metrics {
  /** @param outcome `signed_in` or a code of the error table */
  countLogin(outcome: string, protocol: 'saml' | 'oidc' | 'unknown'): void;
  observeHttpRequest(measure: HttpRequestMeasure): void;
  countDelivery(outcome: 'delivered' | 'failed' | 'exhausted'): void;
  countStoreFallback(operation: string): void;
  /** @param level where the answer came from; `process` is a hit */
  countCacheLookup(cache: 'connection' | 'catalogue' | 'candidates', level: 'process' | 'redis' | 'postgres'): void;
  /** Reports the pool's connections at each reading. */
  watchPool(db: Database): void;
  /** In the text format of Prometheus. */
  text(): Promise<string>;
  readonly contentType: string;
  /** For metrics of one's own. */
  readonly registry: Registry;
}

export interface MetricsOptions {
  /** Memory, CPU, event loop and garbage collector of the process: for one broker of a process at most. */
  readonly processMetrics?: boolean;
}

/** Metrics of one broker, in a registry of its own (law 12). */
export function createMetrics({ processMetrics = false }: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  if (processMetrics) collectDefaultMetrics({ register: registry });
  const logins = new Counter({
    name: 'rollcall_logins_total',
    help: 'Logins that came to an end, by outcome (signed_in or an error code) and protocol.',
    labelNames: ['outcome', 'protocol'],
    registers,
  });
  const httpDurations = new Histogram({
    name: 'rollcall_http_request_duration_seconds',
    help: 'Time from a request to the end of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers,
  });
  const deliveries = new Counter({
    name: 'rollcall_deliveries_total',
    help: 'Attempts to deliver an event to an endpoint, by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  const fallbacks = new Counter({
    name: 'rollcall_expiring_store_fallbacks_total',
    help: 'Operations on short-lived values that Postgres served because Redis did not.',
    labelNames: ['operation'],
    registers,
  });
  const cacheLookups = new Counter({
    name: 'rollcall_cache_lookups_total',
    help: 'Look-ups of what logins go by, by cache and by the level that answered (process, redis, postgres).',
    labelNames: ['cache', 'level'],
    registers,
  });
  return {
    countLogin: (outcome, protocol) => logins.inc({ outcome, protocol }),
    observeHttpRequest: ({ method, route, status, seconds }) => httpDurations.observe({ method, route, status }, seconds),
    countDelivery: (outcome) => deliveries.inc({ outcome }),
    countStoreFallback: (operation) => fallbacks.inc({ operation }),
    countCacheLookup: (cache, level) => cacheLookups.inc({ cache, level }),
    watchPool: (db) => registerPool(registry, db),
    text: () => registry.metrics(),
    contentType: registry.contentType,
    registry,
  };
}

/** What knex's pool (tarn) tells of itself. */
interface Pool {
  numUsed(): number;
  numFree(): number;
  numPendingAcquires(): number;
}

function registerPool(registry: Registry, db: Database): void {
  const pool = db.client.pool as Pool;
  new Gauge({
    name: 'rollcall_postgres_pool_connections',
    help: 'Connections in use and idle, and callers that wait for one.',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      this.set({ state: 'used' }, pool.numUsed());
      this.set({ state: 'idle' }, pool.numFree());
      this.set({ state: 'waiting' }, pool.numPendingAcquires());
    },
  });
}
