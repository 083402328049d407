import { createFallbackStore } from '../infra/expiring-store-fallback.ts';
import { createPostgresStore } from '../infra/expiring-store-postgres.ts';
import { createRedisStore } from '../infra/expiring-store-redis.ts';
import { createSealedStore } from '../infra/expiring-store-sealed.ts';
import type { Log } from '../infra/log.ts';
import type { Database } from '../infra/postgres.ts';
import { connectRedis } from '../infra/redis.ts';
import type { SealedBox } from '../infra/sealed-box.ts';
import { createRevocation } from '../provider/revocation.ts';
import type { Settings } from '../settings/schema.ts';

export type RevokeUser = (userId: string) => Promise<void>;

const clockDifferenceSeconds = 60;

/**
 * Ends what users hold in tokens, from outside of the serving processes: by the Redis that they share. Without one a serving process
 * keeps tokens to itself, and they end by themselves.
 */
export function tokenRevocationBy(deps: {
  readonly settings: Settings;
  readonly db: Database;
  readonly sealedBox: SealedBox;
  readonly log: Log;
  readonly now: () => Date;
  readonly err: (text: string) => void;
}): RevokeUser {
  const { settings, db, sealedBox, log, now, err } = deps;
  const { url } = settings.redis;
  const { authorizationCodeSeconds, accessTokenSeconds } = settings.provider;
  const grantSeconds = authorizationCodeSeconds + accessTokenSeconds;
  const longestLifetimeSeconds = Math.max(grantSeconds, settings.login.sessionLifetimeSeconds) + clockDifferenceSeconds;
  return async function revokeUser(userId) {
    if (url === null) {
      err(`Without REDIS_URL, what the person was given before stays good for up to ${longestLifetimeSeconds} seconds.\n`);
      return;
    }
    const redis = connectRedis({ ...settings.redis, url, log });
    try {
      const first = createSealedStore({ store: createRedisStore({ redis }), sealedBox, log });
      const store = createFallbackStore({ first, second: createPostgresStore({ db, now }), log });
      await createRevocation({ store, now, longestLifetimeSeconds }).revokeUser(userId);
    } finally {
      redis.disconnect();
    }
  };
}
