import request from 'supertest';
import { describe, expect, it } from 'vitest';
import { createApiKeyStore } from '../../../src/http/api-key-store.ts';
import { uniqueId } from '../../../src/infra/unique-id.ts';
import { apiOn } from '../../support/api-stores.ts';
import { paths, useApi } from '../../support/api-world.ts';
import { aMetadata } from '../../support/connection-world.ts';
import { aServer } from '../../support/http-server.ts';

const api = useApi();
const { get, post, remove } = api;

async function aMadeKey(input: object = {}) {
  const { status, body } = await post('/v1/api-keys', { name: 'ci', scope: 'instance', ...input });
  expect(status).toBe(201);
  return body as { key_id: string; key: string };
}

const works = async (key: string) => (await get('/v1/workspaces', key)).status === 200;

describe('API keys', () => {
  it('R13 are made for the instance or one workspace, and shown once', async () => {
    const made = await post('/v1/api-keys', { name: 'acme admin', scope: `workspace:${api.acme}`, read_only: true });
    expect(made.status).toBe(201);
    const { key, ...shown } = made.body;
    expect(key).toMatch(/^rollcall_key_[\w-]{43}$/);
    expect(shown).toMatchObject({
      name: 'acme admin',
      scope: `workspace:${api.acme}`,
      read_only: true,
      revoked_at: null,
      last_used_at: null,
    });
    expect((await get(made.headers.location as string)).body).toEqual(shown);
    expect((await get('/v1/api-keys')).text).not.toContain(key);
    expect((await get('/v1/workspaces', key)).body.data.map(({ slug }: { slug: string }) => slug)).toEqual(['acme']);
    expect((await post('/v1/connections', {}, key)).body.reason).toBe('key_read_only');
    expect(api.server.logText()).not.toContain(key);
  });

  it('revoked are worth nothing at once on every server', async () => {
    const other = aServer({ api: apiOn(api.database.db) });
    const { key, key_id: keyId } = await aMadeKey();
    const onOther = () => request(other.app).get('/v1/workspaces').set('Authorization', `Bearer ${key}`);
    expect([await works(key), (await onOther()).status]).toEqual([true, 200]);
    expect((await remove(`/v1/api-keys/${keyId}`)).status).toBe(204);
    expect([await works(key), (await onOther()).status]).toEqual([false, 401]);
    expect((await get(`/v1/api-keys/${keyId}`)).body.revoked_at).not.toBeNull();
    expect((await post(`/v1/api-keys/${keyId}/rotate`, {})).body.reason).toBe('key_ended');
  });

  it('that read only ask what-if questions, which leave no entry in the audit log, and nothing else', async () => {
    await api.database.db('audit_log').delete();
    const protocol = { type: 'saml', metadata_xml: aMetadata };
    const made = await post('/v1/connections', { display_name: 'Okta', protocol, workspace: 'acme' });
    const { key } = await aMadeKey({ read_only: true });
    const question = { connection_id: made.body.connection_id, groups: ['x'] };
    expect((await post('/v1/simulations', question, key)).status).toBe(200);
    expect(
      (await post('/v1/simulations', question).set('Idempotency-Key', 'k-1')).headers['idempotent-replayed'],
    ).toBeUndefined();
    expect((await post('/v1/plans', { change: {} }, key)).body.reason).toBe('key_read_only');
    expect((await get('/v1/audit-log')).body.data.map(({ action }: { action: string }) => action)).toEqual([
      'POST /api-keys',
      'POST /connections',
    ]);
  });

  it('rotate without downtime: the secret of before goes on for the overlap, one from an earlier rotation ends', async () => {
    const { key: first, key_id: keyId } = await aMadeKey();
    const { status, body } = await post(`/v1/api-keys/${keyId}/rotate`, { overlap_seconds: 60 });
    expect([status, body.key_id]).toEqual([200, keyId]);
    expect([await works(first), await works(body.key)]).toEqual([true, true]);
    const third = (await post(`/v1/api-keys/${keyId}/rotate`, {})).body.key;
    expect([await works(first), await works(body.key), await works(third)]).toEqual([false, true, true]);
    const last = (await post(`/v1/api-keys/${keyId}/rotate`, { overlap_seconds: 0 })).body.key;
    expect([await works(third), await works(last)]).toEqual([false, true]);
    expect((await remove(`/v1/api-keys/${keyId}`)).status).toBe(204);
    expect(await works(last)).toBe(false);
  });

  it('end when they expire, the overlap of a rotation with them', async () => {
    let now = new Date('2030-01-01T00:00:00Z');
    const store = createApiKeyStore({ db: api.database.db, now: () => now, bootstrapApiKey: null });
    const expiresAt = new Date('2030-01-01T01:00:00Z');
    const { key, keyId } = await store.create({ name: 'x', workspaceId: null, readOnly: false, expiresAt });
    const { key: next } = await store.rotate(keyId, { overlapSeconds: 7_200 });
    expect((await store.find(key))?.keyId).toBe(keyId);
    now = new Date('2030-01-01T00:59:59Z');
    expect((await store.find(next))?.keyId).toBe(keyId);
    now = expiresAt;
    expect([await store.find(key), await store.find(next)]).toEqual([null, null]);
  });

  it('say when they were last used, and write it once a minute at most', async () => {
    let now = new Date('2030-01-01T00:00:00Z');
    const store = createApiKeyStore({ db: api.database.db, now: () => now, bootstrapApiKey: null });
    const { key, keyId } = await store.create({ name: 'x', workspaceId: null, readOnly: false, expiresAt: null });
    const used = async () => (await store.get(keyId))?.lastUsedAt?.toISOString();
    await store.find(key);
    expect(await used()).toBe('2030-01-01T00:00:00.000Z');
    now = new Date('2030-01-01T00:00:59Z');
    await store.find(key);
    expect(await used()).toBe('2030-01-01T00:00:00.000Z');
    now = new Date('2030-01-01T00:01:00Z');
    await Promise.all([store.find(key), store.find(key), store.find(key)]);
    expect(await used()).toBe('2030-01-01T00:01:00.000Z');
  });

  it('R13 of a workspace see and make keys of their workspace only', async () => {
    const { key_id: instanceKey } = await aMadeKey();
    const { key_id: foreign } = await aMadeKey({ scope: `workspace:${api.globex}` });
    const own = await post('/v1/api-keys', { name: 'own', scope: `workspace:${api.acme}` }, api.keys.acme);
    expect(own.status).toBe(201);
    const listed = (await get('/v1/api-keys', api.keys.acme)).body.data as { scope: string }[];
    expect(new Set(listed.map(({ scope }) => scope))).toEqual(new Set([`workspace:${api.acme}`]));
    for (const keyId of [instanceKey, foreign, uniqueId(new Date()), 'x']) {
      expect((await get(`/v1/api-keys/${keyId}`, api.keys.acme)).status).toBe(404);
      expect((await remove(`/v1/api-keys/${keyId}`, api.keys.acme)).status).toBe(404);
      expect((await post(`/v1/api-keys/${keyId}/rotate`, {}, api.keys.acme)).status).toBe(404);
    }
    const wider = await post('/v1/api-keys', { name: 'x', scope: 'instance' }, api.keys.acme);
    expect([wider.status, wider.body.reason]).toEqual([403, 'instance_scope_required']);
    for (const scope of [`workspace:${api.globex}`, `workspace:${uniqueId(new Date())}`]) {
      const answer = await post('/v1/api-keys', { name: 'x', scope }, api.keys.acme);
      expect([answer.status, paths(answer)]).toEqual([422, ['scope']]);
    }
    expect((await remove(`/v1/api-keys/${own.body.key_id}`, api.keys.acme)).status).toBe(204);
  });

  it('that end make none that lasts longer, and rotate none', async () => {
    const end = new Date(Date.now() + 3_600_000);
    const ending = await api.aKey({ expiresAt: end });
    const { key_id: lasting } = await aMadeKey();
    expect(paths(await post('/v1/api-keys', { name: 'x', scope: 'instance' }, ending))).toEqual(['expires_at']);
    const later = new Date(end.getTime() + 1).toISOString();
    expect(paths(await post('/v1/api-keys', { name: 'x', scope: 'instance', expires_at: later }, ending))).toEqual([
      'expires_at',
    ]);
    expect((await post(`/v1/api-keys/${lasting}/rotate`, {}, ending)).body.reason).toBe('key_outlives_yours');
    const within = await post('/v1/api-keys', { name: 'x', scope: 'instance', expires_at: end.toISOString() }, ending);
    expect(within.status).toBe(201);
    expect((await post(`/v1/api-keys/${within.body.key_id}/rotate`, {}, ending)).status).toBe(200);
  });

  it.each([
    ['no name', { scope: 'instance' }, ['name']],
    ['no scope', { name: 'x' }, ['scope']],
    ['another scope', { name: 'x', scope: 'everything' }, ['scope']],
    ['a scope with a slug', { name: 'x', scope: 'workspace:acme' }, ['scope']],
    ['an end that has passed', { name: 'x', scope: 'instance', expires_at: '2020-01-01T00:00:00Z' }, ['expires_at']],
    ['an end that is no moment', { name: 'x', scope: 'instance', expires_at: 'tomorrow' }, ['expires_at']],
    ['an unknown field', { name: 'x', scope: 'instance', admin: true }, ['admin']],
  ])('are refused with %s', async (_, body, expected) => {
    const answer = await post('/v1/api-keys', body);
    expect([answer.status, paths(answer)]).toEqual([422, expected]);
  });
});
