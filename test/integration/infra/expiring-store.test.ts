import { randomBytes } from 'node:crypto';
import { afterAll, describe, expect, it } from 'vitest';
import { createFallbackStore } from '../../../src/infra/expiring-store-fallback.ts';
import { createMemoryStore } from '../../../src/infra/expiring-store-memory.ts';
import { createPostgresStore, type PostgresStore } from '../../../src/infra/expiring-store-postgres.ts';
import { createRedisStore } from '../../../src/infra/expiring-store-redis.ts';
import { createSealedStore } from '../../../src/infra/expiring-store-sealed.ts';
import { connectRedis, type RedisClient, waitForRedis } from '../../../src/infra/redis.ts';
import { createSealedBox } from '../../../src/infra/sealed-box.ts';
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

const sealedBox = createSealedBox({ keys: [`k1:${randomBytes(32).toString('base64')}`] });

describeExpiringStore('in process', async () => createMemoryStore({ now, maxEntries: 10_000 }));
describeExpiringStore('on Postgres', openPostgresStore);

describe.skipIf(redisUrl === null)(withRedis, () => {
  describeExpiringStore('Redis alone', async () => createRedisStore({ redis: await openReadyRedis() }));
  describeExpiringStore('Redis with sealed values', async () =>
    createSealedStore({ store: createRedisStore({ redis: await openReadyRedis() }), sealedBox, log: quietLog }),
  );
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

it('a sealed value is found at its own key only, and what was written past the seal is absent', async () => {
  const inside = createMemoryStore({ now, maxEntries: 10 });
  const store = createSealedStore({ store: inside, sealedBox, log: quietLog });
  await store.set('outcome:a', 'ada', 60);
  expect(await store.get('outcome:a')).toBe('ada');
  await inside.set('outcome:b', (await inside.get('outcome:a')) ?? '', 60);
  await inside.set('outcome:c', 'ada', 60);
  expect([await store.get('outcome:b'), await store.take('outcome:b'), await store.take('outcome:c')]).toEqual([
    null,
    null,
    null,
  ]);
  expect(await store.take('outcome:a')).toBe('ada');
});
