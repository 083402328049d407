import { afterAll, describe } from 'vitest';
import { createFallbackStore } from '../../../src/infra/expiring-store-fallback.ts';
import { createMemoryStore } from '../../../src/infra/expiring-store-memory.ts';
import { createPostgresStore, type PostgresStore } from '../../../src/infra/expiring-store-postgres.ts';
import { createRedisStore } from '../../../src/infra/expiring-store-redis.ts';
import { connectRedis, type RedisClient, waitForRedis } from '../../../src/infra/redis.ts';
import { createTestDatabase } from '../../support/database.ts';
import { describeExpiringStore } from '../../support/expiring-store-contract.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { redisUrl, testKeyPrefix, withRedis } from '../../support/redis.ts';
import { freePort } from '../../support/servers.ts';

const now = () => new Date();
const closing: (() => unknown)[] = [];
afterAll(async () => {
  for (const close of closing) await close();
});

function openRedis(url: string): RedisClient {
  const redis = connectRedis({ url, keyPrefix: testKeyPrefix(), commandTimeoutMilliseconds: 1_000, log: quietLog });
  closing.push(() => redis.disconnect());
  return redis;
}

async function openReadyRedis(): Promise<RedisClient> {
  const redis = openRedis(redisUrl ?? '');
  if (!(await waitForRedis(redis, { waitSeconds: 5 }))) throw new Error('Redis does not answer');
  return redis;
}

/** On a database of its own: what one suite writes there changes how a fallback store works in another. */
async function openPostgresStore(): Promise<PostgresStore> {
  const database = await createTestDatabase();
  closing.push(() => database.drop());
  return createPostgresStore({ db: database.db, now });
}

describeExpiringStore('in process', async () => createMemoryStore({ now, maxEntries: 10_000 }));
describeExpiringStore('on Postgres', openPostgresStore);

describe.skipIf(redisUrl === null)(withRedis, () => {
  describeExpiringStore('Redis alone', async () => createRedisStore({ redis: await openReadyRedis() }));
  describeExpiringStore('Redis with Postgres standing by', async () => {
    const first = createRedisStore({ redis: await openReadyRedis() });
    return createFallbackStore({ first, second: await openPostgresStore(), log: quietLog });
  });
  describeExpiringStore('Redis with Postgres standing by, after an outage that left values in Postgres', async () => {
    const first = createRedisStore({ redis: await openReadyRedis() });
    const second = await openPostgresStore();
    await second.set('left over', '=value', 600);
    return createFallbackStore({ first, second, log: quietLog });
  });
});

describeExpiringStore('Postgres standing in for a Redis that is away', async () => {
  const first = createRedisStore({ redis: openRedis(`redis://127.0.0.1:${await freePort()}`) });
  return createFallbackStore({ first, second: await openPostgresStore(), log: quietLog });
});
