import { createPublicKey, type JsonWebKey, verify } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import { Webhook } from 'standardwebhooks';
import request from 'supertest';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createInstanceKeyRotation } from '../../../src/infra/instance-key-rotation.ts';
import { createInstanceKeyWatch } from '../../../src/infra/instance-key-watch.ts';
import { createInstanceKeys } from '../../../src/infra/instance-keys.ts';
import { createSealedBox } from '../../../src/infra/sealed-box.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createDeliveryWorld, type DeliveryWorld, sealingKey, silentLog } from '../../support/delivery-world.ts';
import { aServer } from '../../support/http-server.ts';
import { userEvent } from '../../support/webhook-events.ts';
import { type ReceivedWebhook, startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts';

const jwksPath = '/.well-known/webhook-jwks.json';
const sealedBox = createSealedBox({ keys: [sealingKey] });
let clock = new Date();
let database: TestDatabase;
let world: DeliveryWorld;
let receiver: WebhookReceiver;
let instance: Awaited<ReturnType<typeof startInstance>>;

beforeAll(async () => {
  database = await createTestDatabase();
  world = createDeliveryWorld(database.db);
});
beforeEach(async () => {
  await world.clear();
  await database.db('instance_keys').delete();
  clock = new Date();
  receiver = await startWebhookReceiver();
  instance = await startInstance();
});
afterEach(async () => {
  await instance.stop();
  await receiver.close();
});
afterAll(async () => {
  await world.close();
  await database.drop();
});

/** The keys, the worker and the public pages of one process, as they are composed. */
async function startInstance() {
  const keys = { db: database.db, sealedBox, now: () => clock, publishSeconds: 3_600 };
  const instanceKeys = createInstanceKeys(keys);
  await instanceKeys.ensure();
  const watch = createInstanceKeyWatch({
    load: instanceKeys.load,
    first: await instanceKeys.load(),
    refreshSeconds: 0.05,
    onChange: () => {},
    log: silentLog,
  });
  watch.start();
  const inForce = () => watch.current().webhookSigning;
  const server = aServer({
    webhookKeys: () => inForce().map(({ keyId, privateKey }) => ({ keyId, publicKey: createPublicKey(privateKey) })),
  });
  return {
    rotation: createInstanceKeyRotation({ ...keys, tokenSeconds: 600 }),
    inForce,
    jwks: () => request(server.app).get(jwksPath),
    worker: world.worker({ now: () => new Date(), webhookKeys: () => inForce().map(({ privateKey }) => privateKey) }),
    stop: () => watch.stop(),
  };
}

async function deliver(): Promise<ReceivedWebhook> {
  await world.append(userEvent());
  await instance.worker.runOnce();
  return receiver.received.at(-1) as ReceivedWebhook;
}

const accepts = (secret: string, { text, headers }: ReceivedWebhook): boolean => {
  try {
    new Webhook(secret).verify(text, { ...headers });
    return true;
  } catch {
    return false;
  }
};

/** As a receiver would do it who knows nothing but the specification and the published keys. */
function isSignedBy(jwk: JsonWebKey, { headers, text }: ReceivedWebhook): boolean {
  const content = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${text}`);
  const signatures = (headers['webhook-signature'] as string).split(' ').filter((signature) => signature.startsWith('v1a,'));
  const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
  return signatures.some((signature) => verify(null, content, publicKey, Buffer.from(signature.slice(4), 'base64')));
}

describe('a delivery', () => {
  it('is verified by the standardwebhooks package before, during and after a rotation of the secret', async () => {
    const { endpointId, secret: old } = await world.addEndpoint({ url: receiver.url });
    const before = await deliver();
    expect(accepts(old, before)).toBe(true);

    const { secret: fresh } = await world.endpoints.rotateSecret(endpointId, { overlapSeconds: 3_600 });
    const during = await deliver();
    expect([accepts(old, during), accepts(fresh, during)]).toEqual([true, true]);
    expect(accepts(fresh, before)).toBe(false);

    // As if the overlap were over.
    await database.db.raw(
      `UPDATE endpoints SET sealed_secrets = jsonb_set(sealed_secrets, '{1,expires_at}', '"2020-01-01T00:00:00.000Z"')`,
    );
    const after = await deliver();
    expect([accepts(old, after), accepts(fresh, after)]).toEqual([false, true]);

    const { secret: newest } = await world.endpoints.rotateSecret(endpointId, { overlapSeconds: 0 });
    const atOnce = await deliver();
    expect([accepts(fresh, atOnce), accepts(newest, atOnce)]).toEqual([false, true]);
  });

  it("is verified by Ed25519 with the published keys before, during and after a rotation of the instance's key", async () => {
    await world.addEndpoint({ url: receiver.url });
    const [oldKey] = (await instance.jwks()).body.keys;
    const before = await deliver();
    expect(isSignedBy(oldKey, before)).toBe(true);
    expect(isSignedBy(oldKey, { ...before, text: `${before.text} ` })).toBe(false);

    clock = new Date(clock.getTime() + 1_000);
    await instance.rotation.rotate('webhook-signing');
    await untilKeys(2);
    const [newKey, stillOldKey, ...more] = (await instance.jwks()).body.keys;
    expect([stillOldKey, more]).toEqual([oldKey, []]);
    const during = await deliver();
    expect([isSignedBy(oldKey, during), isSignedBy(newKey, during)]).toEqual([true, true]);

    await instance.rotation.retire(oldKey.kid, { force: true });
    await untilKeys(1);
    expect((await instance.jwks()).body.keys).toEqual([newKey]);
    const after = await deliver();
    expect([isSignedBy(oldKey, after), isSignedBy(newKey, after)]).toEqual([false, true]);
  });

  it('is verified by both kinds of signature at once, and carries the headers of its endpoint', async () => {
    const { secret } = await world.addEndpoint({ url: receiver.url, headers: { authorization: 'Bearer abc', 'x-team': 'core' } });
    const webhook = await deliver();
    expect(webhook.headers['webhook-signature']).toMatch(/^v1,\S+ v1a,\S+$/);
    expect(accepts(secret, webhook)).toBe(true);
    expect(webhook.headers).toMatchObject({ authorization: 'Bearer abc', 'x-team': 'core', 'content-type': 'application/json' });
  });

  async function untilKeys(count: number): Promise<void> {
    while (instance.inForce().length !== count) await new Promise((resolve) => setTimeout(resolve, 10));
  }
});

describe('the published keys', () => {
  it('are a JWKS of Ed25519 public keys, named by their thumbprints, that anybody may read and keep for a while', async () => {
    const answer = await instance.jwks();
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toMatch(/^application\/jwk-set\+json/);
    expect(answer.headers['cache-control']).toBe('public, max-age=300');
    const { keys } = JSON.parse(answer.body instanceof Buffer ? answer.body.toString() : answer.text);
    expect(keys).toEqual([
      { kty: 'OKP', crv: 'Ed25519', x: expect.stringMatching(/^[\w-]{43}$/), kid: expect.any(String), use: 'sig', alg: 'EdDSA' },
    ]);
    expect(keys[0].kid).toBe(await calculateJwkThumbprint(keys[0]));
  });
});
