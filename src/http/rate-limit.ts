import { isIP, isIPv6 } from 'node:net';
import type { RequestHandler } from 'express';
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { BrokerError } from '../domain/broker-error.ts';
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
  const counter = { keyPrefix: `rate:${options.name}`, points: options.requestsPerMinute, duration: 60 };
  const memory = new RateLimiterMemory(counter);
  const limiter =
    options.redis === null
      ? memory
      : new RateLimiterRedis({
          ...counter,
          storeClient: options.redis,
          insuranceLimiter: memory,
          rejectIfRedisNotReady: true,
          // An address over its limit costs Redis nothing more.
          inMemoryBlockOnConsumed: options.requestsPerMinute + 1,
        });

  return async (req, res, next) => {
    try {
      await limiter.consume(addressKey(req.ip));
    } catch (refused) {
      if (!(refused instanceof RateLimiterRes)) throw refused;
      // RFC 9110 10.2.3.
      res.setHeader('retry-after', String(Math.max(1, Math.ceil(refused.msBeforeNext / 1_000))));
      throw new BrokerError('rate_limited', `more than ${options.requestsPerMinute} requests a minute from one address`, {
        reason: options.name.replaceAll('-', '_'),
      });
    }
    next();
  };
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
