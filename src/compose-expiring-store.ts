import type { ExpiringStore } from './infra/expiring-store.ts';
import { createFallbackStore } from './infra/expiring-store-fallback.ts';
import { createMemoryStore } from './infra/expiring-store-memory.ts';
import { createPostgresStore } from './infra/expiring-store-postgres.ts';
import { createRedisStore } from './infra/expiring-store-redis.ts';
import { createSealedStore } from './infra/expiring-store-sealed.ts';
import type { Log } from './infra/log.ts';
import type { Metrics } from './infra/metrics.ts';
import type { Database } from './infra/postgres.ts';
import type { RedisClient } from './infra/redis.ts';
import type { SealedBox } from './infra/sealed-box.ts';

/** About 100 MB at the most: pending logins and provider artifacts of 50,000 logins under way. */
const maxMemoryEntries = 200_000;

/** Where pending logins and provider artifacts live: Redis, with Postgres while it is away; without Redis this process. */
export function composeExpiringStore(deps: {
  readonly redis: RedisClient | null;
  readonly db: Database;
  readonly sealedBox: SealedBox;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly now: () => Date;
}): ExpiringStore {
  const { redis, db, sealedBox, metrics, log, now } = deps;
  if (redis === null) {
    log.warn('no REDIS_URL: logins under way are kept in this process, which is right for one replica only');
    return createMemoryStore({ now, maxEntries: maxMemoryEntries });
  }
  return createFallbackStore({
    first: createSealedStore({ store: createRedisStore({ redis }), sealedBox, log }),
    second: createPostgresStore({ db, now }),
    log,
    onFallback: metrics.countStoreFallback,
  });
}
