import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExpiringStore } from '../../../src/infra/expiring-store.ts';
import { createPostgresStore } from '../../../src/infra/expiring-store-postgres.ts';
import { createRedisStore } from '../../../src/infra/expiring-store-redis.ts';
import { connectRedis, waitForRedis } from '../../../src/infra/redis.ts';
import { createTestDatabase } from '../../support/database.ts';
import {
  ada,
  callback,
  createApp,
  goThrough,
  logIn,
  type ProviderWorld,
  secret,
  startProviderWorld,
} from '../../support/provider-world.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { redisUrl, testKeyPrefix, withRedis } from '../../support/redis.ts';

const closing: (() => unknown)[] = [];
afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

describe('two replicas that share Postgres', () => {
  replicaTests(async () => {
    const database = await createTestDatabase();
    closing.push(() => database.drop());
    return createPostgresStore({ db: database.db, now: () => new Date() });
  });
});

describe.skipIf(redisUrl === null)(`two replicas that share Redis ${withRedis}`, () => {
  replicaTests(async () => {
    const redis = connectRedis({
      url: redisUrl ?? '',
      keyPrefix: testKeyPrefix(),
      commandTimeoutMilliseconds: 1_000,
      log: quietLog,
    });
    closing.push(() => redis.disconnect());
    await waitForRedis(redis, { waitSeconds: 5 });
    return createRedisStore({ redis });
  });
});

function replicaTests(openStore: () => Promise<ExpiringStore>): void {
  let replicas: ProviderWorld[];
  beforeAll(async () => {
    const store = await openStore();
    const cookieKeys = [`k1:${randomBytes(32).toString('base64')}`];
    replicas = await Promise.all([startProviderWorld({ store, cookieKeys }), startProviderWorld({ store, cookieKeys })]);
    for (const replica of replicas) closing.push(() => replica.close());
  });

  it('exchange a code exactly once between them, however many ask at the same moment', async () => {
    const [first] = replicas;
    if (!first) throw new Error('no replica');
    const app = await createApp(first);
    const request = await app.request();
    const code = new URL(await goThrough(request.url)).searchParams.get('code') ?? '';
    const body = new URLSearchParams({
      grant_type: 'authorization_code',
      code,
      redirect_uri: callback,
      code_verifier: request.verifier,
    });
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const headers = { authorization: `Basic ${btoa(`app:${secret}`)}` };
        const response = await fetch(`${replicas[index % 2]?.issuer}/token`, { method: 'POST', headers, body });
        return { status: response.status, body: (await response.json()) as Record<string, string> };
      }),
    );
    const passed = answers.filter(({ status }) => status === 200);
    expect(passed).toHaveLength(1);
    expect(answers.filter(({ body }) => body.error === 'invalid_grant')).toHaveLength(19);
    await expect(app.userinfo(passed[0]?.body.access_token ?? '')).rejects.toMatchObject({ status: 401 });
  });

  it('serve each other’s tokens, and end them', async () => {
    const [first, second] = replicas;
    if (!first || !second) throw new Error('no replicas');
    const { tokens } = await logIn(await createApp(first));
    const elsewhere = await createApp(second);
    expect(await elsewhere.userinfo(tokens.access_token)).toMatchObject({ sub: ada.userId });
    await second.provider.revokeUser(ada.userId);
    await expect(elsewhere.userinfo(tokens.access_token)).rejects.toMatchObject({ status: 401 });
    await expect((await createApp(first)).userinfo(tokens.access_token)).rejects.toMatchObject({ status: 401 });
  });
}
