import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { endpointInput } from '../../../src/delivery/endpoint-input.ts';
import { createEndpointStore } from '../../../src/delivery/endpoint-store.ts';
import { createTargetReader } from '../../../src/delivery/endpoint-targets.ts';
import { generateSecret, secretKey } from '../../../src/delivery/signature.ts';
import { createSealedBox } from '../../../src/infra/sealed-box.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { sealingKey } from '../../support/delivery-world.ts';
import { workspaceId } from '../../support/webhook-events.ts';

const url = 'https://app.example.com/hook';
const parse = (given: object) => endpointInput({ allowHttp: false }).parse(given);
const sealedBox = createSealedBox({ keys: [sealingKey] });
let clock = new Date('2026-03-01T12:00:00.000Z');
const now = () => clock;
let database: TestDatabase;
let store: ReturnType<typeof createEndpointStore>;

beforeAll(async () => {
  database = await createTestDatabase();
  store = createEndpointStore({ db: database.db, sealedBox, now });
});
beforeEach(async () => {
  clock = new Date('2026-03-01T12:00:00.000Z');
  await database.db.raw('TRUNCATE events, outbox, endpoints, endpoint_health, endpoint_tasks, delivery_lanes, deliveries');
});
afterAll(() => database.drop());

/** The secrets that sign for an endpoint now, as keys. */
async function signingKeys(endpointId: string, box = sealedBox) {
  return (await createTargetReader({ sealedBox: box, now })(database.db, [endpointId])).get(endpointId)?.keys;
}

function row(endpointId: string) {
  return database.db('endpoints').where({ endpoint_id: endpointId }).first();
}

