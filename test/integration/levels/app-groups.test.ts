import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProblemBody, TestWorkspace } from '../../support/broker-api.ts';
import { type LevelsWorld, refusal, startLevelsWorld } from '../../support/levels-world.ts';

let levels: LevelsWorld;

beforeAll(async () => {
  levels = await startLevelsWorld();
});
afterAll(() => levels?.stop());

const api = () => levels.world.api;
const groupsOf = ({ id }: TestWorkspace) => `/v1/workspaces/${id}/app-groups`;
const groupOf = (workspace: TestWorkspace, name: string) => `${groupsOf(workspace)}/${workspace.groups[name]}`;
const call = (method: string, path: string, body?: unknown) => api().call<ProblemBody>(method, path, body);
/** A workspace with its own connection. */
async function aWorkspace(groups: Readonly<Record<string, string | null>>, groupSync: object = {}) {
  const workspace = await levels.workspace(groups);
  return { workspace, connection: await levels.connect({ workspace: workspace.id, groupSync: { ...groupSync } }) };
}

describe('an app group', () => {
  it('is renamed and keeps its members; they carry the new name at once', async () => {
    const { workspace, connection } = await aWorkspace({ engineers: 'builder' });
    const { sub } = await levels.logIn(connection, 'g1-ada', ['engineers']);
    const renamed = await api().patch(groupOf(workspace, 'engineers'), { name: 'developers' });
    expect(renamed).toMatchObject({ group_id: workspace.groups.engineers, name: 'developers', requires_role: 'builder' });
    expect(await api().get(groupOf(workspace, 'engineers'))).toMatchObject({ name: 'developers' });
    expect(await api().explain(workspace.id, sub)).toMatchObject({
      role: 'builder',
      version: 1,
      groups: [{ id: workspace.groups.engineers, name: 'developers' }],
    });
  });

  it('cannot take the name of a role or of another group; two swap theirs in one push', async () => {
    const { workspace } = await aWorkspace({ a: null, b: 'builder', c: null });
    expect(refusal(await call('PATCH', groupOf(workspace, 'a'), { name: 'b' }))).toEqual([409, 'group_name_taken', 'name']);
    expect(refusal(await call('PATCH', groupOf(workspace, 'a'), { name: 'admin' }))).toEqual([422, null, 'name']);
    expect(refusal(await call('PATCH', groupOf(workspace, 'a'), { requires_role: 'emperor' }))).toEqual([
      422,
      null,
      'requires_role',
    ]);
    const { a, b, c } = workspace.groups;
    const groups = [
      { group_id: a, name: 'b' },
      { group_id: b, name: 'c', requires_role: 'builder' },
      { group_id: c, name: 'a' },
    ];
    expect(await api().put(groupsOf(workspace), { groups })).toMatchObject({ created: 0, updated: 3 });
    const { data } = await api().get<{ data: { group_id: string; name: string }[] }>(groupsOf(workspace));
    expect(Object.fromEntries(data.map(({ group_id, name }) => [group_id, name]))).toEqual({
      [a as string]: 'b',
      [b as string]: 'c',
      [c as string]: 'a',
    });
  });

  it('R19 with members does not change what it requires, unless they are re-evaluated at once', async () => {
    const { workspace, connection } = await aWorkspace({ engineers: 'builder', support: null });
    const { sub: ada } = await levels.logIn(connection, 'g2-ada', ['engineers']);
    const { sub: bob } = await levels.logIn(connection, 'g2-bob', ['engineers', 'admin']);
    const { sub: carol } = await levels.logIn(connection, 'g2-carol', ['support']);
    const patch = (query = '') => call('PATCH', `${groupOf(workspace, 'engineers')}${query}`, { requires_role: null });
    expect(refusal(await patch())).toEqual([409, 'group_has_members', 'requires_role']);
    const push = { groups: [{ name: 'engineers' }] };
    expect(refusal(await call('PUT', groupsOf(workspace), push))).toEqual([409, 'group_has_members', 'requires_role']);
    expect(await api().explain(workspace.id, ada)).toMatchObject({ role: 'builder', version: 1 });

    const done = await patch('?apply=now');
    expect(done).toMatchObject({
      status: 200,
      body: { requires_role: null, reevaluated: { examined: 2, changed: 1, unknown: 0 } },
    });
    expect(await api().explain(workspace.id, ada)).toMatchObject({ role: 'end-user', version: 2 });
    expect(await api().explain(workspace.id, bob)).toMatchObject({ role: 'admin', version: 1 });
    expect(await levels.eventsOf(ada, workspace)).toEqual(['membership.created 1', 'membership.updated 2']);
    expect(await levels.eventsOf(carol, workspace)).toEqual(['membership.created 1']);
    // Repeated, it finds nothing left to do; and an equal login changes nothing either.
    expect((await patch('?apply=now')).body).toMatchObject({ reevaluated: { examined: 2, changed: 0 } });
    await levels.logIn(connection, 'g2-ada', ['engineers']);
    expect(await api().explain(workspace.id, ada)).toMatchObject({ role: 'end-user', version: 2 });
  });

  it('R19 the same by a push of the catalogue', async () => {
    const { workspace, connection } = await aWorkspace({ engineers: null });
    const { sub } = await levels.logIn(connection, 'g3-ada', ['engineers']);
    const groups = [{ group_id: workspace.groups.engineers, name: 'engineers', requires_role: 'builder' }];
    await api().put(`${groupsOf(workspace)}?apply=now`, { groups });
    expect(await api().explain(workspace.id, sub)).toMatchObject({ role: 'builder', version: 2 });
    expect((await call('PUT', `${groupsOf(workspace)}?apply=later`, { groups })).status).toBe(422);
  });

  it('without members changes and goes at once', async () => {
    const { workspace } = await aWorkspace({ engineers: 'builder' });
    expect(await api().patch(groupOf(workspace, 'engineers'), { requires_role: 'admin' })).toMatchObject({
      requires_role: 'admin',
    });
    expect((await call('DELETE', groupOf(workspace, 'engineers'))).status).toBe(204);
    expect((await call('GET', groupOf(workspace, 'engineers'))).status).toBe(404);
    expect((await call('DELETE', groupOf(workspace, 'engineers'))).status).toBe(404);
  });

  it('with members is deleted after a warning: they lose it, and the role that it alone gave', async () => {
    const { workspace, connection } = await aWorkspace({ engineers: 'builder' });
    const { sub: ada } = await levels.logIn(connection, 'g4-ada', ['engineers']);
    const { sub: bob } = await levels.logIn(connection, 'g4-bob', []);
    const { confirmation } = await levels.warning(groupOf(workspace, 'engineers'));
    expect(confirmation.impact).toEqual({ members: 1, first_members: [{ user_id: ada }] });
    expect(await api().explain(workspace.id, ada)).toMatchObject({ role: 'builder', version: 1 });
    await levels.logIn(connection, 'g4-carol', ['engineers']);
    const stale = await call('DELETE', `${groupOf(workspace, 'engineers')}?confirm=${confirmation.token}`);
    expect(refusal(stale)).toEqual([409, 'state_moved', 'confirm']);
    await levels.confirmed(groupOf(workspace, 'engineers'));
    expect(await api().explain(workspace.id, ada)).toMatchObject({ role: 'end-user', groups: [], version: 2 });
    const updated = (await levels.events(workspace)).find(
      ({ type, data }) => type === 'membership.updated' && data.user.id === ada,
    );
    expect(updated?.data).toMatchObject({ removed: [{ name: 'engineers' }], role: 'end-user' });
    expect(await levels.eventsOf(bob, workspace)).toEqual(['membership.created 1']);
  });

  it('R25 R27 is taken from members whose groups are unknown or who hold it by hand, and nothing else is', async () => {
    const { workspace, connection } = await aWorkspace({ engineers: null, support: null }, { mode: 'managed-only' });
    const { engineers, support } = workspace.groups;
    const { sub: ada } = await levels.logIn(connection, 'g5-ada', null);
    const { sub: bob } = await levels.logIn(connection, 'g5-bob', ['support']);
    for (const user of [ada, bob]) {
      await api().put(`/v1/workspaces/${workspace.id}/members/${user}`, { role: 'builder', groups: [engineers, support] });
    }
    await levels.confirmed(groupOf(workspace, 'engineers'));
    for (const user of [ada, bob]) {
      const member = await api().explain(workspace.id, user);
      expect(member).toMatchObject({ role: 'builder', groups: [{ name: 'support' }] });
      expect(member.reasons.some(({ grant }) => 'name' in grant && grant.name === 'engineers')).toBe(false);
    }
  });

  it('ten thousand are pushed, renamed and given another requirement in one request each', async () => {
    const { workspace, connection } = await aWorkspace({});
    const first = Array.from({ length: 10_000 }, (_, index) => ({ name: `group ${index}` }));
    const { data } = await api().put<{ data: { group_id: string }[] }>(groupsOf(workspace), { groups: first });
    await levels.logIn(connection, 'g6-ada', ['group 7']);
    // Each takes the name of the next one, and the last one that of the first.
    const renamed = data.map(({ group_id }, index) => ({ group_id, name: `group ${(index + 1) % data.length}` }));
    expect(await api().put(groupsOf(workspace), { groups: renamed })).toMatchObject({ created: 0, updated: 10_000 });
    const stricter = renamed.map((group) => ({ ...group, requires_role: 'builder' }));
    expect(refusal(await call('PUT', groupsOf(workspace), { groups: stricter }))).toEqual([
      409,
      'group_has_members',
      'requires_role',
    ]);
    const done = await api().put(`${groupsOf(workspace)}?apply=now`, { groups: stricter });
    expect(done).toMatchObject({ created: 0, updated: 10_000 });
  });

  it('R13 of another workspace is not there', async () => {
    const [{ workspace: acme }, { workspace: globex }] = [
      await aWorkspace({ engineers: null }),
      await aWorkspace({ engineers: null }),
    ];
    const own = await levels.apiOf(globex);
    const tries: [string, string, object?][] = [
      ['GET', groupOf(acme, 'engineers')],
      ['PATCH', groupOf(acme, 'engineers'), { name: 'planted' }],
      ['DELETE', groupOf(acme, 'engineers')],
      ['PATCH', `${groupsOf(globex)}/${acme.groups.engineers}`, { name: 'planted' }],
      ['DELETE', `${groupsOf(globex)}/${acme.groups.engineers}`],
    ];
    for (const [method, path, body] of tries) expect((await own.call(method, path, body)).status, `${method} ${path}`).toBe(404);
    expect(await own.patch(groupOf(globex, 'engineers'), { name: 'developers' })).toMatchObject({ name: 'developers' });
    expect(await api().get(groupOf(acme, 'engineers'))).toMatchObject({ name: 'engineers' });
  });

  it('412 is not changed for what it was', async () => {
    const { workspace } = await aWorkspace({ engineers: null });
    const path = groupOf(workspace, 'engineers');
    const tag = (await api().call('GET', path)).headers.get('etag') as string;
    const patch = (name: string) =>
      levels.world.send(`${levels.world.publicUrl}${path}`, {
        method: 'PATCH',
        headers: { ...levels.authorization, 'if-match': tag },
        body: JSON.stringify({ name }),
      });
    expect((await patch('developers')).status).toBe(200);
    expect((await patch('coders')).status).toBe(412);
    expect(await api().get(path)).toMatchObject({ name: 'developers' });
  });
});
