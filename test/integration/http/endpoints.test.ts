import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { uniqueId } from '../../../src/infra/unique-id.ts';
import { eventSchemas } from '../../../src/outbox/event-schema.ts';
import { paths, useApi } from '../../support/api-world.ts';

const api = useApi();
const { get, post, patch, remove } = api;
const url = 'https://app.example.com/webhooks';
const aSecret = () => `whsec_${randomBytes(32).toString('base64')}`;

async function anEndpoint(given: object = {}): Promise<{ path: string; secret: string; id: string }> {
  const made = await post('/v1/endpoints', { url, ...given });
  expect(made.status).toBe(201);
  return { path: made.headers.location as string, secret: made.body.secret, id: made.body.endpoint_id };
}

describe('headers and limits of an endpoint', () => {
  it('are taken, changed one by one, and shown without the values of headers', async () => {
    const { path } = await anEndpoint({
      headers: { Authorization: 'Bearer top-secret-value', 'x-team': 'core' },
      rate_limit_per_second: 50,
      max_concurrency: 4,
    });
    expect((await get(path)).body).toMatchObject({
      header_names: ['authorization', 'x-team'],
      rate_limit_per_second: 50,
      max_concurrency: 4,
    });
    const changed = await patch(path, { headers: { 'x-team': null, 'x-key': 'other-secret-value' }, max_concurrency: null });
    expect(changed.body).toMatchObject({
      header_names: ['authorization', 'x-key'],
      rate_limit_per_second: 50,
      max_concurrency: null,
    });
    const everything = [
      changed.text,
      (await get(path)).text,
      (await get('/v1/endpoints')).text,
      (await get('/v1/audit-log')).text,
    ];
    expect(everything.join('') + api.server.logText()).not.toMatch(/top-secret-value|other-secret-value/);
    expect(everything[3]).toContain('x-key');
  });

  it.each([
    [{ headers: { host: 'x' } }, ['headers.host']],
    [{ headers: { 'x-a': 'a\r\nwebhook-id: b' } }, ['headers.x-a']],
    [{ headers: { 'Webhook-Id': 'x', 'x-a': 1 } }, ['headers.x-a']],
    [{ headers: ['x-a'] }, ['headers']],
    [{ rate_limit_per_second: 0, max_concurrency: 1.5 }, ['max_concurrency', 'rate_limit_per_second']],
    [{ rateLimitPerSecond: 1 }, ['rateLimitPerSecond']],
  ])('are refused: %j', async (given, where) => {
    const answer = await post('/v1/endpoints', { url, ...given });
    expect([answer.status, paths(answer)]).toEqual([422, where]);
    const { path } = await anEndpoint();
    expect((await patch(path, given)).status).toBe(422);
  });
});

describe('the secret of an endpoint', () => {
  it('is replaced by a new one, shown this once; the old one ends after a day', async () => {
    const { path, secret } = await anEndpoint();
    const rotated = await post(`${path}/secrets`, {});
    expect([rotated.status, Object.keys(rotated.body)]).toEqual([201, ['secret', 'old_secrets_until']]);
    expect(rotated.body.secret).toMatch(/^whsec_/);
    expect(rotated.body.secret).not.toBe(secret);
    expect(Math.abs(Date.parse(rotated.body.old_secrets_until) - Date.now() - 86_400_000)).toBeLessThan(60_000);
    const given = aSecret();
    const replaced = await post(`${path}/secrets`, { secret: given, overlap_seconds: 0 });
    expect(replaced.body).toEqual({ secret: given, old_secrets_until: null });

    const shown = [(await get(path)).text, (await get('/v1/endpoints')).text, (await get('/v1/audit-log')).text];
    for (const text of [...shown, api.server.logText()]) {
      for (const each of [secret, rotated.body.secret, given]) expect(text).not.toContain(each.slice('whsec_'.length));
    }
    expect(shown[2]).toContain('POST /endpoints/{endpoint_id}/secrets');
  });

  it('may be replaced without any body', async () => {
    const { path } = await anEndpoint();
    const rotated = await post(`${path}/secrets`, {}).unset('content-type').send();
    expect([rotated.status, rotated.body.secret]).toEqual([201, expect.stringMatching(/^whsec_/)]);
  });

  it('is replaced once by a request that is sent twice', async () => {
    const { path } = await anEndpoint();
    const send = () => post(`${path}/secrets`, { overlap_seconds: 60 }).set('idempotency-key', 'rotation-1');
    const [first, second] = [await send(), await send()];
    expect(second.body).toEqual(first.body);
    expect(second.headers['idempotent-replayed']).toBe('true');
    const { sealed_secrets: stored } = await api.database.db('endpoints').first();
    expect(stored).toHaveLength(2);
    // What is kept to answer with again is sealed.
    expect(JSON.stringify(await api.database.db('idempotency_keys'))).not.toContain(first.body.secret.slice('whsec_'.length));
  });

  it.each([
    [{ secret: 'whsec_c2hvcnQ=' }, ['secret']],
    [{ overlap_seconds: -1 }, ['overlap_seconds']],
    [{ overlap_seconds: 604_801 }, ['overlap_seconds']],
    [{ overlapSeconds: 1 }, ['overlapSeconds']],
  ])('is not replaced by %j', async (given, where) => {
    const { path } = await anEndpoint();
    const answer = await post(`${path}/secrets`, given);
    expect([answer.status, paths(answer)]).toEqual([422, where]);
  });
});

