import type { ExpiringStore } from './expiring-store.ts';
import { storableKey } from './expiring-store-key.ts';
import type { RedisClient } from './redis.ts';

/** One command on one key each, so that Redis Cluster can serve them (law 11). Rejects while Redis is away. */
export function createRedisStore({ redis }: { readonly redis: RedisClient }): ExpiringStore {
  return {
    async set(key, value, ttlSeconds) {
      await redis.set(storableKey(key), value, 'EX', ttlSeconds);
    },
    async add(key, value, ttlSeconds) {
      return (await redis.set(storableKey(key), value, 'EX', ttlSeconds, 'NX')) === 'OK';
    },
    get: (key) => redis.get(storableKey(key)),
    take: (key) => redis.getdel(storableKey(key)),
    async delete(key) {
      await redis.del(storableKey(key));
    },
  };
}
