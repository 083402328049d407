import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AttemptResult } from '../../../src/delivery/attempt.ts';
import { createCircuits } from '../../../src/delivery/circuit.ts';
import type { CircuitReport } from '../../../src/delivery/circuit-report.ts';
import { createLog } from '../../../src/infra/log.ts';

const delivered: AttemptResult = { kind: 'delivered', status: 204, durationMilliseconds: 1, answer: null };
const refused: AttemptResult = {
  kind: 'failed',
  status: 500,
  error: 'http_status',
  gone: false,
  retryAfterSeconds: null,
  durationMilliseconds: 1,
  answer: null,
};
const lane = { endpointId: 'e', probe: false, failingSeconds: null };

/** A store that counts as Postgres does; `away` makes it fail. */
function circuits({ failingSeconds = 0 } = {}) {
  const state = { written: [] as CircuitReport[], away: false, failures: 0, changes: 0 };
  const made = createCircuits({
    async write(reports) {
      if (state.away) throw new Error('away');
      return [...reports].map(([endpointId, report]) => {
        const wasOpen = state.failures >= 3;
        state.written.push(report);
        state.failures = report.failures + (report.succeededAt === null ? state.failures : 0);
        const open = state.failures >= 3;
        return {
          endpointId,
          open,
          opened: open && !wasOpen,
          closed: wasOpen && !open,
          consecutiveFailures: state.failures,
          failingSeconds: state.failures > 0 ? failingSeconds : null,
        };
      });
    },
    circuitFailures: 3,
    giveUpSeconds: 100,
    onChange: () => {
      state.changes += 1;
    },
    now: () => new Date(),
    log: createLog({ level: 'silent' }),
  });
  return { ...made, state };
}

describe('what a worker writes of its endpoints', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('is one summary a second, however many attempts there were', async () => {
    const { note, state } = circuits();
    for (let attempt = 0; attempt < 1_000; attempt += 1) await note(lane, attempt % 2 === 0 ? refused : delivered);
    await note(lane, refused);
    expect(state.written).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(state.written).toMatchObject([{ succeededAt: expect.any(Number), failures: 1, status: 500, error: 'http_status' }]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(state.written).toHaveLength(1);
  });

  it('comes at once when the circuit opens, counted over summaries; until then the endpoint is held', async () => {
    const { note, opening, state } = circuits();
    await note(lane, refused);
    await vi.advanceTimersByTimeAsync(1_000);
    await note(lane, refused);
    expect([...opening()]).toEqual([]);
    await note(lane, refused);
    expect([...opening()]).toEqual(['e']);
    await vi.advanceTimersByTimeAsync(0);
    expect(state.written).toHaveLength(2);
    expect([...opening()]).toEqual([]);
    expect(state.changes).toBe(1);
  });

  it('comes at once after a probe, whatever its end', async () => {
    const { note, state } = circuits();
    await note({ ...lane, probe: true }, refused);
    await note({ ...lane, probe: true }, delivered);
    expect(state.written).toMatchObject([{ probeFailed: true }, { probeFailed: false, failures: 0 }]);
  });

  it('waits for Postgres, and is not lost', async () => {
    const { note, state } = circuits();
    state.away = true;
    for (let attempt = 0; attempt < 3; attempt += 1) await note(lane, refused);
    await vi.advanceTimersByTimeAsync(1_500);
    await note(lane, refused);
    state.away = false;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(state.written).toMatchObject([{ failures: 4 }]);
  });
});

describe('an endpoint', () => {
  it('is given up by a failure when it has failed for so long', async () => {
    expect(await circuits({ failingSeconds: 100 }).note({ ...lane, failingSeconds: 100 }, refused)).toBe(true);
    expect(await circuits({ failingSeconds: 100 }).note({ ...lane, probe: true, failingSeconds: 100 }, refused)).toBe(true);
  });

  it('is not when it answers, when it failed for less, or when somebody else saw it work meanwhile', async () => {
    expect(await circuits({ failingSeconds: 100 }).note({ ...lane, failingSeconds: 100 }, delivered)).toBe(false);
    expect(await circuits({ failingSeconds: 99 }).note({ ...lane, probe: true, failingSeconds: 99 }, refused)).toBe(false);
    expect(await circuits({ failingSeconds: 0 }).note({ ...lane, failingSeconds: 100 }, refused)).toBe(false);
  });
});