describe('an endpoint', () => {
  it('is made with a secret that is shown once and stored sealed', async () => {
    const { endpoint, secret } = await store.create(parse({ url, eventTypes: ['user.created'], workspaceIds: [workspaceId] }));
    expect(endpoint).toEqual({
      endpointId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      url,
      description: '',
      eventTypes: ['user.created'],
      workspaceIds: [workspaceId],
      enabled: true,
      disabledReason: null,
      headerNames: [],
      rateLimitPerSecond: null,
      maxConcurrency: null,
      createdAt: clock,
      updatedAt: clock,
    });
    expect(await store.get(endpoint.endpointId)).toEqual(endpoint);
    expect(await store.list()).toEqual([endpoint]);
    expect(JSON.stringify(await row(endpoint.endpointId))).not.toContain(secret.slice('whsec_'.length));
    expect(await signingKeys(endpoint.endpointId)).toEqual([secretKey(secret)]);
  });

  it('may bring its own secret', async () => {
    const secret = generateSecret();
    const made = await store.create(parse({ url, secret }));
    expect(made.secret).toBe(secret);
    expect(await signingKeys(made.endpoint.endpointId)).toEqual([secretKey(secret)]);
  });

  it('cannot share its address with another, unless that one was removed', async () => {
    const first = await store.create(parse({ url }));
    await expect(store.create(parse({ url }))).rejects.toMatchObject({ code: 'conflict', reason: 'endpoint_url_taken' });
    const second = await store.create(parse({ url: `${url}/2` }));
    await expect(store.update(second.endpoint.endpointId, { url })).rejects.toMatchObject({ code: 'conflict' });
    await store.remove(first.endpoint.endpointId);
    expect((await store.update(second.endpoint.endpointId, { url })).url).toBe(url);
  });

  it('changes where it is told to, and nowhere else', async () => {
    const { endpoint } = await store.create(parse({ url, description: 'app', eventTypes: ['user.created'] }));
    clock = new Date('2026-03-02T12:00:00.000Z');
    const changed = await store.update(endpoint.endpointId, { eventTypes: null });
    expect(changed).toEqual({ ...endpoint, eventTypes: null, updatedAt: clock });
  });

  it('says why it is disabled, until it is enabled', async () => {
    const { endpoint } = await store.create(parse({ url }));
    expect(await store.update(endpoint.endpointId, { enabled: false })).toMatchObject({
      enabled: false,
      disabledReason: 'request',
    });
    expect(await store.update(endpoint.endpointId, { enabled: true })).toMatchObject({ enabled: true, disabledReason: null });
  });

  it('is gone for readers when it is removed; its row and deliveries stay, its secrets do not', async () => {
    const { endpoint } = await store.create(parse({ url }));
    const kept = await store.create(parse({ url: `${url}/kept` }));
    await database.db('delivery_lanes').insert({ endpoint_id: endpoint.endpointId, order_key: 'k' });
    const delivery = { endpoint_id: endpoint.endpointId, order_key: 'k', position: 1, event_id: randomUUID() };
    await database.db('deliveries').insert({ ...delivery, recorded_on: '2026-03-01' });

    await store.remove(endpoint.endpointId);

    expect(await store.list()).toEqual([kept.endpoint]);
    await expect(store.get(endpoint.endpointId)).rejects.toMatchObject({ code: 'not_found' });
    await expect(store.update(endpoint.endpointId, { enabled: true })).rejects.toMatchObject({ code: 'not_found' });
    await expect(store.remove(endpoint.endpointId)).rejects.toMatchObject({ code: 'not_found' });
    expect(await database.db('deliveries')).toMatchObject([delivery]);
    expect((await row(endpoint.endpointId)).sealed_secrets).toEqual([]);
  });

  it('is not found by an id that nobody has', async () => {
    await expect(store.get(randomUUID())).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('headers of an endpoint', () => {
  const headersOf = async (endpointId: string) =>
    (await createTargetReader({ sealedBox, now })(database.db, [endpointId])).get(endpointId)?.headers;

  it('are stored sealed, shown by name alone, and go to the worker as they were given', async () => {
    const { endpoint } = await store.create(parse({ url, headers: { Authorization: 'Bearer very-secret', 'x-a': '1' } }));
    expect(endpoint.headerNames).toEqual(['authorization', 'x-a']);
    expect(JSON.stringify(endpoint)).not.toContain('very-secret');
    expect(JSON.stringify(await row(endpoint.endpointId))).not.toContain('very-secret');
    expect(await headersOf(endpoint.endpointId)).toEqual({ authorization: 'Bearer very-secret', 'x-a': '1' });
  });

  it('change one by one: what is not named stays, null takes away', async () => {
    const { endpoint } = await store.create(parse({ url, headers: { 'x-a': '1', 'x-b': '2' } }));
    const changed = await store.update(endpoint.endpointId, { headers: { 'x-b': null, 'x-c': '3' } });
    expect(changed.headerNames).toEqual(['x-a', 'x-c']);
    expect(await headersOf(endpoint.endpointId)).toEqual({ 'x-a': '1', 'x-c': '3' });
    await store.update(endpoint.endpointId, { description: 'x' });
    expect(await headersOf(endpoint.endpointId)).toEqual({ 'x-a': '1', 'x-c': '3' });
  });

  it('do not grow beyond what one request may give, change by change', async () => {
    const { endpoint } = await store.create(parse({ url, headers: { 'x-long': 'v'.repeat(900) } }));
    const more = (name: string) => store.update(endpoint.endpointId, { headers: { [name]: 'v'.repeat(900) } });
    for (const name of ['x-2', 'x-3', 'x-4']) await more(name);
    await expect(more('x-5')).rejects.toMatchObject({ code: 'validation_failed', fields: [{ path: 'headers' }] });
    expect((await more('x-4')).headerNames).toEqual(['x-2', 'x-3', 'x-4', 'x-long']);
  });

  it('are all that the declarative file names, and stay as stored while it says the same', async () => {
    const { endpoint } = await store.apply(parse({ url, headers: { 'x-a': '1', 'x-b': '2' } }));
    const before = (await row(endpoint.endpointId)).headers;
    await store.apply(parse({ url, headers: { 'x-b': '2', 'x-a': '1' } }));
    expect((await row(endpoint.endpointId)).headers).toEqual(before);
    await store.apply(parse({ url, headers: { 'x-a': '1' } }));
    expect((await row(endpoint.endpointId)).headers).toEqual({ 'x-a': before['x-a'] });
  });

  it('do not open in the row of another endpoint, nor under another name', async () => {
    const a = await store.create(parse({ url, headers: { 'x-a': '1' } }));
    const b = await store.create(parse({ url: `${url}/b`, headers: { 'x-a': '2', 'x-b': '3' } }));
    const [{ headers: ofA }, { headers: ofB }] = [await row(a.endpoint.endpointId), await row(b.endpoint.endpointId)];
    const readWith = async (headers: object) => {
      const columns = { headers: JSON.stringify(headers) };
      await database.db('endpoints').where({ endpoint_id: b.endpoint.endpointId }).update(columns);
      const targets = await createTargetReader({ sealedBox, now })(database.db, [b.endpoint.endpointId]);
      return targets.get(b.endpoint.endpointId)?.keys;
    };
    expect(await readWith(ofB)).toHaveLength(1);
    expect(await readWith({ 'x-a': ofA['x-a'] })).toBeNull();
    expect(await readWith({ 'x-a': ofB['x-b'] })).toBeNull();
  });
});

describe('the limits of an endpoint', () => {
  it('go to the worker', async () => {
    const { endpoint } = await store.create(parse({ url, rateLimitPerSecond: 5, maxConcurrency: 2 }));
    const targets = await createTargetReader({ sealedBox, now })(database.db, [endpoint.endpointId]);
    expect(targets.get(endpoint.endpointId)).toMatchObject({ url, rateLimitPerSecond: 5, maxConcurrency: 2, headers: {} });
    expect(await store.update(endpoint.endpointId, { rateLimitPerSecond: null })).toMatchObject({
      rateLimitPerSecond: null,
      maxConcurrency: 2,
    });
  });
});

describe('a rotation of the secret', () => {
  const later = (seconds: number) => {
    clock = new Date(clock.getTime() + seconds * 1_000);
  };

  it('lets the old one sign beside the new one until the overlap is over', async () => {
    const { endpoint, secret: old } = await store.create(parse({ url }));
    const { secret: fresh, oldSecretsUntil } = await store.rotateSecret(endpoint.endpointId, { overlapSeconds: 60 });
    expect(fresh).toMatch(/^whsec_/);
    expect(oldSecretsUntil).toEqual(new Date('2026-03-01T12:01:00.000Z'));
    expect(await signingKeys(endpoint.endpointId)).toEqual([secretKey(fresh), secretKey(old)]);
    later(59);
    expect(await signingKeys(endpoint.endpointId)).toHaveLength(2);
    later(1);
    expect(await signingKeys(endpoint.endpointId)).toEqual([secretKey(fresh)]);
  });

  it('with an overlap of 0 ends the old ones at once, those that were ending too', async () => {
    const { endpoint } = await store.create(parse({ url }));
    await store.rotateSecret(endpoint.endpointId, { overlapSeconds: 3_600 });
    const { secret, oldSecretsUntil } = await store.rotateSecret(endpoint.endpointId, { overlapSeconds: 0 });
    expect(oldSecretsUntil).toBeNull();
    expect(await signingKeys(endpoint.endpointId)).toEqual([secretKey(secret)]);
    expect((await row(endpoint.endpointId)).sealed_secrets).toHaveLength(1);
  });

  it('never gives a secret that is ending more time', async () => {
    const { endpoint, secret: first } = await store.create(parse({ url }));
    const { secret: second } = await store.rotateSecret(endpoint.endpointId, { overlapSeconds: 60 });
    const { secret: third } = await store.rotateSecret(endpoint.endpointId, { overlapSeconds: 3_600 });
    expect(await signingKeys(endpoint.endpointId)).toEqual([third, second, first].map(secretKey));
    later(60);
    expect(await signingKeys(endpoint.endpointId)).toEqual([third, second].map(secretKey));
  });

  it('takes a given secret; back to the old one, that does not stand there twice', async () => {
    const { endpoint, secret: old } = await store.create(parse({ url }));
    const given = generateSecret();
    expect((await store.rotateSecret(endpoint.endpointId, { secret: given, overlapSeconds: 60 })).secret).toBe(given);
    await store.rotateSecret(endpoint.endpointId, { secret: old, overlapSeconds: 60 });
    expect(await signingKeys(endpoint.endpointId)).toEqual([secretKey(old), secretKey(given)]);
  });

  it('keeps five at the most', async () => {
    const { endpoint } = await store.create(parse({ url }));
    const made: string[] = [];
    for (let count = 0; count < 7; count += 1) {
      made.unshift((await store.rotateSecret(endpoint.endpointId, { overlapSeconds: 60 })).secret);
    }
    expect(await signingKeys(endpoint.endpointId)).toEqual(made.slice(0, 5).map(secretKey));
  });

  it('mends an endpoint whose secret was sealed under a key that is lost', async () => {
    const { endpoint } = await store.create(parse({ url }));
    const otherBox = createSealedBox({ keys: [`other:${randomBytes(32).toString('base64')}`] });
    const elsewhere = createEndpointStore({ db: database.db, sealedBox: otherBox, now });
    const { secret } = await elsewhere.rotateSecret(endpoint.endpointId, { overlapSeconds: 60 });
    expect(await signingKeys(endpoint.endpointId, otherBox)).toEqual([secretKey(secret)]);
  });

  it('is of an endpoint that is there', async () => {
    await expect(store.rotateSecret(randomUUID(), { overlapSeconds: 0 })).rejects.toMatchObject({ code: 'not_found' });
  });

  it('keeps both of two rotations at the same moment', async () => {
    const { endpoint } = await store.create(parse({ url }));
    const both = await Promise.all([1, 2].map(() => store.rotateSecret(endpoint.endpointId, { overlapSeconds: 60 })));
    const keys = await signingKeys(endpoint.endpointId);
    for (const { secret } of both) expect(keys).toContainEqual(secretKey(secret));
  });
});

describe('an endpoint of the declarative file', () => {
  it('is made once, and applied again it stays as it is', async () => {
    const first = await store.apply(parse({ url }));
    expect(first.secret).toMatch(/^whsec_/);
    const again = await store.apply(parse({ url }));
    expect(again).toEqual({ endpoint: first.endpoint, secret: null });
    expect(await signingKeys(first.endpoint.endpointId)).toEqual([secretKey(first.secret as string)]);
  });

  it('follows the file where it changed', async () => {
    const { endpoint } = await store.apply(parse({ url, eventTypes: ['user.created'] }));
    const changed = await store.apply(parse({ url, description: 'new', enabled: false }));
    expect(changed.endpoint).toEqual({
      ...endpoint,
      description: 'new',
      eventTypes: null,
      enabled: false,
      disabledReason: 'request',
    });
  });

  it('never shows a secret that was given', async () => {
    const secret = generateSecret();
    expect((await store.apply(parse({ url, secret }))).secret).toBeNull();
    expect((await store.apply(parse({ url, secret }))).secret).toBeNull();
  });

  it('rotates to another secret: for a day both sign, the new one first, then it alone', async () => {
    const [old, fresh] = [generateSecret(), generateSecret()];
    const { endpoint } = await store.apply(parse({ url, secret: old }));
    await store.apply(parse({ url, secret: fresh }));
    await store.apply(parse({ url, secret: fresh }));
    expect(await signingKeys(endpoint.endpointId)).toEqual([secretKey(fresh), secretKey(old)]);
    clock = new Date('2026-03-02T11:59:59.000Z');
    expect(await signingKeys(endpoint.endpointId)).toEqual([secretKey(fresh), secretKey(old)]);
    clock = new Date('2026-03-02T12:00:00.000Z');
    expect(await signingKeys(endpoint.endpointId)).toEqual([secretKey(fresh)]);
  });

  it('is made once by two that apply it at the same moment', async () => {
    const results = await Promise.allSettled([store.apply(parse({ url })), store.apply(parse({ url }))]);
    expect(results.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThanOrEqual(1);
    expect(await store.list()).toHaveLength(1);
  });
});

describe('the keys of an endpoint', () => {
  it('are not there when its secrets were sealed under another key', async () => {
    const { endpoint } = await store.create(parse({ url }));
    const other = createSealedBox({ keys: [`other:${randomBytes(32).toString('base64')}`] });
    expect(await signingKeys(endpoint.endpointId, other)).toBeNull();
  });

  it('do not open in the row of another endpoint', async () => {
    const [a, b] = [await store.create(parse({ url })), await store.create(parse({ url: `${url}/b` }))];
    const { sealed_secrets } = await row(a.endpoint.endpointId);
    await database
      .db('endpoints')
      .where({ endpoint_id: b.endpoint.endpointId })
      .update({ sealed_secrets: JSON.stringify(sealed_secrets) });
    expect(await signingKeys(a.endpoint.endpointId)).toEqual([secretKey(a.secret)]);
    expect(await signingKeys(b.endpoint.endpointId)).toBeNull();
  });
});
