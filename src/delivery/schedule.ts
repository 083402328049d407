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

/**
 * `Retry-After` as a pause in seconds: a number of them, or a date (RFC 9110 10.2.3). Null: there is none, or it cannot be read, or
 * the date has passed.
 */
export function retryAfterSeconds(header: string | undefined, now: Date): number | null {
  const text = header?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text);
  if (!httpDate.test(text)) return null;
  const seconds = (Date.parse(text) - now.getTime()) / 1_000;
  return seconds > 0 ? seconds : null;
}

/** RFC 9110 5.6.7: IMF-fixdate, the one form that may be sent. */
const httpDate =
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d{2}:\d{2}:\d{2} GMT$/;

const leastGiveUpSeconds = 60;

/**
 * How long an endpoint may fail without one success until it is given up: as long as the schedule lasts, at its shortest.
 * At least a minute, because a success of another worker shows a second later.
 */
export function giveUpSeconds({ retryDelaysSeconds, jitterFraction }: RetrySchedule): number {
  const total = retryDelaysSeconds.reduce((sum, delay) => sum + delay, 0);
  return Math.max(total * (1 - jitterFraction), leastGiveUpSeconds);
}

const firstBackoffMilliseconds = 100;
const longestBackoffMilliseconds = 5_000;

/** Pause before Postgres is asked again, after so many failures in a row (at least 1): doubles from 0.1 s up to 5 s. */
export function backoffMilliseconds(failures: number): number {
  return Math.min(firstBackoffMilliseconds * 2 ** (failures - 1), longestBackoffMilliseconds);
}
