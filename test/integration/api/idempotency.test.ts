import request from 'supertest';
import { describe, expect, it } from 'vitest';
import { createIdempotencyStore } from '../../../src/http/idempotency-store.ts';
import { apiOn, bootstrapApiKey } from '../../support/api-stores.ts';
import { useApi } from '../../support/api-world.ts';
import { connectionWorld } from '../../support/connection-world.ts';
import { aServer } from '../../support/http-server.ts';

const api = useApi();
const { get } = api;

const postWith = (idempotencyKey: string, path: string, body: object, key = bootstrapApiKey, server = api.server) =>
  request(server.app).post(path).set('Authorization', `Bearer ${key}`).set('Idempotency-Key', idempotencyKey).send(body);
const slugs = async () => (await get('/v1/workspaces')).body.data.map(({ slug }: { slug: string }) => slug).sort();

describe('Idempotency-Key', () => {
  it('gives the answer of the first time again, and does nothing twice', async () => {
    const endpoint = { url: 'https://app.example.com/hooks' };
    const first = await postWith('k-1', '/v1/endpoints', endpoint);
    const again = await postWith('k-1', '/v1/endpoints', endpoint);
    expect([first.status, again.status]).toEqual([201, 201]);
    expect(again.body).toEqual(first.body);
    expect(again.body.secret).toMatch(/^whsec_/);
    expect([again.headers.location, again.headers['content-type']]).toEqual([
      first.headers.location,
      first.headers['content-type'],
    ]);
    expect([first.headers['idempotent-replayed'], again.headers['idempotent-replayed']]).toEqual([undefined, 'true']);
    expect((await get('/v1/endpoints')).body.data).toHaveLength(1);
  });

  it('works on every server of one database', async () => {
    const world = connectionWorld(api.database.db);
    const [one, two] = [0, 1].map(() => aServer({ api: apiOn(api.database.db, world) }));
    const first = await postWith('k-1', '/v1/workspaces', { slug: 'new' }, bootstrapApiKey, one);
    const again = await postWith('k-1', '/v1/workspaces', { slug: 'new' }, bootstrapApiKey, two);
    expect([again.status, again.body]).toEqual([201, first.body]);
  });

  it('with another request is refused, and the first answer stays', async () => {
    await postWith('k-1', '/v1/workspaces', { slug: 'one' });
    const other = await postWith('k-1', '/v1/workspaces', { slug: 'two' });
    expect([other.status, other.body.code]).toEqual([422, 'idempotency_key_reused']);
    expect((await postWith('k-1', '/v1/endpoints', { slug: 'one' })).body.code).toBe('idempotency_key_reused');
    expect((await postWith('k-1', '/v1/workspaces', { slug: 'one' })).status).toBe(201);
    expect(await slugs()).toEqual(['acme', 'globex', 'one']);
  });

  it('belongs to the API key that sent it', async () => {
    const body = { name: 'x', scope: `workspace:${api.acme}` };
    const one = await postWith('k-1', '/v1/api-keys', body);
    const two = await postWith('k-1', '/v1/api-keys', body, api.keys.acme);
    expect([one.status, two.status]).toEqual([201, 201]);
    expect(two.body.key_id).not.toBe(one.body.key_id);
  });

  it('of a refused request is free again', async () => {
    expect((await postWith('k-1', '/v1/workspaces', { slug: 'No Slug' })).status).toBe(422);
    expect((await postWith('k-1', '/v1/workspaces', { slug: 'acme' })).status).toBe(409);
    expect((await postWith('k-1', '/v1/workspaces', { slug: 'new' })).status).toBe(201);
  });

  it('of two at once lets one through', async () => {
    for (let round = 0; round < 10; round += 1) {
      const send = () => postWith(`k-${round}`, '/v1/workspaces', { slug: `round-${round}` });
      const answers = await Promise.all([send(), send(), send()]);
      const refused = answers.filter(({ status }) => status !== 201);
      expect(refused.map(({ status, body }) => [status, body.reason])).toEqual(
        refused.map(() => [409, 'idempotency_key_in_use']),
      );
      expect(new Set(answers.filter(({ status }) => status === 201).map(({ text }) => text)).size).toBe(1);
      expect((await send()).status).toBe(201);
    }
  });

  it.each(['with space', 'x'.repeat(256), '\u00e9'])('is refused when it is no key: %s', async (key) => {
    const { status, body } = await postWith(key, '/v1/workspaces', { slug: 'new' });
    expect([status, body.reason]).toEqual([400, 'idempotency_key_malformed']);
  });

  it('keeps no answer in the clear', async () => {
    const { body } = await postWith('secret-key-1', '/v1/endpoints', { url: 'https://app.example.com/hooks' });
    const rows = JSON.stringify(await api.database.db('idempotency_keys').select('*'));
    expect(rows).not.toContain(body.secret);
    expect(rows).not.toContain('app.example.com');
    expect(rows).not.toContain('secret-key-1');
  });

  it('is kept for 24 hours; a request that was cut off may come again after five minutes', async () => {
    let now = new Date('2030-01-01T00:00:00Z');
    const { sealedBox } = connectionWorld(api.database.db);
    const store = createIdempotencyStore({ db: api.database.db, sealedBox, now: () => now });
    const ask = (text: string) =>
      store.claim({ apiKeyId: 'a', key: 'k', requestHash: Buffer.from(text), method: 'POST', path: '/v1/x' });
    const first = await ask('one');
    expect(first.kind).toBe('claimed');
    now = new Date('2030-01-01T00:04:59Z');
    expect((await ask('one')).kind).toBe('under_way');
    now = new Date('2030-01-01T00:05:00Z');
    expect((await ask('two')).kind).toBe('reused');
    const second = await ask('one');
    if (first.kind !== 'claimed' || second.kind !== 'claimed') throw new Error('both are claimed');
    // The first one was only slow: its answer comes too late.
    await store.complete(first.claimId, { status: 201, headers: {}, body: 'late' });
    expect((await ask('one')).kind).toBe('under_way');
    await store.complete(second.claimId, { status: 201, headers: { etag: '"x"' }, body: 'in time' });
    now = new Date('2030-01-02T00:04:59Z');
    expect(await ask('one')).toEqual({ kind: 'answered', answer: { status: 201, headers: { etag: '"x"' }, body: 'in time' } });
    now = new Date('2030-01-02T00:05:00Z');
    expect((await ask('two')).kind).toBe('claimed');
  });
});
