import { describe, expect, it } from 'vitest';
import { uniqueId } from '../../../src/infra/unique-id.ts';
import { apiOn } from '../../support/api-stores.ts';
import { paths, useApi } from '../../support/api-world.ts';
import { oidcProtocol, samlProtocol } from '../../support/connection-world.ts';
import { aServer } from '../../support/http-server.ts';

const api = useApi();
const { get, post, put, patch, remove } = api;

const entries = async (query = '', key?: string) => (await get(`/v1/audit-log${query}`, key)).body.data;

describe('the audit log', () => {
  it('says who changed what, from what to what, under which request', async () => {
    const made = await post('/v1/connections', { display_name: 'Okta', protocol: samlProtocol, workspace: 'acme' });
    const id = made.body.connection_id;
    const changed = await patch(`/v1/connections/${id}`, { display_name: 'Okta EU' }, api.keys.acme);
    expect(changed.status).toBe(200);
    const [second, first] = await entries(`?resource=connections&resource_id=${id}`);
    expect(first).toMatchObject({
      actor: { kind: 'api_key', id: 'bootstrap' },
      action: 'POST /connections',
      resource: 'connections',
      resource_id: id,
      workspace_id: api.acme,
      outcome: 'done',
      status: 201,
      code: null,
      before: null,
      after: { connection_id: id, display_name: 'Okta' },
      request_id: made.headers['x-request-id'],
    });
    const [holder] = (await get('/v1/api-keys', api.keys.acme)).body.data;
    expect(second).toMatchObject({
      actor: { kind: 'api_key', id: holder.key_id },
      action: 'PATCH /connections/{connection_id}',
      before: { display_name: 'Okta', version: 1 },
      after: { display_name: 'Okta EU', version: 2 },
      request_id: changed.headers['x-request-id'],
    });
  });

  it('has an entry for each kind of change, and none for reading', async () => {
    await api.database.db('audit_log').delete();
    const client = { name: 'App', redirect_uris: ['https://app.example.com/callback'], client_secret: 's'.repeat(32) };
    await put('/v1/clients/app', client);
    await put('/v1/clients/app', { ...client, name: 'New' });
    const endpoint = (await post('/v1/endpoints', { url: 'https://app.example.com/hooks' })).headers.location as string;
    await patch(endpoint, { enabled: false });
    await remove(endpoint);
    const key = (await post('/v1/api-keys', { name: 'x', scope: 'instance' })).headers.location as string;
    await post(`${key}/rotate`, {});
    await remove(key);
    await get('/v1/clients');
    const shown = (await entries()).map(({ action, before, after }: Record<string, Record<string, unknown> | null>) => [
      action,
      before && (before.name ?? before.enabled ?? before.url),
      after && (after.name ?? after.enabled ?? after.url),
    ]);
    expect(shown.reverse()).toEqual([
      ['PUT /clients/{client_id}', null, 'App'],
      ['PUT /clients/{client_id}', 'App', 'New'],
      ['POST /endpoints', null, true],
      ['PATCH /endpoints/{endpoint_id}', true, false],
      ['DELETE /endpoints/{endpoint_id}', false, null],
      ['POST /api-keys', null, 'x'],
      ['POST /api-keys/{key_id}/rotate', 'x', 'x'],
      ['DELETE /api-keys/{key_id}', 'x', 'x'],
    ]);
  });

  it('keeps of a catalogue what moved', async () => {
    const path = `/v1/workspaces/${api.acme}/app-groups`;
    await put(path, { groups: [{ name: 'a' }, { name: 'b' }] });
    await put(path, { groups: [{ name: 'a', requires_role: 'builder' }, { name: 'b' }, { name: 'c' }] });
    const [entry] = await entries('?resource=app-groups');
    expect(entry).toMatchObject({ workspace_id: api.acme, resource_id: null });
    expect(entry.before).toMatchObject([{ name: 'a', requires_role: null }]);
    expect(entry.after).toMatchObject([{ name: 'a', requires_role: 'builder' }, { name: 'c' }]);
  });

  it('holds no secret', async () => {
    const oidc = await post('/v1/connections', { display_name: 'Entra', protocol: oidcProtocol });
    const endpoint = await post('/v1/endpoints', { url: 'https://app.example.com/hooks' });
    const key = await post('/v1/api-keys', { name: 'x', scope: 'instance' });
    await put('/v1/clients/app', { name: 'App', redirect_uris: ['https://app.example.com/cb'], client_secret: 's'.repeat(32) });
    expect([oidc.status, endpoint.status, key.status]).toEqual([201, 201, 201]);
    const rows = JSON.stringify(await api.database.db('audit_log').select('*'));
    expect(rows).toContain('app.example.com/hooks');
    for (const secret of [oidcProtocol.client_secret, endpoint.body.secret, key.body.key, 's'.repeat(32)]) {
      expect(rows).not.toContain(secret);
    }
  });

  it('tells refused attempts by their code, without the state of what was named', async () => {
    const foreign = (await post('/v1/connections', { display_name: 'Theirs', protocol: samlProtocol, workspace: 'globex' })).body;
    await patch(`/v1/connections/${foreign.connection_id}`, { display_name: 'Mine' }, api.keys.acme);
    const [entry] = await entries('', api.keys.acme);
    expect(entry).toMatchObject({
      outcome: 'refused',
      status: 404,
      code: 'not_found',
      workspace_id: api.acme,
      before: null,
      after: null,
    });
    await post('/v1/workspaces', { slug: 'No Slug' });
    expect((await entries('?outcome=refused&actor=bootstrap'))[0]).toMatchObject({ status: 422, code: 'validation_failed' });
  });

  it('R13 shows a workspace its own entries only', async () => {
    await put(`/v1/workspaces/${api.acme}/app-groups`, { groups: [{ name: 'a' }] });
    await put(`/v1/workspaces/${api.globex}/app-groups`, { groups: [{ name: 'b' }] });
    await post('/v1/endpoints', { url: 'https://app.example.com/hooks' });
    const own = await entries('', api.keys.acme);
    expect(new Set(own.map(({ workspace_id: id }: { workspace_id: string }) => id))).toEqual(new Set([api.acme]));
    expect((await get(`/v1/audit-log?workspace=${api.globex}`, api.keys.acme)).status).toBe(404);
    expect(
      new Set((await entries(`?workspace=${api.globex}`)).map(({ workspace_id: id }: { workspace_id: string }) => id)),
    ).toEqual(new Set([api.globex]));
    // The workspaces themselves, the two catalogues, the endpoint.
    expect(await entries()).toHaveLength(5);
  });

  it('is read in pages, newest first, and by its filters', async () => {
    for (const slug of ['one', 'two', 'three']) await post('/v1/workspaces', { slug });
    const seen: string[] = [];
    for (let after = ''; ; ) {
      const { data, next_cursor: cursor } = (await get(`/v1/audit-log?limit=2${after}`)).body;
      seen.push(...data.map((entry: { after: { slug: string } }) => entry.after.slug));
      if (cursor === null) break;
      after = `&after=${cursor}`;
    }
    expect(seen).toEqual(['three', 'two', 'one', 'globex', 'acme']);
    const [newest] = await entries('?limit=1');
    expect(await entries(`?request_id=${newest.request_id}`)).toEqual([newest]);
    expect(await entries(`?since=${encodeURIComponent(newest.at)}&outcome=done`)).toContainEqual(newest);
    expect(await entries(`?until=${encodeURIComponent('2020-01-01T00:00:00+02:00')}`)).toEqual([]);
    expect(paths(await get('/v1/audit-log?since=yesterday&outcome=good&colour=red&after=x'))).toEqual([
      'after',
      'colour',
      'outcome',
      'since',
    ]);
  });

  it('opens an entry before the change: one whose process died stays visible', async () => {
    const stores = apiOn(api.database.db);
    const dead = { ...stores, audit: { ...stores.audit, close: () => Promise.reject(new Error('gone')) } };
    const server = aServer({ api: dead });
    api.serve(server);
    const { status, headers } = await post('/v1/workspaces', { slug: 'new' });
    expect(status).toBe(201);
    expect((await entries(`?request_id=${headers['x-request-id']}`))[0]).toMatchObject({
      outcome: 'started',
      action: 'POST /workspaces',
      after: null,
    });
    expect(server.lines.some(({ msg }) => msg === 'an entry of the audit log was not closed')).toBe(true);
  });

  it('does not change what a request does with ids that name nothing', async () => {
    for (const id of ['x', uniqueId(new Date()), '%00', "1'%20OR%201=1"]) {
      expect((await remove(`/v1/endpoints/${id}`)).status).toBe(404);
      expect((await patch(`/v1/connections/${id}`, {})).status).toBe(404);
      expect((await put(`/v1/clients/${id}~%00`, {})).status).toBe(404);
    }
  });
});
