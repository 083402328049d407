import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ExpiringStore } from '../../../src/infra/expiring-store.ts';
import { createFallbackStore } from '../../../src/infra/expiring-store-fallback.ts';
import { createPostgresStore } from '../../../src/infra/expiring-store-postgres.ts';
import { createRedisStore } from '../../../src/infra/expiring-store-redis.ts';
import { connectRedis, type RedisClient, waitForRedis } from '../../../src/infra/redis.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { recordingLog } from '../../support/quiet-log.ts';
import { redisUrl, testKeyPrefix, withRedis } from '../../support/redis.ts';
import { startPrivateRedis } from '../../support/servers.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';

const commandTimeoutMilliseconds = 200;
const closing: (() => unknown)[] = [];
let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  for (const close of closing.reverse()) await close();
  await database.drop();
});

function open(url: string, keyPrefix = testKeyPrefix()) {
  const { log, lines } = recordingLog();
  const redis = connectRedis({ url, keyPrefix, commandTimeoutMilliseconds, log });
  closing.push(() => redis.disconnect());
  return { redis, lines };
}

async function openThroughProxy() {
  const target = new URL(redisUrl ?? '');
  const proxy = await startTcpProxy({ host: target.hostname, port: Number(target.port || 6379) });
  closing.push(proxy.close);
  const keyPrefix = testKeyPrefix();
  const behind = new URL(target);
  behind.host = `127.0.0.1:${proxy.port}`;
  return { proxy, keyPrefix, ...open(behind.href, keyPrefix) };
}

function fallbackOver(redis: RedisClient, keyPrefix = ''): ExpiringStore {
  // One table for all tests of this file: each test's keys are kept apart by its prefix.
  const table = createPostgresStore({ db: database.db, now: () => new Date() });
  const apart =
    <A extends unknown[], T>(run: (key: string, ...rest: A) => Promise<T>) =>
    (key: string, ...rest: A) =>
      run(keyPrefix + key, ...rest);
  const second = {
    ...table,
    set: apart(table.set),
    add: apart(table.add),
    get: apart(table.get),
    take: apart(table.take),
    delete: apart(table.delete),
    bury: apart(table.bury),
    replace: apart(table.replace),
  };
  return createFallbackStore({ first: createRedisStore({ redis }), second, log: recordingLog().log });
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await run();
  return performance.now() - startedAt;
}

const failed = (pending: Promise<unknown>) =>
  pending.then(
    () => false,
    () => true,
  );
const ready = (redis: RedisClient) => waitForRedis(redis, { waitSeconds: 5 });

describe.skipIf(redisUrl === null)(`the connection ${withRedis}`, () => {
  test('puts the prefix before every key', async () => {
    const { redis } = open(redisUrl ?? '', 'one:');
    const plain = open(redisUrl ?? '', '').redis;
    await Promise.all([ready(redis), ready(plain)]);
    await redis.set('prefix-test', 'x', 'EX', 5);
    expect(await plain.get('one:prefix-test')).toBe('x');
  });

  test('a command fails at once while Redis is away, and nothing queues up', async () => {
    const { redis, proxy } = await openThroughProxy();
    await ready(redis);
    await proxy.cut();
    await sleep(50);
    const milliseconds = await timed(async () => {
      const results = await Promise.all(Array.from({ length: 1_000 }, () => failed(redis.set('a', 'x'))));
      expect(results.every(Boolean)).toBe(true);
    });
    expect(milliseconds).toBeLessThan(1_000);
    await proxy.restore();
    await ready(redis);
    expect(await redis.get('a')).toBeNull();
  });

  test('a command without an answer fails after its time, not later', async () => {
    const { redis, proxy } = await openThroughProxy();
    await ready(redis);
    proxy.hang();
    const milliseconds = await timed(async () => expect(await failed(redis.get('a'))).toBe(true));
    expect(milliseconds).toBeGreaterThan(commandTimeoutMilliseconds - 20);
    expect(milliseconds).toBeLessThan(commandTimeoutMilliseconds + 1_000);
    await proxy.restore();
    expect(await redis.get('a')).toBeNull();
  });

  test('says once that Redis went and once that it came back, and keeps no listeners', async () => {
    const { redis, proxy, lines } = await openThroughProxy();
    await ready(redis);
    const listeners = () => redis.eventNames().map((name) => [name, redis.listenerCount(name)]);
    const before = listeners();
    for (let round = 0; round < 2; round += 1) {
      await proxy.cut();
      await sleep(400);
      await proxy.restore();
      await ready(redis);
    }
    expect(lines.map(({ level, msg }) => [level, msg])).toEqual([
      ['warn', 'Redis is away; trying to reconnect'],
      ['info', 'Redis is back'],
      ['warn', 'Redis is away; trying to reconnect'],
      ['info', 'Redis is back'],
    ]);
    expect(listeners()).toEqual(before);
  });

  test('a Redis that is not there at the start is found when it comes', async () => {
    const { redis, proxy, lines } = await openThroughProxy();
    await proxy.cut();
    redis.disconnect(true);
    await sleep(200);
    expect(await failed(redis.get('a'))).toBe(true);
    await proxy.restore();
    expect(await ready(redis)).toBe(true);
    expect(lines.at(-1)).toMatchObject({ msg: 'Redis is back' });
  });

  test('an orderly end is no outage', async () => {
    const { redis, lines } = open(redisUrl ?? '');
    await ready(redis);
    await redis.quit();
    await sleep(50);
    expect(lines).toEqual([]);
  });
});

