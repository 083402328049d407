import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { uniqueId } from '../../../src/infra/unique-id.ts';
import type { ProblemBody, TestWorkspace } from '../../support/broker-api.ts';
import { type LevelsWorld, refusal, startLevelsWorld } from '../../support/levels-world.ts';

let levels: LevelsWorld;

beforeAll(async () => {
  levels = await startLevelsWorld();
});
afterAll(() => levels?.stop());

const api = () => levels.world.api;
const memberOf = ({ id }: TestWorkspace, userId: string) => `/v1/workspaces/${id}/members/${userId}`;
const call = (method: string, path: string, body?: unknown) => api().call<ProblemBody>(method, path, body);
const names = ({ groups }: { readonly groups: readonly { readonly name: string }[] }) => groups.map(({ name }) => name);

async function aWorkspace(groupSync: object = {}) {
  const workspace = await levels.workspace({ engineers: 'builder', support: null, sales: null });
  const connection = await levels.connect({ workspace: workspace.id, groupSync: { ...groupSync } });
  // R30: somebody else is admin, so that nobody else is the last one.
  await levels.logIn(connection, `keeper-of-${workspace.slug}`, ['admin']);
  return { workspace, connection };
}

describe('an edit by hand', () => {
  it('R27 changes role and groups, with one event of its own cause, and says so in the reasons', async () => {
    const { workspace, connection } = await aWorkspace();
    const { sub } = await levels.logIn(connection, 'm1-ada', ['support']);
    const { support, sales } = workspace.groups;
    const edited = await api().put(memberOf(workspace, sub), { role: 'builder', groups: [support, sales] });
    expect(edited).toMatchObject({ role: 'builder', version: 2, groups: [{ name: 'sales' }, { name: 'support' }] });
    const explained = await api().explain(workspace.id, sub);
    expect(explained.login).toMatchObject({ login_id: null });
    expect(explained.reasons).toMatchObject([
      { grant: { name: 'support' }, idp_group: 'support', via: { kind: 'one-to-one' } },
      { grant: { name: 'sales' }, idp_group: null, via: { kind: 'kept', because: 'manual' } },
      { grant: { kind: 'role', role: 'builder' }, idp_group: null, via: { kind: 'kept', because: 'manual' } },
    ]);
    const last = (await levels.events(workspace)).at(-1);
    expect(last).toMatchObject({
      type: 'membership.updated',
      data: { version: 2, added: [{ name: 'sales' }], removed: [], cause: { kind: 'api', connection_id: null, login_id: null } },
    });
    // The same once more is no change.
    expect(await api().put(memberOf(workspace, sub), { role: 'builder', groups: [sales, support] })).toMatchObject({
      version: 2,
    });
    expect(await levels.eventsOf(sub, workspace)).toEqual(['membership.created 1', 'membership.updated 2']);
  });

  it('R27 is overwritten at the next login, which is equal to the last one (authoritative)', async () => {
    const { workspace, connection } = await aWorkspace();
    const { sub } = await levels.logIn(connection, 'm2-ada', ['support']);
    await api().put(memberOf(workspace, sub), { role: 'admin', groups: [workspace.groups.sales] });
    const { memberships } = await levels.logIn(connection, 'm2-ada', ['support']);
    expect(memberships).toMatchObject([{ role: 'end-user', groups: ['support'], membership_version: 3 }]);
  });

  it('R27 leaves what was granted by hand, and only that (managed-only)', async () => {
    const { workspace, connection } = await aWorkspace({ mode: 'managed-only' });
    const { sub } = await levels.logIn(connection, 'm3-ada', ['support']);
    const { support, sales } = workspace.groups;
    await api().put(memberOf(workspace, sub), { role: 'builder', groups: [support, sales] });
    const kept = await levels.logIn(connection, 'm3-ada', ['support']);
    expect(kept.memberships).toMatchObject([{ role: 'builder', groups: ['sales', 'support'], membership_version: 2 }]);
    const less = await levels.logIn(connection, 'm3-ada', []);
    expect(less.memberships).toMatchObject([{ role: 'builder', groups: ['sales'], membership_version: 3 }]);
    await api().put(memberOf(workspace, sub), { role: 'end-user', groups: [] });
    const none = await levels.logIn(connection, 'm3-ada', []);
    expect(none.memberships).toMatchObject([{ role: 'end-user', groups: [], membership_version: 4 }]);
  });

  it('R27 takes a group away until the IdP’s groups give it again', async () => {
    const { workspace, connection } = await aWorkspace({ mode: 'managed-only' });
    const { sub } = await levels.logIn(connection, 'm4-ada', ['support', 'engineers']);
    expect(names(await api().put(memberOf(workspace, sub), { role: 'end-user', groups: [workspace.groups.support] }))).toEqual([
      'support',
    ]);
    const { memberships } = await levels.logIn(connection, 'm4-ada', ['support', 'engineers']);
    expect(memberships).toMatchObject([{ role: 'builder', groups: ['engineers', 'support'] }]);
  });

  it('412 is refused when the member changed since it was read', async () => {
    const { workspace, connection } = await aWorkspace();
    const { sub } = await levels.logIn(connection, 'm5-ada', []);
    const path = memberOf(workspace, sub);
    const tag = (await api().call('GET', path)).headers.get('etag') as string;
    const put = (role: string, header: Record<string, string>) =>
      levels.world.send(`${levels.world.publicUrl}${path}`, {
        method: 'PUT',
        headers: { ...levels.authorization, ...header },
        body: JSON.stringify({ role, groups: [] }),
      });
    const [first, second] = await Promise.all([put('admin', { 'if-match': tag }), put('builder', { 'if-match': tag })]);
    expect([first.status, second.status].sort()).toEqual([200, 412]);
    expect((await put('end-user', { 'if-match': tag })).status).toBe(412);
    expect((await put('end-user', { 'if-none-match': '*' })).status).toBe(412);
    const fresh = (await api().call('GET', path)).headers.get('etag') as string;
    expect((await put('end-user', { 'if-match': fresh })).status).toBe(200);
    expect(await api().explain(workspace.id, sub)).toMatchObject({ role: 'end-user', version: 3 });
  });

  it('R30 does not take the last admin’s role or membership; of two at once one stays', async () => {
    const workspace = await levels.workspace();
    const connection = await levels.connect({ workspace: workspace.id });
    const { sub: ada } = await levels.logIn(connection, 'm6-ada', ['admin']);
    const demote = (user: string) => call('PUT', memberOf(workspace, user), { role: 'builder', groups: [] });
    expect(refusal(await demote(ada))).toEqual([409, 'last_admin', 'role']);
    expect(refusal(await call('DELETE', memberOf(workspace, ada)))).toEqual([409, 'last_admin', 'role']);
    expect(await api().explain(workspace.id, ada)).toMatchObject({ role: 'admin', version: 1 });
    const { sub: bob } = await levels.logIn(connection, 'm6-bob', ['admin']);
    const both = await Promise.all([demote(ada), demote(bob)]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 409]);
  });

  it('refuses roles and groups that are not there, and groups that require more, by their place', async () => {
    const { workspace, connection } = await aWorkspace();
    const other = await levels.workspace({ foreign: null });
    const { sub } = await levels.logIn(connection, 'm7-ada', []);
    const { engineers, support } = workspace.groups;
    const put = (body: object) => call('PUT', memberOf(workspace, sub), body);
    expect(refusal(await put({ role: 'emperor', groups: [support] }))).toEqual([422, null, 'role']);
    expect(refusal(await put({ role: 'end-user', groups: [support, engineers] }))).toEqual([422, null, 'groups.1']);
    expect(refusal(await put({ role: 'admin', groups: [other.groups.foreign] }))).toEqual([422, null, 'groups.0']);
    expect(refusal(await put({ role: 'admin', groups: [support, support] }))).toEqual([422, null, 'groups']);
    expect(refusal(await put({ role: 'admin', groups: ['x'], admin: true }))).toEqual([422, null, 'groups.0', 'admin']);
    expect((await put({ role: 'builder', groups: [support, engineers] })).status).toBe(200);
  });

  it('ends a membership, which a later login grants again', async () => {
    const { workspace, connection } = await aWorkspace();
    const { sub } = await levels.logIn(connection, 'm8-ada', ['support']);
    expect((await call('DELETE', memberOf(workspace, sub))).status).toBe(204);
    expect((await call('DELETE', memberOf(workspace, sub))).status).toBe(204);
    expect(await api().explain(workspace.id, sub)).toMatchObject({ status: 'removed', groups: [], version: 2 });
    const { memberships } = await levels.logIn(connection, 'm8-ada', ['support']);
    expect(memberships).toMatchObject([{ groups: ['support'], membership_version: 3 }]);
  });

  it('R13 adds a known user to a workspace with a key of the instance only', async () => {
    const [{ workspace: acme, connection }, { workspace: globex }] = [await aWorkspace(), await aWorkspace()];
    const { sub } = await levels.logIn(connection, 'm9-ada', []);
    const [own, foreign] = [await levels.apiOf(acme), await levels.apiOf(globex)];
    const edit = { role: 'builder', groups: [] };
    // A user of another workspace, a user who is not there, a foreign workspace: all the same to this key.
    const answers = await Promise.all([
      foreign.call('PUT', memberOf(globex, sub), edit),
      foreign.call('PUT', memberOf(globex, uniqueId(new Date())), edit),
      foreign.call('PUT', memberOf(acme, sub), edit),
      foreign.call('DELETE', memberOf(acme, sub)),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404]);
    expect(await own.put(memberOf(acme, sub), edit)).toMatchObject({ role: 'builder', version: 2 });
    expect(await api().put(memberOf(globex, sub), edit)).toMatchObject({ role: 'builder', version: 1 });
    expect(await levels.eventsOf(sub, globex)).toEqual(['membership.created 1']);
    expect(await foreign.put(memberOf(globex, sub), { ...edit, role: 'end-user' })).toMatchObject({ version: 2 });
    expect((await call('PUT', memberOf(acme, uniqueId(new Date())), edit)).status).toBe(404);
  });
});
