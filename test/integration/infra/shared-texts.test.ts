import { randomBytes } from 'node:crypto';
import { createConnection, createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectRedis, type RedisClient, waitForRedis } from '../../../src/infra/redis.ts';
import { createSealedBox } from '../../../src/infra/sealed-box.ts';
import { createSharedTexts } from '../../../src/infra/shared-texts.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { redisUrl, withRedis } from '../../support/redis.ts';

describe.skipIf(redisUrl === null)(`texts that replicas share, ${withRedis}`, () => {
  let redis: RedisClient;
  let received = 0;
  const server = createServer((client) => {
    const { hostname, port } = new URL(redisUrl ?? '');
    const upstream = createConnection({ host: hostname, port: Number(port) });
    client.pipe(upstream);
    upstream.on('data', (chunk) => {
      received += chunk.length;
      client.write(chunk);
    });
    client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy());
    upstream.on('error', () => client.destroy()).on('close', () => client.destroy());
  });
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    redis = connectRedis({
      url: `redis://127.0.0.1:${port}`,
      keyPrefix: `t${randomBytes(6).toString('hex')}:`,
      commandTimeoutMilliseconds: 5_000,
      log: quietLog,
    });
    await waitForRedis(redis, { waitSeconds: 5 });
  });
  afterAll(async () => {
    redis?.disconnect();
    server.close();
  });

  it('a value longer than any that is put there is not taken into memory', async () => {
    const sealedBox = createSealedBox({ keys: [`k1:${randomBytes(32).toString('base64')}`] });
    const texts = createSharedTexts({ redis, name: 'connection-1', sealedBox, log: quietLog });
    texts.put('a', { revision: 'r', text: 'x'.repeat(1_000) });
    expect(await texts.get('a')).toEqual({ revision: 'r', text: 'x'.repeat(1_000) });
    await redis.set('cache:connection-1:b', 'x'.repeat(64 * 1024 * 1024));
    received = 0;
    expect(await texts.get('b')).toBeNull();
    expect(received).toBeLessThan(17 * 1024 * 1024);
  });

  it('a value of another type is refused, and takes nothing from other ids', async () => {
    const sealedBox = createSealedBox({ keys: [`k1:${randomBytes(32).toString('base64')}`] });
    const texts = createSharedTexts({ redis, name: 'connection-1', sealedBox, log: quietLog });
    texts.put('c', { revision: 'r', text: 'kept' });
    await redis.lpush('cache:connection-1:d', 'x');
    expect(await texts.get('d')).toBeNull();
    expect(await texts.get('c')).toEqual({ revision: 'r', text: 'kept' });
  });

  it('the longest text that is put there comes back, whatever its characters', async () => {
    const sealedBox = createSealedBox({ keys: [`k1:${randomBytes(32).toString('base64')}`] });
    const texts = createSharedTexts({ redis, name: 'connection-1', sealedBox, log: quietLog });
    const text = '€'.repeat(4 * 1024 * 1024);
    texts.put('e', { revision: 'r', text });
    expect((await texts.get('e'))?.text === text).toBe(true);
  });
});
