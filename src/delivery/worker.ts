import type { KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../infra/log.ts';
import { type Database, isDatabaseUnavailable } from '../infra/postgres.ts';
import { createAttempt, type WebhookSender } from './attempt.ts';
import { createCircuits } from './circuit.ts';
import { type CircuitSettings, createCircuitStore } from './circuit-store.ts';
import { createDeliveryStore, type Settlement, type SettlementResult } from './delivery-store.ts';
import { disableEndpoint } from './endpoint-disabling.ts';
import type { SecretBox } from './endpoint-secrets.ts';
import { createTargetReader } from './endpoint-targets.ts';
import { fanOut } from './fan-out.ts';
import { createFlow } from './flow.ts';
import { createGroupCommit } from './group-commit.ts';
import type { LeasedLane } from './lane-lease.ts';
import { createLaneRun } from './lane-run.ts';
import { createPollLoop } from './poll-loop.ts';
import { backoffMilliseconds, giveUpSeconds, type RetrySchedule } from './schedule.ts';

export interface DeliveryWorkerOptions extends RetrySchedule, CircuitSettings {
  readonly db: Database;
  readonly outbound: WebhookSender;
  readonly sealedBox: Pick<SecretBox, 'open'>;
  /** The instance's private keys that sign for every endpoint (`v1a`), newest first. */
  readonly webhookKeys?: () => readonly KeyObject[];
  readonly now: () => Date;
  readonly log: Log;
  /** A UUID of this worker alone. */
  readonly workerId: string;
  /** Lanes in the air at a time, and with them requests. */
  readonly concurrency: number;
  /** The most lanes that one statement leases. */
  readonly lanesPerLease: number;
  /** The most deliveries of a lane that are read at a time. */
  readonly deliveriesPerLane: number;
  /** The text of events in memory, in MiB; a single event may be longer. */
  readonly maxBodyMebibytes: number;
  /** Must be longer than `timeoutSeconds`: it covers one attempt and its recording. */
  readonly leaseSeconds: number;
  readonly timeoutSeconds: number;
  readonly pollSeconds: number;
  /** The longest pause that a receiver's `Retry-After` brings about. */
  readonly retryAfterMaxSeconds: number;
  /** How long `stop` waits for what is in the air. */
  readonly drainSeconds: number;
  /** Jitters; numbers in [0, 1). */
  readonly random?: () => number;
}

export interface DeliveryWorker {
  start(): void;
  /** Events were committed, or deliveries: look now, not at the next poll. */
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
/** Timers and the clock of Postgres differ by a little: what is due by then is due. */
const clockMilliseconds = 2;
const mebibyte = 1_048_576;

/**
 * Two loops: one makes deliveries of events (fan-out), one leases lanes that are due and sends them. Claim, send, record are three
 * steps, none of them inside another's transaction.
 */
export function createDeliveryWorker(options: DeliveryWorkerOptions): DeliveryWorker {
  const { db, log, now, leaseSeconds, timeoutSeconds } = options;
  if (leaseSeconds <= timeoutSeconds) {
    throw new RangeError(`leaseSeconds (${leaseSeconds}) must be greater than timeoutSeconds (${timeoutSeconds})`);
  }
  const random = options.random ?? Math.random;
  const store = createDeliveryStore({ ...options, readTargets: createTargetReader(options) });
  const settle = createGroupCommit({ write: settleWhenPossible, maxItems: settlementsPerWrite });
  const pollMilliseconds = options.pollSeconds * 1_000;
  const flow = createFlow({ ...options, bodyBytes: options.maxBodyMebibytes * mebibyte });
  const inAir = new Set<Promise<unknown>>();
  let stopping = false;
  let drained = false;
  let woken = false;

  const circuits = createCircuits({
    ...options,
    write: createCircuitStore({ ...options, random }).write,
    giveUpSeconds: giveUpSeconds(options),
    onChange: () => sendLoop.wake(),
  });

  const runLane = createLaneRun({
    ...options,
    attempt: createAttempt(options),
    settle,
    onAttempt: circuits.note,
    onGivenUp: giveUp,
    isStopping: () => stopping,
    random,
  });

  const fanOutLoop = createPollLoop({
    async step() {
      const result = await fanOut(db, { batchEvents });
      if (result.kind === 'busy') return busyMilliseconds;
      // Who wakes may have made deliveries without events: a replay.
      if (result.events > 0 || woken) sendLoop.wake();
      woken = false;
      return result.events === batchEvents ? 0 : pollMilliseconds;
    },
    onError: (error, failures) => log.warn({ err: error, failures }, 'webhook fan-out: failed, to be tried again'),
  });

  const sendLoop = createPollLoop({
    async step() {
      const { lanes, againSeconds, full } = await takeLanes();
      for (const lane of lanes) {
        inAir.add(lane.run);
        void lane.run.finally(() => {
          inAir.delete(lane.run);
          sendLoop.wake();
        });
      }
      // Full leases may have left something, and moments of a rate limit follow one another.
      if (full || lanes.some(({ limited }) => limited)) return 0;
      return againSeconds === null ? pollMilliseconds : Math.min(pollMilliseconds, againSeconds * 1_000 + clockMilliseconds);
    },
    onError: (error, failures) =>
      log.warn({ err: error, failures }, 'webhook delivery: no lanes could be leased, to be tried again'),
  });

  /** Leases as many lanes as there is room for and starts them; each run ends with the number of attempts and never fails. */
  async function takeLanes() {
    const room = flow.room(circuits.opening());
    if (room === null) return { lanes: [], againSeconds: null, full: false };
    const { lanes, againSeconds } = await store.lease(room);
    for (const lane of lanes) flow.begin(lane);
    return {
      againSeconds,
      full: lanes.length === room.lanes,
      lanes: lanes.map((lane) => ({
        limited: lane.target.rateLimitPerSecond !== null,
        run: runLane(lane)
          .catch((error) => abandon(lane, error))
          .finally(() => flow.end(lane)),
      })),
    };
  }

  async function giveUp(endpointId: string, reason: 'gone' | 'failing'): Promise<void> {
    if (!(await disableEndpoint(db, { endpointId, reason, now: now() }))) return;
    log.warn({ endpointId, reason }, 'webhook delivery: the endpoint is disabled');
    fanOutLoop.wake();
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
      const { lanes } = await takeLanes();
      if (lanes.length === 0) break;
      for (const made of await Promise.all(lanes.map(({ run }) => run))) attempts += made;
    }
    await circuits.flush();
    return attempts;
  }

  async function stop(): Promise<void> {
    stopping = true;
    const finished = Promise.all([fanOutLoop.stop(), sendLoop.stop()]).then(() => Promise.all(inAir));
    await Promise.race([finished, sleep(options.drainSeconds * 1_000, undefined, { ref: false })]);
    drained = true;
    await circuits.flush();
    if (inAir.size > 0) log.warn({ lanes: inAir.size }, 'webhook delivery: stopped before everything in the air had ended');
  }

  return {
    start() {
      fanOutLoop.start();
      sendLoop.start();
    },
    wake() {
      woken = true;
      fanOutLoop.wake();
    },
    stop,
    runOnce,
  };
}
