import { isIP, isIPv6 } from 'node:net';
import type { RequestHandler } from 'express';
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { BrokerError } from '../domain/broker-error.ts';
import { createBreaker } from '../infra/breaker.ts';
import type { RedisClient } from '../infra/redis.ts';

/**
 * A limit per minute and address.
 * Counts in Redis where there is one, so that replicas count together; while Redis is away each replica counts for itself.
 * @param name tells the counters apart, for example `login-start`
 * @throws (through Express) BrokerError `rate_limited`, with `Retry-After`
 */
export function createRateLimit(options: {
  readonly name: string;
  readonly requestsPerMinute: number;
  readonly redis: RedisClient | null;
}): RequestHandler {
  const { name, requestsPerMinute, redis } = options;
  const consume = createCounter({ keyPrefix: `rate:${name}`, points: requestsPerMinute, duration: 60 }, redis);

  return async (req, res, next) => {
    const refused = await consume(addressKey(req.ip));
    if (refused) {
      // RFC 9110 10.2.3.
      res.setHeader('retry-after', String(Math.max(1, Math.ceil(refused.msBeforeNext / 1_000))));
      throw new BrokerError('rate_limited', `more than ${requestsPerMinute} requests a minute from one address`, {
        reason: name.replaceAll('-', '_'),
      });
    }
    next();
  };
}

type Consume = (key: string) => Promise<RateLimiterRes | null>;

/** While Redis is away this process counts for itself, and asks only so often whether it is back: each question may hold somebody up. */
const pauseMilliseconds = 10_000;

/** Null: within the limit. */
function createCounter(limit: { keyPrefix: string; points: number; duration: number }, redis: RedisClient | null): Consume {
  const memory = new RateLimiterMemory(limit);
  if (redis === null) return (key) => refusalOf(memory.consume(key));
  const shared = new RateLimiterRedis({
    ...limit,
    storeClient: redis,
    rejectIfRedisNotReady: true,
    // An address over its limit costs Redis nothing more.
    inMemoryBlockOnConsumed: limit.points + 1,
  });
  const breaker = createBreaker({
    pauseMilliseconds,
    elapsedMilliseconds: () => performance.now(),
    // The store of short-lived values says it once for all.
    onChange: () => {},
  });
  return async (key) => {
    const attempt = await breaker.attempt(() => refusalOf(shared.consume(key)));
    return attempt.answered ? attempt.value : refusalOf(memory.consume(key));
  };
}

/** The library rejects with the state of the counter where it refuses, and with an error where it fails. */
function refusalOf(consumed: Promise<unknown>): Promise<RateLimiterRes | null> {
  return consumed.then(
    () => null,
    (refused: unknown) => {
      if (refused instanceof RateLimiterRes) return refused;
      throw refused;
    },
  );
}

/**
 * Applies a limit to authorization requests, each of which leaves an interaction behind, and not to what apps and browsers ask for
 * in their course. The provider finds its routes in any case and with a slash behind, so the exceptions are named, not the rule.
 * @param limit mounted where the provider is
 */
export function onAuthorizationsOnly(limit: RequestHandler): RequestHandler {
  return (req, res, next) => {
    const [, first = '', second = ''] = req.path.split('/', 3);
    if (unlimited.has(first) || (first === 'auth' && second !== '')) return next();
    return limit(req, res, next);
  };
}

const unlimited = new Set(['token', 'me', 'jwks', 'session', '.well-known']);

/**
 * What counts as one address: an IPv6 customer has a whole /64 (RFC 6177), and could count each of its addresses anew.
 * @param address as Express reads it behind the trusted proxies
 */
export function addressKey(address: string | undefined): string {
  if (address === undefined || isIP(address) === 0) return 'unknown';
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1] as string;
  const [plain = ''] = address.toLowerCase().split('%', 1);
  const [head = '', tail] = plain.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const missing = 8 - groups.length - (tail === '' ? 0 : tail.split(':').length);
    groups.push(...Array<string>(Math.max(0, missing)).fill('0'), ...tail.split(':'));
  }
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
