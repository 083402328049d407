import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMilliseconds, retryDelaySeconds } from '../../../src/delivery/schedule.ts';

const retryDelaysSeconds = [5, 60, 3_600];

describe('the retry schedule', () => {
  it('gives each failed attempt the pause of its place', () => {
    const exact = { retryDelaysSeconds, jitterFraction: 0 };
    expect([1, 2, 3].map((attempts) => retryDelaySeconds(attempts, exact, 0.5))).toEqual(retryDelaysSeconds);
  });

  it('ends when the pauses are used up: one attempt more than pauses', () => {
    expect(retryDelaySeconds(4, { retryDelaysSeconds, jitterFraction: 0.2 }, 0.5)).toBeNull();
  });

  it('spreads each pause by the jitter and no further', () => {
    const schedule = { retryDelaysSeconds, jitterFraction: 0.2 };
    expect(retryDelaySeconds(2, schedule, 0)).toBeCloseTo(48);
    expect(retryDelaySeconds(2, schedule, 0.5)).toBeCloseTo(60);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.double({ min: 0, max: 1, noNaN: true }), (attempts, random) => {
        const base = retryDelaysSeconds[attempts - 1] as number;
        const delay = retryDelaySeconds(attempts, schedule, random) as number;
        expect(Math.abs(delay - base)).toBeLessThanOrEqual(base * 0.2 + 1e-9);
      }),
    );
  });
});

describe('the backoff towards Postgres', () => {
  it('doubles and stops growing at 5 s', () => {
    expect([1, 2, 3, 4, 5, 6, 7, 50].map(backoffMilliseconds)).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
  });
});
