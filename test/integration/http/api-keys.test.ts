import request from 'supertest';
import { describe, expect, it } from 'vitest';
import { bootstrapApiKey } from '../../support/api-stores.ts';
import { paths, useApi } from '../../support/api-world.ts';
import { aServer } from '../../support/http-server.ts';

const api = useApi();
const { get, post, aKey, apiKeys } = api;

describe('API keys', () => {
  it('are demanded, and what is refused is said in a problem document with the id of its log lines', async () => {
    const { status, body, headers } = await request(api.server.app).get('/v1/workspaces');
    expect(status).toBe(401);
    expect(headers['www-authenticate']).toBe('Bearer realm="rollcall"');
    expect(headers['content-type']).toContain('application/problem+json');
    expect(body).toEqual({
      type: 'urn:rollcall:problem:unauthorized',
      title: 'An API key is required',
      status: 401,
      detail: 'Send a valid key as "Authorization: Bearer <key>".',
      code: 'unauthorized',
      reason: 'key_missing',
      request_id: headers['x-request-id'],
    });
  });

  it('let in while they are valid: neither expired nor revoked, and known', async () => {
    const { key, keyId } = await apiKeys().create({
      name: 'x',
      workspaceId: null,
      readOnly: false,
      expiresAt: new Date(Date.now() + 60_000),
    });
    expect((await get('/v1/workspaces', key)).status).toBe(200);
    expect(await apiKeys().revoke(keyId)).toBe(true);
    const expired = await aKey({ expiresAt: new Date(Date.now() - 1) });
    const altered = `${api.keys.readOnly.slice(0, -1)}${api.keys.readOnly.endsWith('A') ? 'B' : 'A'}`;
    for (const refused of [key, expired, altered, 'rollcall_key_', 'x', `${bootstrapApiKey}x`, bootstrapApiKey.slice(0, -1)]) {
      const { status, headers, body } = await get('/v1/workspaces', refused);
      expect([status, body.reason]).toEqual([401, 'key_invalid']);
      expect(headers['www-authenticate']).toBe('Bearer realm="rollcall", error="invalid_token"');
    }
  });

  it('are kept as hashes: the table holds nothing that opens the door', async () => {
    const rows = await api.database.db('api_keys').select('*');
    expect(JSON.stringify(rows)).not.toContain(api.keys.acme);
    expect(rows.map(({ secret_hash: hash }) => hash.length)).toEqual(rows.map(() => 32));
  });

  it('are taken by the Bearer scheme only', async () => {
    for (const header of [api.keys.readOnly, `Basic ${api.keys.readOnly}`, `Bearer ${api.keys.readOnly} x`, 'Bearer']) {
      expect((await request(api.server.app).get('/v1/workspaces').set('Authorization', header)).status).toBe(401);
    }
    expect((await request(api.server.app).get('/v1/workspaces').set('Authorization', `bearer ${api.keys.readOnly}`)).status).toBe(
      200,
    );
    expect((await request(api.server.app).get(`/v1/workspaces?api_key=${api.keys.readOnly}`)).status).toBe(401);
  });

  it('that read only change nothing', async () => {
    expect((await get('/v1/workspaces', api.keys.readOnly)).status).toBe(200);
    const { status, body } = await post('/v1/workspaces', { slug: 'new' }, api.keys.readOnly);
    expect([status, body.reason]).toEqual([403, 'key_read_only']);
    expect(await api.database.db('workspaces').where({ slug: 'new' })).toEqual([]);
  });

  it('never reach the log', async () => {
    await get('/v1/workspaces', api.keys.acme);
    await get('/v1/workspaces', 'rollcall_key_wrong');
    expect(api.server.logText()).not.toContain('rollcall_key_');
    expect(api.server.logText()).not.toContain(bootstrapApiKey);
  });
});

describe('the body of a request', () => {
  it('must be JSON, within the limit, and sent by somebody with a key', async () => {
    const call = () => request(api.server.app).post('/v1/workspaces').set('Authorization', `Bearer ${bootstrapApiKey}`);
    const plain = await call().set('Content-Type', 'text/plain').send('{"slug":"x"}');
    expect([plain.status, plain.body.code, plain.body.reason]).toEqual([400, 'invalid_request', 'unsupported_media_type']);
    const none = await call();
    expect([none.status, none.body.reason]).toEqual([400, 'unsupported_media_type']);
    const broken = await call().set('Content-Type', 'application/json').send('{"slug": ');
    expect([broken.status, broken.body.reason]).toEqual([400, 'malformed_body']);
    const large = await call().send({ slug: 'x', display_name: 'x'.repeat(200_000) });
    expect([large.status, large.body.code]).toEqual([413, 'payload_too_large']);
    const stranger = await request(api.server.app)
      .post('/v1/workspaces')
      .send({ slug: 'x', display_name: 'x'.repeat(200_000) });
    expect(stranger.status).toBe(401);
    const charset = await call().set('Content-Type', 'application/json; charset=latin1').send('{"slug":"x"}');
    expect([charset.status, charset.body.reason]).toEqual([400, 'unsupported_media_type']);
    expect((await call().send({ slug: 'x' })).status).toBe(201);
  });

  it('names each unknown field and each wrong one', async () => {
    const answer = await post('/v1/workspaces', { slug: 'No Slug', colour: 'red', display_name: ' edge ' });
    expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed']);
    expect(paths(answer)).toEqual(['colour', 'display_name', 'slug']);
  });
});

describe('while Postgres is away', () => {
  it('the API says so with 503 and when to try again, and names nothing of it', async () => {
    const away = aServer();
    const { status, body, headers } = await request(away.app)
      .get('/v1/workspaces')
      .set('Authorization', `Bearer ${api.keys.acme}`);
    expect([status, body.code]).toEqual([503, 'unavailable']);
    expect(headers['retry-after']).toBe('5');
    expect(JSON.stringify(body)).not.toMatch(/127\.0\.0\.1|ECONNREFUSED|postgres/i);
    expect(away.lines.some(({ requestId, code }) => requestId === headers['x-request-id'] && code === 'unavailable')).toBe(true);
  });
});
