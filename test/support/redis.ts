import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';

/** The run's Redis; null where there is none to be had (never in CI: there the run fails). */
export const redisUrl: string | null = inject('redisUrl');

/** Reads well in a title: `describe.skipIf(redisUrl === null)(`… ${withRedis}`)`. */
export const withRedis = redisUrl === null ? '(needs Redis: set TEST_REDIS_URL or install redis-server)' : 'on a real Redis';

/** Keeps test files apart on one server, on Redis Cluster too, which knows no numbered databases. */
export function testKeyPrefix(): string {
  return `test:${randomBytes(6).toString('hex')}:`;
}
