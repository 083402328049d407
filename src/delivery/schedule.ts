export interface RetrySchedule {
  /** Pause after the first failed attempt, after the second, and so on; when they are used up the delivery is exhausted. */
  readonly retryDelaysSeconds: readonly number[];
  /** 0.2: each pause is between 80 % and 120 % of its length, so that receivers that failed together are not tried together. */
  readonly jitterFraction: number;
}

/**
 * The pause before the next attempt, in seconds; null: there is none, the delivery is exhausted.
 * @param attempts made so far, all failed, at least 1
 * @param random number in [0, 1)
 */
export function retryDelaySeconds(
  attempts: number,
  { retryDelaysSeconds, jitterFraction }: RetrySchedule,
  random: number,
): number | null {
  const delay = retryDelaysSeconds[attempts - 1];
  return delay === undefined ? null : delay * (1 + jitterFraction * (2 * random - 1));
}

const firstBackoffMilliseconds = 100;
const longestBackoffMilliseconds = 5_000;

/** Pause before Postgres is asked again, after so many failures in a row (at least 1): doubles from 0.1 s up to 5 s. */
export function backoffMilliseconds(failures: number): number {
  return Math.min(firstBackoffMilliseconds * 2 ** (failures - 1), longestBackoffMilliseconds);
}
