import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProblemBody, TestWorkspace } from '../../support/broker-api.ts';
import { beginLogin, type SamlConnection } from '../../support/broker-login.ts';
import { type LevelsWorld, refusal, rolesIn, type SyncListBody, startLevelsWorld } from '../../support/levels-world.ts';

let levels: LevelsWorld;

beforeAll(async () => {
  levels = await startLevelsWorld();
});
afterAll(() => levels?.stop());

const api = () => levels.world.api;
const path = ({ id }: TestWorkspace) => `/v1/workspaces/${id}`;
const call = (method: string, to: string, body?: unknown) => api().call<ProblemBody>(method, to, body);
const entry = (connection: SamlConnection, { id }: TestWorkspace) => `/v1/connections/${connection.id}/workspaces/${id}`;

describe('deleting a workspace', () => {
  it('says first what it means, and does nothing by that', async () => {
    const acme = await levels.workspace({ engineers: null, support: null });
    const connection = await levels.connect({ workspace: acme.id });
    await levels.apiOf(acme);
    const { sub } = await levels.logIn(connection, 'w1-ada', ['engineers']);
    const { confirmation } = await levels.warning(path(acme));
    expect(confirmation.impact).toEqual({
      members: 1,
      by_role: { 'end-user': 1 },
      first_members: [{ user_id: sub, role: 'end-user', groups: ['engineers'] }],
      connections_switched_off: [connection.id],
      sync_lists_left: [],
      app_groups: 2,
      api_keys_revoked: 1,
    });
    expect(await api().get(path(acme))).toMatchObject({ status: 'active' });
    expect(await api().explain(acme.id, sub)).toMatchObject({ status: 'active' });
  });

  it('archives it: memberships end with their events, own connections are off, keys revoked; groups, events and slug stay', async () => {
    const acme = await levels.workspace({ engineers: null });
    const connection = await levels.connect({ workspace: acme.id });
    const own = await levels.apiOf(acme);
    const { sub } = await levels.logIn(connection, 'w2-ada', ['engineers']);
    const before = await levels.events(acme);
    await levels.confirmed(path(acme));

    expect(await api().get(path(acme))).toMatchObject({ status: 'archived', slug: acme.slug });
    expect(await levels.eventsOf(sub, acme)).toEqual(['membership.created 1', 'membership.removed 2']);
    expect((await levels.events(acme)).slice(0, before.length)).toEqual(before);
    expect(await api().get(`/v1/connections/${connection.id}`)).toMatchObject({ enabled: false });
    expect((await api().get<{ data: object[] }>(`${path(acme)}/app-groups`)).data).toHaveLength(1);
    expect((await own.call('GET', path(acme))).status).toBe(401);
    expect((await beginLogin(levels.world, { parameters: { connection: connection.id } })).visit.status).toBeGreaterThanOrEqual(
      400,
    );
    expect(refusal(await call('POST', '/v1/workspaces', { slug: acme.slug }))).toEqual([409, 'slug_taken', 'slug']);
  });

  it('leaves nothing to change: renames, catalogue, members and a second deletion are refused', async () => {
    const acme = await levels.workspace({ engineers: null });
    const { sub } = await levels.logIn(await levels.connect({ workspace: acme.id }), 'w3-ada', []);
    await levels.confirmed(path(acme));
    const archived = [409, 'workspace_archived'];
    expect(refusal(await call('PATCH', path(acme), { display_name: 'New' }))).toEqual(archived);
    expect(refusal(await call('PUT', `${path(acme)}/app-groups`, { groups: [] }))).toEqual(archived);
    expect(refusal(await call('PUT', `${path(acme)}/members/${sub}`, { role: 'admin', groups: [] }))).toEqual(archived);
    expect((await call('DELETE', path(acme))).status).toBe(404);
    const globex = await levels.workspace();
    expect(await api().patch(path(globex), { display_name: 'New' })).toMatchObject({ display_name: 'New' });
  });

  it('R7 is refused for the default workspace unless the request names one that inherits the configuration', async () => {
    const [acme, globex, initech] = [await levels.workspace(), await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme, globex]);
    await levels.logIn(connection, 'w4-ada', ['admin']);
    const remove = (query = '') => call('DELETE', `${path(acme)}${query}`);
    expect(refusal(await remove())).toEqual([409, 'default_workspace', 'default_workspace']);
    expect(refusal(await remove(`?default_workspace=${initech.id}`))).toEqual([409, 'successor_not_listed', 'default_workspace']);
    await api().patch(entry(connection, globex), { mapping: 'a -> b' });
    expect(refusal(await remove(`?default_workspace=${globex.id}`))).toEqual([409, 'successor_overrides', 'default_workspace']);
    await api().post(`${entry(connection, globex)}/reset`, {});
    const warning = await levels.confirmed(`${path(acme)}?default_workspace=${globex.id}`);
    expect(warning.confirmation.impact).toMatchObject({ members: 1, sync_lists_left: [connection.id] });
    expect(await api().get<SyncListBody>(entry(connection, globex))).toMatchObject({ is_default: true });
    expect(rolesIn(await levels.logIn(connection, 'w4-ada', ['admin']))).toEqual({ [globex.slug]: 'admin' });
  });

  it('R7 the token of one successor is not worth another', async () => {
    const trio = [await levels.workspace(), await levels.workspace(), await levels.workspace()] as const;
    await levels.instanceConnection(trio);
    const [acme, globex, initech] = trio;
    const { confirmation } = await levels.warning(`${path(acme)}?default_workspace=${globex.id}`);
    const other = await call('DELETE', `${path(acme)}?default_workspace=${initech.id}&confirm=${confirmation.token}`);
    expect(refusal(other)).toEqual([409, 'state_moved', 'confirm']);
    const same = await call('DELETE', `${path(acme)}?default_workspace=${globex.id}&confirm=${confirmation.token}`);
    expect(same.status).toBe(204);
  });

  it('R11 is refused while it is the last one that a connection syncs', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme]);
    expect(refusal(await call('DELETE', path(acme)))).toEqual([409, 'last_enabled_workspace', 'workspace']);
    await api().post(`/v1/connections/${connection.id}/workspaces`, { workspace: globex.id });
    await levels.confirmed(`${path(acme)}?default_workspace=${globex.id}`);
  });

  it('ends many memberships completely', async () => {
    const acme = await levels.workspace();
    const { db } = levels.world.stores;
    await db.raw(
      `WITH people AS (INSERT INTO users (user_id, name) SELECT gen_random_uuid(), 'w6-' || n FROM generate_series(1, 1200) n RETURNING user_id)
       INSERT INTO memberships (workspace_id, user_id, role) SELECT ?, user_id, 'end-user' FROM people`,
      [acme.id],
    );
    const { confirmation } = await levels.confirmed(path(acme));
    expect(confirmation.impact).toMatchObject({ members: 1200 });
    expect(confirmation.impact.first_members).toHaveLength(20);
    const { rows } = await db.raw(
      `SELECT count(*)::int AS events, count(DISTINCT user_id)::int AS people FROM events WHERE workspace_id = ? AND type = 'membership.removed'`,
      [acme.id],
    );
    expect(rows).toEqual([{ events: 1200, people: 1200 }]);
    expect(await db('memberships').where({ workspace_id: acme.id, status: 'active' })).toEqual([]);
  });

  it('R13 is for keys of the instance; a workspace’s key renames its own only', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const own = await levels.apiOf(acme);
    expect((await own.call('DELETE', path(globex))).status).toBe(403);
    expect((await own.call('DELETE', path(acme))).status).toBe(403);
    expect((await own.call('PATCH', path(globex), { display_name: 'Mine' })).status).toBe(404);
    expect(await own.patch(path(acme), { display_name: 'Acme Inc.' })).toMatchObject({ display_name: 'Acme Inc.' });
    expect((await own.call('PATCH', path(acme), { display_name: 'x', slug: 'other' })).status).toBe(422);
  });
});
