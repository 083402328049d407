import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../infra/log.ts';
import type { AttemptResult, DeliveryTarget, EventToSend } from './attempt.ts';
import type { RecordedOutcome, Settlement, SettlementResult } from './delivery-store.ts';
import type { WaitingDelivery } from './lane-contents.ts';
import type { LeasedLane } from './lane-lease.ts';
import { type RetrySchedule, retryDelaySeconds } from './schedule.ts';

export interface LaneRunOptions extends RetrySchedule {
  readonly attempt: (target: DeliveryTarget, event: EventToSend) => Promise<AttemptResult>;
  readonly settle: (settlement: Settlement) => Promise<SettlementResult>;
  /** Told of each attempt before it is recorded; true: the endpoint has failed for so long that it is given up. */
  readonly onAttempt: (lane: LeasedLane, result: AttemptResult) => Promise<boolean>;
  /** Called when the receiver wants no more events, or is given up. */
  readonly onGivenUp: (endpointId: string, reason: 'gone' | 'failing') => Promise<void>;
  readonly isStopping: () => boolean;
  readonly random: () => number;
  readonly now: () => Date;
  readonly leaseSeconds: number;
  readonly timeoutSeconds: number;
  /** The longest pause that a receiver's `Retry-After` brings about. */
  readonly retryAfterMaxSeconds: number;
  readonly log: Log;
}

/**
 * Sends a leased lane's deliveries one after the other. Each outcome is recorded before the next delivery leaves: whoever dies
 * between the two causes one repeat, of one delivery.
 *
 * A failed delivery gives the lane back until its next attempt, so that nothing overtakes it; an exhausted one makes way.
 */
export function createLaneRun(options: LaneRunOptions) {
  const { attempt, settle, now, log } = options;

  /** @returns the attempts made */
  return async function runLane(lane: LeasedLane): Promise<number> {
    let { leasedUntil } = lane;
    // By the worker's own clock and counted from a moment before the lease began: never later than the true end.
    let safeUntil = endOfLease(lane.requestedAt);
    let attempts = 0;
    if (lane.waitMilliseconds > 0) await sleep(lane.waitMilliseconds);
    for (const delivery of lane.deliveries) {
      // A process that stood still must not send what another one may be sending meanwhile.
      if (options.isStopping() || now().getTime() > safeUntil) break;
      const result = await attempt(lane.target, delivery);
      attempts += 1;
      const givenUp = await options.onAttempt(lane, result);
      const outcome = decide(delivery, result, givenUp);
      logOutcome(lane, delivery, outcome);
      const requestedAt = now();
      const settled = await settle({
        lane: { ...lane, leasedUntil },
        outcome: outcome.recorded,
        lease: givenUp ? { kind: 'release', due: 'at-once' } : nextStep(lane, delivery, outcome),
      });
      if (settled.kind === 'lost')
        log.warn(idsOf(lane, delivery), 'webhook delivery: the lease was lost, the outcome is not recorded');
      if (result.kind === 'failed' && result.gone) await options.onGivenUp(lane.endpointId, 'gone');
      else if (givenUp) await options.onGivenUp(lane.endpointId, 'failing');
      if (settled.kind !== 'kept') return attempts;
      ({ leasedUntil } = settled);
      safeUntil = endOfLease(requestedAt);
    }
    // Nothing was waiting, or the rest is left to whoever takes the lane next.
    const due = lane.deliveries.length === 0 ? 'if-added' : 'at-once';
    await settle({ lane: { ...lane, leasedUntil }, outcome: null, lease: { kind: 'release', due } });
    return attempts;
  };

  function endOfLease(requestedAt: Date): number {
    return requestedAt.getTime() + (options.leaseSeconds - options.timeoutSeconds) * 1_000;
  }

  function decide({ position, eventId, attempts }: WaitingDelivery, result: AttemptResult, givenUp: boolean): Outcome {
    const { durationMilliseconds, answer } = result;
    const made = { position, eventId, attempt: attempts + 1, httpStatus: result.status, durationMilliseconds, answer };
    if (result.kind === 'delivered') return { recorded: { ...made, result: 'delivered', error: null }, retryAfterSeconds: null };
    const retryAfterSeconds = givenUp ? null : pauseAfter(made.attempt, result.retryAfterSeconds);
    const failed = retryAfterSeconds === null ? 'exhausted' : 'failed';
    return { recorded: { ...made, result: failed, error: result.error }, retryAfterSeconds };
  }

  /** The schedule's pause, or the longer one that the receiver asked for. Null: there is no further attempt. */
  function pauseAfter(attemptsMade: number, askedSeconds: number | null): number | null {
    const scheduled = retryDelaySeconds(attemptsMade, options, options.random());
    return scheduled === null ? null : Math.max(scheduled, Math.min(askedSeconds ?? 0, options.retryAfterMaxSeconds));
  }

  function logOutcome(lane: LeasedLane, delivery: WaitingDelivery, { recorded, retryAfterSeconds }: Outcome): void {
    if (recorded.result === 'delivered') return;
    const line = {
      ...idsOf(lane, delivery),
      attempts: recorded.attempt,
      status: recorded.httpStatus,
      error: recorded.error,
    };
    if (retryAfterSeconds === null) log.warn(line, 'webhook delivery: exhausted');
    else log.info({ ...line, retryAfterSeconds }, 'webhook delivery: failed, to be tried again');
  }
}

interface Outcome {
  readonly recorded: RecordedOutcome;
  readonly retryAfterSeconds: number | null;
}

function nextStep(lane: LeasedLane, delivery: WaitingDelivery, { retryAfterSeconds }: Outcome): Settlement['lease'] {
  if (retryAfterSeconds !== null) return { kind: 'release', due: { afterSeconds: retryAfterSeconds } };
  if (delivery !== lane.deliveries.at(-1)) return { kind: 'keep' };
  return { kind: 'release', due: lane.complete ? 'if-added' : 'at-once' };
}

function idsOf(lane: LeasedLane, { eventId }: WaitingDelivery) {
  return { endpointId: lane.endpointId, orderKey: lane.orderKey, eventId };
}