describe.skipIf(redisUrl === null)(`the store with Postgres standing by, ${withRedis}`, () => {
  test('while Redis hangs, one operation waits for the time limit and the others do not', async () => {
    const { redis, proxy, keyPrefix } = await openThroughProxy();
    const store = fallbackOver(redis, keyPrefix);
    await ready(redis);
    await store.set('before', 'x', 60);
    proxy.hang();
    expect(await timed(() => store.set('first', 'x', 60))).toBeGreaterThan(commandTimeoutMilliseconds - 20);
    const milliseconds = await timed(async () => {
      for (let index = 0; index < 20; index += 1) {
        await store.set(`k${index}`, 'x', 60);
        expect(await store.take(`k${index}`)).toBe('x');
      }
    });
    expect(milliseconds).toBeLessThan(1_000);
    await proxy.restore();
  });

  test('a value whose write was done without an answer is taken once, by 50 callers of two processes', async () => {
    const { redis, proxy, keyPrefix } = await openThroughProxy();
    const store = fallbackOver(redis, keyPrefix);
    await ready(redis);
    proxy.swallowAnswers();
    await store.set('a', 'x', 60);
    await proxy.restore();
    const direct = open(redisUrl ?? '', keyPrefix).redis;
    await ready(direct);
    expect(await direct.get('a')).toBe('x');
    await sleep(1_100);
    const other = fallbackOver(direct, keyPrefix);
    const taken = await Promise.all(Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? store : other).take('a')));
    expect(taken.filter((value) => value !== null)).toEqual(['x']);
    expect(await store.get('a')).toBeNull();
    expect(await other.take('a')).toBeNull();
  });

  test('a killed and emptied Redis loses what it held and nothing that came later', async () => {
    const server = await startPrivateRedis();
    if (server === null) throw new Error('no redis-server on this machine');
    closing.push(server.stop);
    const keyPrefix = testKeyPrefix();
    const { redis } = open(server.url, keyPrefix);
    await ready(redis);
    const store = fallbackOver(redis, keyPrefix);
    await store.set('before', 'x', 60);
    await server.kill();
    await store.set('during', 'y', 60);
    expect(await store.get('before')).toBeNull();
    expect(await store.get('during')).toBe('y');
    await server.restart();
    await ready(redis);
    await sleep(1_100);
    await store.set('after', 'z', 60);
    expect([await store.take('before'), await store.take('during'), await store.take('after')]).toEqual([null, 'y', 'z']);
    expect([await store.take('during'), await store.take('after')]).toEqual([null, null]);
    expect(await redis.exists('after')).toBe(0);
  });
});
