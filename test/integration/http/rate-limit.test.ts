import request from 'supertest';
import { afterEach, describe, expect, it } from 'vitest';
import { createRateLimit } from '../../../src/http/rate-limit.ts';
import { createLog } from '../../../src/infra/log.ts';
import { connectRedis, type RedisClient, waitForRedis } from '../../../src/infra/redis.ts';
import { aServer, interactionUid } from '../../support/http-server.ts';
import { redisUrl, testKeyPrefix, withRedis } from '../../support/redis.ts';

const clients: RedisClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
});

async function client(url: string, keyPrefix: string): Promise<RedisClient> {
  const log = createLog({ level: 'silent' });
  const redis = connectRedis({ url, keyPrefix, commandTimeoutMilliseconds: 500, log });
  clients.push(redis);
  await waitForRedis(redis, { waitSeconds: 1 });
  return redis;
}

const replica = (redis: RedisClient) => {
  const start = createRateLimit({ name: 'login-start', requestsPerMinute: 3, redis });
  return aServer({ login: { limits: { authorize: start, start, answer: start } } }).app;
};
const statusOf = async (app: Parameters<typeof request>[0]) => (await request(app).get(`/interaction/${interactionUid}`)).status;

describe.skipIf(redisUrl === null)(`the limit of logins ${withRedis}`, () => {
  it('counts over all replicas', async () => {
    const prefix = testKeyPrefix();
    const one = replica(await client(redisUrl as string, prefix));
    const two = replica(await client(redisUrl as string, prefix));
    expect([await statusOf(one), await statusOf(two), await statusOf(one)]).toEqual([303, 303, 303]);
    expect([await statusOf(two), await statusOf(one)]).toEqual([429, 429]);
  });
});

describe('the limit of logins while Redis is away', () => {
  it('still holds, in each replica for itself, and holds up nobody', async () => {
    const app = replica(await client('redis://127.0.0.1:1', testKeyPrefix()));
    const startedAt = performance.now();
    expect([await statusOf(app), await statusOf(app), await statusOf(app), await statusOf(app)]).toEqual([303, 303, 303, 429]);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});
