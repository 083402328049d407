import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { endpointInput } from '../../../src/delivery/endpoint-input.ts';
import { createEndpointStore, createTargetReader } from '../../../src/delivery/endpoint-store.ts';
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
  await database.db.raw('TRUNCATE events, endpoints, delivery_lanes, deliveries');
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
    await database.db('deliveries').insert(delivery);

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
