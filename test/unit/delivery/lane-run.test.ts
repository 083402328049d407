import { describe, expect, it } from 'vitest';
import type { AttemptResult } from '../../../src/delivery/attempt.ts';
import type { Settlement } from '../../../src/delivery/delivery-store.ts';
import type { LeasedLane } from '../../../src/delivery/lane-lease.ts';
import { createLaneRun } from '../../../src/delivery/lane-run.ts';
import { createLog } from '../../../src/infra/log.ts';

const start = Date.parse('2026-03-01T12:00:00Z');
const answer = { durationMilliseconds: 3, answer: 'text' };
const delivered: AttemptResult = { ...answer, kind: 'delivered', status: 200 };
const refused: AttemptResult = {
  ...answer,
  kind: 'failed',
  status: 500,
  error: 'http_status',
  gone: false,
  retryAfterSeconds: null,
};

function lane(attemptsMade: readonly number[], complete = true): LeasedLane {
  return {
    endpointId: 'e',
    orderKey: 'k',
    target: { url: 'https://app.example.com/', keys: [], headers: {}, rateLimitPerSecond: null, maxConcurrency: null },
    revision: 1,
    leasedUntil: 'lease 1',
    requestedAt: new Date(start),
    deliveries: attemptsMade.map((attempts, index) => ({
      position: index + 1,
      eventId: `event ${index + 1}`,
      attempts,
      body: '{}',
    })),
    complete,
    probe: false,
    failingSeconds: null,
    waitMilliseconds: 0,
  };
}

/** Runs a lane against answers, one for each attempt; `secondsPerAttempt` pass with each. Returns what was sent and settled. */
async function run(
  leased: LeasedLane,
  answers: AttemptResult[],
  { secondsPerAttempt = 0, lost = false, stopAfter = 99, givenUp = false } = {},
) {
  let clock = start;
  const sent: number[] = [];
  const settled: Settlement[] = [];
  const gone: [string, string][] = [];
  const runLane = createLaneRun({
    async attempt(_, { eventId }) {
      sent.push(Number(eventId.split(' ')[1]));
      clock += secondsPerAttempt * 1_000;
      return answers[sent.length - 1] ?? delivered;
    },
    async settle(settlement) {
      settled.push(settlement);
      if (lost) return { kind: 'lost' };
      return settlement.lease.kind === 'keep'
        ? { kind: 'kept', leasedUntil: `lease ${settled.length + 1}` }
        : { kind: 'released' };
    },
    onAttempt: async (_, { kind }) => givenUp && kind === 'failed',
    onGivenUp: async (endpointId, reason) => {
      gone.push([endpointId, reason]);
    },
    isStopping: () => sent.length >= stopAfter,
    random: () => 0.5,
    now: () => new Date(clock),
    leaseSeconds: 60,
    timeoutSeconds: 15,
    retryDelaysSeconds: [5, 60],
    jitterFraction: 0.2,
    retryAfterMaxSeconds: 3_600,
    log: createLog({ level: 'silent' }),
  });
  return { attempts: await runLane(leased), sent, settled, gone };
}

describe('a lane', () => {
  it('sends its deliveries in order, renews the lease between them and gives it up with the last', async () => {
    const { attempts, sent, settled } = await run(lane([0, 0, 0]), []);
    expect(attempts).toBe(3);
    expect(sent).toEqual([1, 2, 3]);
    expect(settled.map(({ lane: { leasedUntil }, lease }) => [leasedUntil, lease])).toEqual([
      ['lease 1', { kind: 'keep' }],
      ['lease 2', { kind: 'keep' }],
      ['lease 3', { kind: 'release', due: 'if-added' }],
    ]);
  });

  it('is due again at once when it may hold more than was read', async () => {
    const { settled } = await run(lane([0], false), []);
    expect(settled[0]?.lease).toEqual({ kind: 'release', due: 'at-once' });
  });

  it('waits behind a failed delivery', async () => {
    const { sent, settled } = await run(lane([1, 0]), [refused]);
    expect(sent).toEqual([1]);
    expect(settled).toMatchObject([
      {
        outcome: {
          position: 1,
          eventId: 'event 1',
          attempt: 2,
          result: 'failed',
          httpStatus: 500,
          error: 'http_status',
          durationMilliseconds: 3,
          answer: 'text',
        },
        lease: { kind: 'release', due: { afterSeconds: 60 } },
      },
    ]);
  });

  it('goes on after an exhausted delivery', async () => {
    const { sent, settled } = await run(lane([2, 0]), [refused]);
    expect(sent).toEqual([1, 2]);
    expect(settled).toMatchObject([
      { outcome: { position: 1, result: 'exhausted', error: 'http_status' }, lease: { kind: 'keep' } },
      { outcome: { position: 2, result: 'delivered' }, lease: { kind: 'release', due: 'if-added' } },
    ]);
  });

  it('in which nothing waits is given back until something comes', async () => {
    const { settled } = await run(lane([]), []);
    expect(settled).toMatchObject([{ outcome: null, lease: { kind: 'release', due: 'if-added' } }]);
  });

  it('sends nothing more once its lease is lost', async () => {
    const { attempts, sent } = await run(lane([0, 0, 0]), [], { lost: true });
    expect(attempts).toBe(1);
    expect(sent).toEqual([1]);
  });

  it('tells of a receiver that wants no more', async () => {
    expect((await run(lane([0]), [{ ...refused, status: 410, error: 'gone', gone: true }])).gone).toEqual([['e', 'gone']]);
    expect((await run(lane([0]), [refused])).gone).toEqual([]);
  });

  it.each([
    ['a longer pause', 200, 200],
    ['a shorter pause than the schedule has', 1, 60],
    ['a pause beyond the limit', 90_000, 3_600],
  ])('waits as the receiver asks, within bounds: %s', async (_, retryAfterSeconds, afterSeconds) => {
    const { settled } = await run(lane([1, 0]), [{ ...refused, retryAfterSeconds }]);
    expect(settled).toMatchObject([{ lease: { kind: 'release', due: { afterSeconds } } }]);
  });

  it('whose endpoint is given up rests its delivery as exhausted, whatever its own schedule, and sends nothing more', async () => {
    const { sent, settled, gone } = await run(lane([0, 0]), [refused], { givenUp: true });
    expect(sent).toEqual([1]);
    expect(settled).toMatchObject([
      { outcome: { position: 1, result: 'exhausted' }, lease: { kind: 'release', due: 'at-once' } },
    ]);
    expect(gone).toEqual([['e', 'failing']]);
  });

  it('gives the rest back when the worker stops', async () => {
    const { sent, settled } = await run(lane([0, 0, 0]), [], { stopAfter: 1 });
    expect(sent).toEqual([1]);
    expect(settled.at(-1)).toMatchObject({ outcome: null, lease: { kind: 'release', due: 'at-once' } });
  });

  it('sends nothing when the worker stood still and an attempt could outlast the lease', async () => {
    const stale = { ...lane([0]), requestedAt: new Date(start - 45_001) };
    const { attempts, settled } = await run(stale, []);
    expect(attempts).toBe(0);
    expect(settled).toMatchObject([{ outcome: null, lease: { kind: 'release', due: 'at-once' } }]);
    expect((await run({ ...stale, requestedAt: new Date(start - 45_000) }, [])).attempts).toBe(1);
  });

  it('counts the lease from its renewal', async () => {
    // 14 s each: together far beyond the lease, each of them within.
    expect((await run(lane([0, 0, 0, 0, 0, 0]), [], { secondsPerAttempt: 14 })).attempts).toBe(6);
  });
});
