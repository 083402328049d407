import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMilliseconds, giveUpSeconds, retryAfterSeconds, retryDelaySeconds } from '../../../src/delivery/schedule.ts';

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

describe('Retry-After', () => {
  const now = new Date('2026-03-01T12:00:00Z');

  it.each([
    ['0', 0],
    ['120', 120],
    [' 7 ', 7],
    ['Sun, 01 Mar 2026 12:05:00 GMT', 300],
  ])('%s is a pause of %d s', (header, seconds) => {
    expect(retryAfterSeconds(header, now)).toBe(seconds);
  });

  it.each([
    undefined,
    '',
    '-5',
    '1.5',
    '1e3',
    '99999999999',
    'tomorrow',
    '2026-03-01T12:05:00Z',
    'Sun, 01 Mar 2026 11:59:00 GMT',
    'Sun, 99 Mar 2026 12:05:00 GMT',
  ])('%s is none', (header) => {
    expect(retryAfterSeconds(header, now)).toBeNull();
  });
});

describe('the time until an endpoint is given up', () => {
  it('is that of the whole schedule at its shortest', () => {
    expect(giveUpSeconds({ retryDelaysSeconds, jitterFraction: 0.2 })).toBeCloseTo(3_665 * 0.8);
  });

  it('is a minute at least', () => {
    expect(giveUpSeconds({ retryDelaysSeconds: [0.1, 1], jitterFraction: 0 })).toBe(60);
  });
});

describe('the backoff towards Postgres', () => {
  it('doubles and stops growing at 5 s', () => {
    expect([1, 2, 3, 4, 5, 6, 7, 50].map(backoffMilliseconds)).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
  });
});
