import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EndpointInput, endpointInput } from '../../src/delivery/endpoint-input.ts';
import { createEndpointStore } from '../../src/delivery/endpoint-store.ts';
import { createDeliveryWorker, type DeliveryWorkerOptions } from '../../src/delivery/worker.ts';
import type { WebhookEvent } from '../../src/domain/webhook-event.ts';
import { createLog } from '../../src/infra/log.ts';
import { createOutboundHttp } from '../../src/infra/outbound-http.ts';
import type { Database } from '../../src/infra/postgres.ts';
import { createSealedBox } from '../../src/infra/sealed-box.ts';
import { appendEvents } from '../../src/outbox/append.ts';

export const sealingKey = `test:${randomBytes(32).toString('base64')}`;
export const silentLog = createLog({ level: 'silent' });

/** Quick settings; pauses between attempts are too long to come about within a test unless it makes them due. */
export const workerDefaults = {
  concurrency: 16,
  lanesPerLease: 16,
  deliveriesPerLane: 10,
  leaseSeconds: 10,
  timeoutSeconds: 5,
  pollSeconds: 0.05,
  drainSeconds: 5,
  retryDelaysSeconds: [100, 1_000],
  jitterFraction: 0,
  retryAfterMaxSeconds: 86_400,
  maxBodyMebibytes: 16,
  circuitFailures: 10,
  circuitPauseSeconds: 5,
  circuitMaxPauseSeconds: 300,
};

export interface DeliveryWorldOptions {
  readonly sealingKeys?: readonly string[];
  /** As an operator would have it who has not allowed loopback. */
  readonly guarded?: boolean;
}

/** Everything around a delivery worker on a real database; `worker` makes one, several share the database. */
export function createDeliveryWorld(db: Database, { sealingKeys = [sealingKey], guarded = false }: DeliveryWorldOptions = {}) {
  const sealedBox = createSealedBox({ keys: sealingKeys });
  const outbound = createOutboundHttp({
    allowHttp: true,
    allowedPrivateAddresses: guarded ? [] : ['127.0.0.1'],
    timeoutSeconds: 5,
    maxResponseBytes: 64 * 1024,
  });
  const now = () => new Date();
  const isDelivered = async (): Promise<boolean> => {
    const { rows } = await db.raw<{ rows: unknown[] }>(
      "SELECT 1 FROM outbox UNION ALL SELECT 1 FROM deliveries WHERE status = 'waiting' LIMIT 1",
    );
    return rows.length === 0;
  };
  const endpoints = createEndpointStore({ db, sealedBox, now });
  return {
    db,
    endpoints,
    worker(options: Partial<DeliveryWorkerOptions> = {}) {
      return createDeliveryWorker({
        db,
        outbound,
        sealedBox,
        now,
        log: silentLog,
        workerId: randomUUID(),
        ...workerDefaults,
        ...options,
      });
    },
    /** @returns the endpoint's id and secret */
    async addEndpoint(input: Partial<EndpointInput> & { url: string }) {
      const { endpoint, secret } = await endpoints.create(endpointInput({ allowHttp: true }).parse(input));
      return { endpointId: endpoint.endpointId, secret };
    },
    append: (...events: WebhookEvent[]) => db.transaction((tx) => appendEvents(tx, events, { now: now() })),
    /** As if the pause before the next attempt were over. */
    async endPauses() {
      await db('delivery_lanes')
        .whereNotNull('due_at')
        .update({ due_at: db.raw('now()') });
    },
    /** As if every worker that holds a lane had been silent for the length of its lease. */
    async endLeases() {
      await db('delivery_lanes')
        .whereNotNull('leased_until')
        .update({ leased_until: db.raw("now() - interval '1 second'") });
    },
    isDelivered,
    /** Waits until no event lacks its deliveries and no delivery waits. */
    async untilDelivered(seconds: number) {
      const end = Date.now() + seconds * 1_000;
      while (!(await isDelivered())) {
        if (Date.now() > end) throw new Error(`deliveries still wait after ${seconds} s`);
        await sleep(20);
      }
    },
    /** In the order in which they were recorded. */
    attempts: (): Promise<AttemptRow[]> => db('delivery_attempts').orderBy('attempt_id'),
    /** Those that wait or rest as exhausted. */
    deliveries: (): Promise<DeliveryRow[]> => db('deliveries').orderBy(['endpoint_id', 'position']),
    lanes: (): Promise<LaneRow[]> => db('delivery_lanes').orderBy(['endpoint_id', 'order_key']),
    async clear() {
      await db.raw(
        'TRUNCATE events, outbox, event_log, endpoints, endpoint_health, endpoint_tasks, delivery_lanes, deliveries, delivery_attempts RESTART IDENTITY',
      );
    },
    close: () => outbound.close(),
  };
}

export type DeliveryWorld = ReturnType<typeof createDeliveryWorld>;

export interface DeliveryRow {
  readonly endpoint_id: string;
  readonly order_key: string;
  readonly position: number;
  readonly event_id: string;
  readonly status: 'waiting' | 'exhausted';
  readonly attempts: number;
  readonly last_status: number | null;
  readonly last_error: string | null;
  readonly finished_at: Date | null;
}

export interface AttemptRow {
  readonly endpoint_id: string;
  readonly order_key: string;
  readonly position: number;
  readonly event_id: string;
  readonly attempt: number;
  readonly outcome: 'delivered' | 'failed' | 'exhausted';
  readonly status: number | null;
  readonly error: string | null;
  readonly duration_milliseconds: number;
  readonly answer: string | null;
}

export interface LaneRow {
  readonly endpoint_id: string;
  readonly order_key: string;
  readonly due_at: Date | null;
  readonly leased_by: string | null;
  readonly leased_until: Date | null;
  readonly revision: number;
}