describe('a test event', () => {
  it('is made for this endpoint alone, whatever it wants, and is no part of the log', async () => {
    const { path, id } = await anEndpoint({
      url: `${url}?token=hidden`,
      event_types: ['membership.updated'],
      description: 'App',
    });
    const answer = await post(`${path}/test`, {});
    expect([answer.status, answer.body]).toEqual([202, { event_id: expect.stringMatching(/^evt_[0-9a-f]{32}$/) }]);
    const [event] = await api.database.db('events').where({ type: 'endpoint.test' });
    expect(event).toMatchObject({ only_endpoint_id: id, workspace_id: null, user_id: null });
    expect(`evt_${event.event_id.replaceAll('-', '')}`).toBe(answer.body.event_id);
    expect(eventSchemas['endpoint.test'].parse(event.payload)).toEqual(event.payload);
    expect(event.payload.data).toEqual({ endpoint: { id, url, description: 'App' } });
  });

  it('is refused for an endpoint that is disabled', async () => {
    const { path } = await anEndpoint({ enabled: false });
    const answer = await post(`${path}/test`, {});
    expect([answer.status, answer.body.reason]).toEqual([409, 'endpoint_disabled']);
    expect((await patch(path, { enabled: true })).status).toBe(200);
    expect((await post(`${path}/test`, {})).status).toBe(202);
  });
});

describe('a snapshot', () => {
  it('R40 is made with the endpoint where it asks for one', async () => {
    const { path, id } = await anEndpoint({ snapshot: true });
    const listed = await get(`${path}/snapshots`);
    expect(listed.body.data).toMatchObject([{ endpoint_id: id, include_removed: false, status: 'waiting', events: 0 }]);
    expect((await get(`${path}/snapshots/${listed.body.data[0].snapshot_id}`)).body).toEqual(listed.body.data[0]);
    const other = await anEndpoint({ url: `${url}/2`, snapshot: false });
    expect((await get(`${other.path}/snapshots`)).body.data).toEqual([]);
  });

  it('is asked for later too, one at a time, and found at its address', async () => {
    const { path } = await anEndpoint();
    const asked = await post(`${path}/snapshots`, { include_removed: true });
    expect([asked.status, asked.body.include_removed]).toEqual([202, true]);
    expect((await get(asked.headers.location as string)).body).toEqual(asked.body);
    expect((await post(`${path}/snapshots`, {})).body.reason).toBe('snapshot_under_way');
    await api.database.db('endpoint_tasks').update({ status: 'done' });
    expect((await post(`${path}/snapshots`, {})).status).toBe(202);
    const page = await get(`${path}/snapshots?limit=1`);
    expect(page.body.data[0].include_removed).toBe(false);
    expect((await get(`${path}/snapshots?limit=1&after=${page.body.next_cursor}`)).body.data).toEqual([
      { ...asked.body, status: 'done' },
    ]);
  });

  it('is not found at another endpoint, nor where there is none', async () => {
    const [one, other] = [await anEndpoint(), await anEndpoint({ url: `${url}/2` })];
    const { body } = await post(`${one.path}/snapshots`, {});
    expect((await get(`${other.path}/snapshots/${body.snapshot_id}`)).status).toBe(404);
    expect((await get(`${one.path}/snapshots/${uniqueId(new Date())}`)).status).toBe(404);
    expect(paths(await post(`${other.path}/snapshots`, { includeRemoved: true }))).toEqual(['includeRemoved']);
  });
});

describe('the health of an endpoint', () => {
  it('is told, and is as good as new once it is enabled', async () => {
    const { path, id } = await anEndpoint();
    const moment = new Date('2026-03-01T12:00:00.000Z');
    await api.database.db('endpoint_health').insert({
      endpoint_id: id,
      failing_since: moment,
      consecutive_failures: 12,
      last_failure_at: moment,
      last_status: 503,
      last_error: 'http_status',
      paused_until: new Date(Date.now() + 60_000),
    });
    expect((await get(`${path}/health`)).body).toEqual({
      endpoint_id: id,
      state: 'circuit_open',
      disabled_reason: null,
      failing_since: moment.toISOString(),
      consecutive_failures: 12,
      last_success_at: null,
      last_failure_at: moment.toISOString(),
      last_status: 503,
      last_error: 'http_status',
      waiting: { count: 0, exact: true },
      exhausted: { count: 0, exact: true },
      oldest_waiting_at: null,
      next_attempt_at: null,
    });
    await patch(path, { enabled: false });
    expect((await get(`${path}/health`)).body).toMatchObject({ state: 'disabled', disabled_reason: 'request' });
    await patch(path, { enabled: true });
    expect((await get(`${path}/health`)).body).toMatchObject({ state: 'healthy', failing_since: null, consecutive_failures: 0 });
  });
});

describe('everything about an endpoint', () => {
  it('R13 is for keys of the instance', async () => {
    const { path } = await anEndpoint();
    const key = api.keys.acme;
    const calls = [
      get(`${path}/health`, key),
      get(`${path}/snapshots`, key),
      post(`${path}/snapshots`, {}, key),
      post(`${path}/secrets`, {}, key),
      post(`${path}/test`, {}, key),
      post(`${path}/test`, {}, api.keys.readOnly),
    ];
    for (const call of calls) expect((await call).status).toBe(403);
    expect((await get(`${path}/health`, api.keys.readOnly)).status).toBe(200);
    expect(await api.database.db('endpoint_tasks')).toEqual([]);
  });

  it('is gone with it', async () => {
    const { path } = await anEndpoint({ snapshot: true });
    await remove(path);
    for (const call of [
      get(`${path}/health`),
      get(`${path}/snapshots`),
      post(`${path}/snapshots`, {}),
      post(`${path}/secrets`, {}),
      post(`${path}/test`, {}),
    ]) {
      expect((await call).status).toBe(404);
    }
    const { headers, sealed_secrets: secrets } = await api.database.db('endpoints').first();
    expect([headers, secrets]).toEqual([{}, []]);
  });
});
