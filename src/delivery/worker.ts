import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../infra/log.ts';
import { type Database, isDatabaseUnavailable } from '../infra/postgres.ts';
import { createAttempt, type WebhookSender } from './attempt.ts';
import { createDeliveryStore, type LeasedLane, type Settlement, type SettlementResult } from './delivery-store.ts';
import { createTargetReader, disableGoneEndpoint, type SecretBox } from './endpoint-store.ts';
import { fanOut } from './fan-out.ts';
import { createGroupCommit } from './group-commit.ts';
import { createLaneRun } from './lane-run.ts';
import { createPollLoop } from './poll-loop.ts';
import { backoffMilliseconds, type RetrySchedule } from './schedule.ts';

export interface DeliveryWorkerOptions extends RetrySchedule {
  readonly db: Database;
  readonly outbound: WebhookSender;
  readonly sealedBox: SecretBox;
  readonly now: () => Date;
  readonly log: Log;
  /** A UUID of this worker alone. */
  readonly workerId: string;
  /** Lanes in the air at a time, and with them requests. */
  readonly concurrency: number;
  /** The most lanes that one statement leases. */
  readonly lanesPerLease: number;
  /** The most deliveries of a lane that are read at a time; with `concurrency` it bounds the memory. */
  readonly deliveriesPerLane: number;
  /** Must be longer than `timeoutSeconds`: it covers one attempt and its recording. */
  readonly leaseSeconds: number;
  readonly timeoutSeconds: number;
  readonly pollSeconds: number;
  /** How long `stop` waits for what is in the air. */
  readonly drainSeconds: number;
  /** Jitter; numbers in [0, 1). */
  readonly random?: () => number;
}

export interface DeliveryWorker {
  start(): void;
  /** Events were committed: look now, not at the next poll. */
  wake(): void;
  /** Takes nothing more on, and waits for what is in the air. What does not end in time is repeated when its lease has run out. */
  stop(): Promise<void>;
  /** Fans out and sends everything that is due, then returns the number of attempts. For a worker that was not started. */
  runOnce(): Promise<number>;
}

const batchEvents = 500;
const settlementsPerWrite = 500;
/** Another worker fans out: what committed since its snapshot is looked for soon. */
const busyMilliseconds = 50;

/**
 * Two loops: one makes deliveries of events (fan-out), one leases lanes that are due and sends them. Claim, send, record are three
 * steps, none of them inside another's transaction.
 */
export function createDeliveryWorker(options: DeliveryWorkerOptions): DeliveryWorker {
  const { db, log, now, concurrency, leaseSeconds, timeoutSeconds } = options;
  if (leaseSeconds <= timeoutSeconds) {
    throw new RangeError(`leaseSeconds (${leaseSeconds}) must be greater than timeoutSeconds (${timeoutSeconds})`);
  }
  const store = createDeliveryStore({ ...options, readTargets: createTargetReader(options) });
  const settle = createGroupCommit({ write: settleWhenPossible, maxItems: settlementsPerWrite });
  const pollMilliseconds = options.pollSeconds * 1_000;
  const inAir = new Set<Promise<unknown>>();
  let stopping = false;
  let drained = false;

  const runLane = createLaneRun({
    ...options,
    attempt: createAttempt(options),
    settle,
    onGone: (endpointId) => disableGoneEndpoint(db, endpointId, now()),
    isStopping: () => stopping,
    random: options.random ?? Math.random,
  });

  const fanOutLoop = createPollLoop({
    async step() {
      const result = await fanOut(db, { batchEvents });
      if (result.kind === 'busy') return busyMilliseconds;
      if (result.events > 0) sendLoop.wake();
      return result.events === batchEvents ? 0 : pollMilliseconds;
    },
    onError: (error, failures) => log.warn({ err: error, failures }, 'webhook fan-out: failed, to be tried again'),
  });

  const sendLoop = createPollLoop({
    async step() {
      const limit = Math.min(concurrency - inAir.size, options.lanesPerLease);
      if (limit <= 0) return pollMilliseconds;
      const started = await takeLanes(limit);
      for (const attempts of started) {
        inAir.add(attempts);
        void attempts.finally(() => {
          inAir.delete(attempts);
          sendLoop.wake();
        });
      }
      return started.length === limit ? 0 : pollMilliseconds;
    },
    onError: (error, failures) =>
      log.warn({ err: error, failures }, 'webhook delivery: no lanes could be leased, to be tried again'),
  });

  /** Leases lanes and starts them; each promise ends with the number of attempts and never fails. */
  async function takeLanes(limit: number): Promise<Promise<number>[]> {
    const lanes = await store.lease(limit);
    return lanes.map((lane) => runLane(lane).catch((error) => abandon(lane, error)));
  }

  /** The lane is left to its lease: when that runs out, somebody takes it again. */
  function abandon({ endpointId, orderKey }: LeasedLane, error: unknown): number {
    log.error({ err: error, endpointId, orderKey }, 'webhook delivery: a lane was abandoned');
    return 0;
  }

  /** While Postgres is away outcomes wait for it: recorded late, within the lease or after it, they still spare a repeat. */
  async function settleWhenPossible(settlements: readonly Settlement[]): Promise<readonly SettlementResult[]> {
    for (let failures = 1; ; failures += 1) {
      try {
        return await store.settle(settlements);
      } catch (error) {
        if (drained || !isDatabaseUnavailable(error)) throw error;
        log.warn({ err: error, failures, settlements: settlements.length }, 'webhook delivery: outcomes wait for Postgres');
        await sleep(backoffMilliseconds(failures));
      }
    }
  }

  async function runOnce(): Promise<number> {
    for (;;) {
      const result = await fanOut(db, { batchEvents });
      if (result.kind === 'busy') await sleep(busyMilliseconds);
      else if (result.events === 0) break;
    }
    let attempts = 0;
    for (;;) {
      const started = await takeLanes(Math.min(concurrency, options.lanesPerLease));
      if (started.length === 0) return attempts;
      for (const made of await Promise.all(started)) attempts += made;
    }
  }

  async function stop(): Promise<void> {
    stopping = true;
    const finished = Promise.all([fanOutLoop.stop(), sendLoop.stop()]).then(() => Promise.all(inAir));
    await Promise.race([finished, sleep(options.drainSeconds * 1_000, undefined, { ref: false })]);
    drained = true;
    if (inAir.size > 0) log.warn({ lanes: inAir.size }, 'webhook delivery: stopped before everything in the air had ended');
  }

  return {
    start() {
      fanOutLoop.start();
      sendLoop.start();
    },
    wake: fanOutLoop.wake,
    stop,
    runOnce,
  };
}
