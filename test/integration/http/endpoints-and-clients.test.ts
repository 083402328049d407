import { describe, expect, it } from 'vitest';
import { paths, useApi } from '../../support/api-world.ts';

const api = useApi();
const { get, post, put, patch, remove } = api;

describe('endpoints', () => {
  it('show their secret once, and belong to the instance', async () => {
    const made = await post('/v1/endpoints', { url: 'https://app.example.com/webhooks', event_types: ['membership.updated'] });
    expect(made.status).toBe(201);
    expect(made.body.secret).toMatch(/^whsec_/);
    const path = made.headers.location as string;
    const { secret: _, ...shown } = made.body;
    expect((await get(path)).body).toEqual(shown);
    expect((await get('/v1/endpoints')).body.data).toEqual([shown]);
    expect((await patch(path, { enabled: false })).body).toMatchObject({ enabled: false, disabled_reason: 'request' });
    for (const call of [get('/v1/endpoints', api.keys.acme), get(path, api.keys.acme), remove(path, api.keys.acme)]) {
      expect((await call).status).toBe(403);
    }
    expect((await remove(path)).status).toBe(204);
    expect((await get(path)).status).toBe(404);
  });

  it('name wrong fields as they were sent', async () => {
    const answer = await post('/v1/endpoints', { url: 'http://app.example.com', event_types: ['x'], eventTypes: null });
    expect(answer.status).toBe(422);
    expect(paths(answer)).toContain('eventTypes');
    expect(paths(await post('/v1/endpoints', { url: 'http://app.example.com', event_types: ['x'] }))).toEqual([
      'event_types.0',
      'url',
    ]);
    expect((await get('/v1/endpoints/x')).status).toBe(404);
  });
});

describe('clients', () => {
  const client = { name: 'App', redirect_uris: ['https://app.example.com/callback'] };
  const secret = 's'.repeat(32);

  it('are made and replaced by PUT, keep a secret that is left out, and never show it', async () => {
    expect((await put('/v1/clients/app', { ...client, client_secret: secret })).status).toBe(201);
    const replaced = await put('/v1/clients/app', { ...client, name: 'New' });
    expect([replaced.status, replaced.body]).toEqual([
      200,
      {
        client_id: 'app',
        ...client,
        name: 'New',
        post_logout_redirect_uris: [],
        token_endpoint_auth_method: 'client_secret_basic',
        id_token_signed_response_alg: null,
      },
    ]);
    expect((await get('/v1/clients/app')).body).toEqual(replaced.body);
    const listed = await get('/v1/clients');
    expect(listed.body.data).toEqual([replaced.body]);
    expect(listed.text + replaced.text + api.server.logText()).not.toContain(secret);
  });

  it('name wrong fields, and belong to the instance', async () => {
    const wrong = { ...client, client_secret: secret, redirect_uris: ['http://app.example.com/*'], colour: 1 };
    expect(paths(await put('/v1/clients/app', wrong))).toContain('colour');
    expect(paths(await put('/v1/clients/app', { ...wrong, colour: undefined }))).toEqual(['redirect_uris.0']);
    expect(paths(await put('/v1/clients/app', client))).toEqual(['client_secret']);
    expect(paths(await put('/v1/clients/app', { ...client, client_id: 'other' }))).toEqual(['client_id']);
    expect((await put('/v1/clients/a%20b', client)).status).toBe(404);
    expect((await get('/v1/clients', api.keys.acme)).status).toBe(403);
    expect((await get('/v1/clients')).body.data).toEqual([]);
  });
});
