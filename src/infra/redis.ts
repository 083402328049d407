import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Log } from './log.ts';

export type RedisClient = Redis;

export interface RedisOptions {
  readonly url: string;
  /** Put before every key by the client itself. */
  readonly keyPrefix: string;
  readonly commandTimeoutMilliseconds: number;
  readonly log: Log;
}

const longestReconnectMilliseconds = 2_000;

/**
 * Connects in the background and for as long as it takes. While Redis is away every command fails at once (no queue that grows),
 * and one that gets no answer fails after `commandTimeoutMilliseconds`: callers have something to fall back on. Needs Redis 6.2.
 */
export function connectRedis({ url, keyPrefix, commandTimeoutMilliseconds, log }: RedisOptions): RedisClient {
  const redis = new Redis(url, {
    keyPrefix,
    commandTimeout: commandTimeoutMilliseconds,
    connectTimeout: 5_000,
    enableOfflineQueue: false,
    // A command whose connection broke may have been carried out: whether to repeat it is the caller's decision.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => Math.min(attempt * 50, longestReconnectMilliseconds),
    // After a failover the connection may lead to what is now a replica.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
  reportChanges(redis, log);
  return redis;
}

/** One line when Redis goes and one when it comes back, however often the client tries in between. */
function reportChanges(redis: RedisClient, log: Log): void {
  let state: 'unknown' | 'ready' | 'away' = 'unknown';
  let lastError: unknown;
  redis.on('error', (error: unknown) => {
    lastError = error;
  });
  redis.on('ready', () => {
    if (state === 'away') log.info('Redis is back');
    state = 'ready';
  });
  redis.on('close', () => {
    // `end` follows a `quit` or `disconnect` of ours: not worth a line.
    if (state === 'away' || redis.status === 'end') return;
    state = 'away';
    log.warn({ err: lastError }, 'Redis is away; trying to reconnect');
  });
}

/** Whether Redis became ready within the time. */
export async function waitForRedis(redis: RedisClient, { waitSeconds }: { readonly waitSeconds: number }): Promise<boolean> {
  const deadline = performance.now() + waitSeconds * 1_000;
  while (redis.status !== 'ready' && performance.now() < deadline) await sleep(10);
  return redis.status === 'ready';
}
