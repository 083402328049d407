import { describe, expect, it } from 'vitest';
import { uniqueId } from '../../../src/infra/unique-id.ts';
import { paths, useApi } from '../../support/api-world.ts';

const api = useApi();
const { get, post } = api;
const now = () => new Date();

describe('workspaces', () => {
  it('are made, read and listed in pages', async () => {
    const made = await post('/v1/workspaces', { slug: 'initech', display_name: 'Initech' });
    expect(made.status).toBe(201);
    expect(made.headers.location).toBe(`/v1/workspaces/${made.body.workspace_id}`);
    expect((await get(made.headers.location as string)).body).toEqual(made.body);
    expect(made.body).toMatchObject({ slug: 'initech', display_name: 'Initech', status: 'active', catalogue_version: 1 });
    const first = await get('/v1/workspaces?limit=2');
    const second = await get(`/v1/workspaces?limit=2&after=${first.body.next_cursor}`);
    const slugs = [...first.body.data, ...second.body.data].map(({ slug }: { slug: string }) => slug);
    expect(slugs.sort()).toEqual(['acme', 'globex', 'initech']);
    expect(second.body.next_cursor).toBeNull();
  });

  it('have slugs of their own that do not look like ids', async () => {
    expect(await post('/v1/workspaces', { slug: 'acme' })).toMatchObject({
      status: 409,
      body: { reason: 'slug_taken', errors: [{ path: 'slug' }] },
    });
    expect(paths(await post('/v1/workspaces', { slug: api.acme }))).toEqual(['slug']);
  });

  it('R13 a workspace’s key sees its own and makes none', async () => {
    expect((await get('/v1/workspaces', api.keys.acme)).body.data.map(({ slug }: { slug: string }) => slug)).toEqual(['acme']);
    expect((await get(`/v1/workspaces/${api.acme}`, api.keys.acme)).status).toBe(200);
    const foreign = await get(`/v1/workspaces/${api.globex}`, api.keys.acme);
    const missing = await get(`/v1/workspaces/${uniqueId(now())}`, api.keys.acme);
    expect([foreign.status, missing.status]).toEqual([404, 404]);
    expect({ ...foreign.body, request_id: '' }).toEqual({ ...missing.body, request_id: '' });
    expect((await post('/v1/workspaces', { slug: 'mine' }, api.keys.acme)).status).toBe(403);
  });

  it.each(['1', 'acme', '%00', "1'%20OR%201=1", '..%2f..', 'A0000000-0000-7000-8000-000000000000'])(
    'are not found by %s',
    async (id) => {
      expect((await get(`/v1/workspaces/${id}`)).status).toBe(404);
    },
  );

  it('page only by what a page gave', async () => {
    expect(paths(await get('/v1/workspaces?after=x'))).toEqual(['after']);
    expect(paths(await get('/v1/workspaces?limit=0'))).toEqual(['limit']);
    expect(paths(await get('/v1/workspaces?limit=1&limit=2'))).toEqual(['limit']);
    expect(paths(await get('/v1/workspaces?colour=red'))).toEqual(['colour']);
  });
});
