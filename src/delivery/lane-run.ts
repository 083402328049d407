import type { Log } from '../infra/log.ts';
import type { AttemptResult, DeliveryTarget } from './attempt.ts';
import type { LeasedLane, RecordedOutcome, Settlement, SettlementResult, WaitingDelivery } from './delivery-store.ts';
import { type RetrySchedule, retryDelaySeconds } from './schedule.ts';

export interface LaneRunOptions extends RetrySchedule {
  readonly attempt: (target: DeliveryTarget, event: WaitingDelivery) => Promise<AttemptResult>;
  readonly settle: (settlement: Settlement) => Promise<SettlementResult>;
  /** Called when the receiver wants no more events. */
  readonly onGone: (endpointId: string) => Promise<void>;
  readonly isStopping: () => boolean;
  readonly random: () => number;
  readonly now: () => Date;
  readonly leaseSeconds: number;
  readonly timeoutSeconds: number;
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
    for (const delivery of lane.deliveries) {
      // A process that stood still must not send what another one may be sending meanwhile.
      if (options.isStopping() || now().getTime() > safeUntil) break;
      const result = await attempt(lane.target, delivery);
      attempts += 1;
      const outcome = decide(delivery, result);
      logOutcome(lane, delivery, outcome);
      const requestedAt = now();
      const settled = await settle({
        lane: { ...lane, leasedUntil },
        outcome: outcome.recorded,
        lease: nextStep(lane, delivery, outcome),
      });
      if (settled.kind === 'lost')
        log.warn(idsOf(lane, delivery), 'webhook delivery: the lease was lost, the outcome is not recorded');
      if (result.kind === 'failed' && result.gone) await options.onGone(lane.endpointId);
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

  function decide(delivery: WaitingDelivery, result: AttemptResult): Outcome {
    const { position } = delivery;
    if (result.kind === 'delivered') {
      return { recorded: { position, status: 'delivered', httpStatus: result.status, error: null }, retryAfterSeconds: null };
    }
    const retryAfterSeconds = retryDelaySeconds(delivery.attempts + 1, options, options.random());
    const status = retryAfterSeconds === null ? 'exhausted' : 'waiting';
    return { recorded: { position, status, httpStatus: result.status, error: result.error }, retryAfterSeconds };
  }

  function logOutcome(lane: LeasedLane, delivery: WaitingDelivery, { recorded, retryAfterSeconds }: Outcome): void {
    if (recorded.status === 'delivered') return;
    const line = {
      ...idsOf(lane, delivery),
      attempts: delivery.attempts + 1,
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
