import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestWorkspace } from '../../support/broker-api.ts';
import type { SamlConnection } from '../../support/broker-login.ts';
import { type LevelsWorld, startLevelsWorld } from '../../support/levels-world.ts';

let levels: LevelsWorld;

beforeAll(async () => {
  levels = await startLevelsWorld();
});
afterAll(() => levels?.stop());

const api = () => levels.world.api;
const run = (workspace: TestWorkspace, userIds: readonly string[]) =>
  levels.world.stores.reevaluateMembers({ workspaceId: workspace.id, userIds, cause: 'plan' });
const map = (connection: SamlConnection, mapping: string, more: object = {}) =>
  api().patch(`/v1/connections/${connection.id}`, { group_sync: { mapping: { rules: mapping }, ...more } });
const state = async (workspace: TestWorkspace, userId: string) => {
  const { role, groups, status, version } = await api().explain(workspace.id, userId);
  return { role, groups: groups.map(({ name }) => name), status, version };
};

async function aWorkspace(groupSync: object = {}) {
  const workspace = await levels.workspace({ engineers: 'builder', support: null });
  return { workspace, connection: await levels.connect({ workspace: workspace.id, groupSync: { ...groupSync } }) };
}

describe('a re-evaluation', () => {
  it('R39 brings members in line with the mapping in force, by their last groups, with one event each', async () => {
    const { workspace, connection } = await aWorkspace();
    const { sub: ada } = await levels.logIn(connection, 'e1-ada', ['Dev']);
    const { sub: bob } = await levels.logIn(connection, 'e1-bob', ['Desk']);
    await map(connection, 'Dev -> engineers');
    expect(await run(workspace, [ada, bob])).toEqual({ examined: 2, changed: 1, unknown: 0 });
    expect(await state(workspace, ada)).toEqual({ role: 'builder', groups: ['engineers'], status: 'active', version: 2 });
    expect(await state(workspace, bob)).toEqual({ role: 'end-user', groups: [], status: 'active', version: 1 });
    expect((await levels.events(workspace)).at(-1)).toMatchObject({
      type: 'membership.updated',
      data: {
        user: { id: ada },
        version: 2,
        added: [{ name: 'engineers' }],
        cause: { kind: 'plan', connection_id: connection.id, login_id: null },
      },
    });
    const { reasons } = await api().explain(workspace.id, ada);
    expect(reasons.find(({ grant }) => 'name' in grant && grant.name === 'engineers')).toMatchObject({
      idp_group: 'Dev',
      via: { kind: 'rule', from: 'Dev' },
    });
  });

  it('R28 R39 decides as a login with the same groups does: neither repeating nor logging in changes anything more', async () => {
    const { workspace, connection } = await aWorkspace();
    const { sub } = await levels.logIn(connection, 'e2-ada', ['Dev', 'support']);
    await map(connection, 'Dev -> admin');
    await run(workspace, [sub]);
    expect(await run(workspace, [sub])).toEqual({ examined: 1, changed: 0, unknown: 0 });
    const { memberships } = await levels.logIn(connection, 'e2-ada', ['Dev', 'support']);
    expect(memberships).toMatchObject([{ role: 'admin', groups: ['support'], membership_version: 2 }]);
    expect(await levels.eventsOf(sub, workspace)).toEqual(['membership.created 1', 'membership.updated 2']);
  });

  it.each(['hold', 'treat-as-empty', 'deny'])(
    'R25 leaves members alone whose groups were never known (%s)',
    async (unknownGroups) => {
      const { workspace, connection } = await aWorkspace();
      const nameId = `e3-${unknownGroups}`;
      const { sub } = await levels.logIn(connection, nameId, null);
      await api().put(`/v1/workspaces/${workspace.id}/members/${sub}`, { role: 'builder', groups: [] });
      await map(connection, 'a -> b', { unknown_groups: unknownGroups, no_match: 'deny' });
      expect(await run(workspace, [sub])).toEqual({ examined: 1, changed: 0, unknown: 1 });
      expect(await state(workspace, sub)).toMatchObject({ role: 'builder', status: 'active', version: 2 });
    },
  );

  it('R25 goes by the groups last known when the last login did not tell them', async () => {
    const { workspace, connection } = await aWorkspace();
    const { sub } = await levels.logIn(connection, 'e4-ada', ['Dev']);
    await levels.logIn(connection, 'e4-ada', null);
    await map(connection, 'Dev -> engineers');
    await run(workspace, [sub]);
    expect(await state(workspace, sub)).toMatchObject({ role: 'builder', groups: ['engineers'] });
  });

  it('R25 holds where the claim was renamed: its groups are not known under the new name', async () => {
    const { workspace, connection } = await aWorkspace();
    const { sub } = await levels.logIn(connection, 'e5-ada', ['engineers']);
    await api().patch(`/v1/connections/${connection.id}`, { group_sync: { group_claim: { name: 'teams' } } });
    expect(await run(workspace, [sub])).toEqual({ examined: 1, changed: 0, unknown: 1 });
    expect(await state(workspace, sub)).toMatchObject({ groups: ['engineers'], version: 1 });
  });

  it('R9 goes by the overrides of the workspace', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme, globex]);
    const { sub } = await levels.logIn(connection, 'e6-ada', ['Staff']);
    await api().patch(`/v1/connections/${connection.id}/workspaces/${globex.id}`, { mapping: 'Staff -> builder' });
    expect(await run(acme, [sub])).toMatchObject({ changed: 0 });
    expect(await run(globex, [sub])).toMatchObject({ changed: 1 });
    expect(await state(globex, sub)).toMatchObject({ role: 'builder' });
  });

  it('R12 applies nothing while sync, connection or workspace is switched off', async () => {
    const { workspace, connection } = await aWorkspace();
    const { sub } = await levels.logIn(connection, 'e7-ada', ['Dev']);
    const path = `/v1/connections/${connection.id}`;
    await map(connection, 'Dev -> admin', { enabled: false });
    expect(await run(workspace, [sub])).toMatchObject({ changed: 0 });
    await api().patch(path, { enabled: false, group_sync: { enabled: true } });
    expect(await run(workspace, [sub])).toMatchObject({ changed: 0, unknown: 1 });
    await api().patch(path, { enabled: true });
    expect(await run(workspace, [sub])).toMatchObject({ changed: 1, unknown: 0 });
  });

  it('R22 ends memberships by the policy deny, and does not bring back those that have ended', async () => {
    const { workspace, connection } = await aWorkspace();
    const { sub } = await levels.logIn(connection, 'e8-ada', ['Dev']);
    await map(connection, 'x -> admin', { no_match: 'deny' });
    await run(workspace, [sub]);
    expect(await state(workspace, sub)).toMatchObject({ status: 'removed', version: 2 });
    await map(connection, 'Dev -> admin');
    expect(await run(workspace, [sub])).toEqual({ examined: 0, changed: 0, unknown: 0 });
    expect(await levels.logIn(connection, 'e8-ada', ['Dev'])).toMatchObject({ memberships: [{ membership_version: 3 }] });
  });

  it('R30 keeps one admin when all would lose the role, and says so; switched off it does not', async () => {
    const { workspace, connection } = await aWorkspace();
    const people = [];
    for (const name of ['e9-a', 'e9-b', 'e9-c']) people.push((await levels.logIn(connection, name, ['Boss'])).sub);
    await map(connection, 'Boss -> admin');
    await run(workspace, people);
    await map(connection, 'Boss -> builder');
    await run(workspace, people);
    const roles = await Promise.all(people.map(async (each) => (await state(workspace, each)).role));
    expect([...roles].sort()).toEqual(['admin', 'builder', 'builder']);
    const held = (await levels.events(workspace)).filter(({ type }) => type === 'sync.held');
    expect(held).toMatchObject([{ data: { reason: 'last_admin', user: { id: people[roles.indexOf('admin')] } } }]);
    await map(connection, 'Boss -> builder', { keep_last_admin: false });
    await run(workspace, people);
    for (const each of people) expect(await state(workspace, each)).toMatchObject({ role: 'builder' });
  });

  it('R27 overwrites what was done by hand, or leaves it, as the mode says', async () => {
    const { workspace, connection } = await aWorkspace();
    const { sub } = await levels.logIn(connection, 'e10-ada', ['Dev']);
    const byHand = { role: 'builder', groups: [workspace.groups.support] };
    const member = `/v1/workspaces/${workspace.id}/members/${sub}`;
    await api().put(member, byHand);
    await map(connection, 'x -> admin', { mode: 'managed-only' });
    expect(await run(workspace, [sub])).toMatchObject({ changed: 0 });
    expect(await state(workspace, sub)).toMatchObject({ role: 'builder', groups: ['support'] });
    await map(connection, 'x -> admin', { mode: 'authoritative' });
    await run(workspace, [sub]);
    expect(await state(workspace, sub)).toMatchObject({ role: 'end-user', groups: [] });
  });

  it('R28 and logins of the same people at the same time end in one state with consecutive versions', async () => {
    const { workspace, connection } = await aWorkspace();
    const names = Array.from({ length: 6 }, (_, index) => `e11-${index}`);
    const people: string[] = [];
    for (const name of names) people.push((await levels.logIn(connection, name, ['Dev', 'admin'])).sub);
    await map(connection, 'Dev -> engineers');
    await Promise.all([
      run(workspace, people),
      ...names.map((name) => levels.logIn(connection, name, ['Dev'])),
      run(workspace, [...people].reverse()),
    ]);
    for (const each of people) {
      const versions = (await levels.eventsOf(each, workspace))
        .filter((event) => event.startsWith('membership.'))
        .map((event) => Number(event.split(' ')[1]));
      expect(versions).toEqual(versions.map((_, index) => index + 1));
      expect(await state(workspace, each)).toMatchObject({ groups: ['engineers'], version: versions.length });
    }
  });

  it('passes over people who are not members, and works in several batches', async () => {
    const { workspace, connection } = await aWorkspace();
    const { db } = levels.world.stores;
    const { rows } = await db.raw<{ rows: { user_id: string }[] }>(
      `WITH people AS (INSERT INTO users (user_id, name) SELECT gen_random_uuid(), 'e12' FROM generate_series(1, 1100) RETURNING user_id),
            known AS (INSERT INTO identities (connection_id, subject, issuer, user_id, last_groups)
                      SELECT :connection, user_id, 'https://idp.example.com', user_id, '{"groups": ["Dev"]}' FROM people)
       INSERT INTO memberships (workspace_id, user_id, role) SELECT :workspace, user_id, 'end-user' FROM people RETURNING user_id`,
      { connection: connection.id, workspace: workspace.id },
    );
    const people = rows.map(({ user_id }) => user_id);
    const { sub: stranger } = await levels.logIn(await levels.connect({ workspace: (await levels.workspace()).id }), 'e12-x', []);
    await map(connection, 'Dev -> builder');
    expect(await run(workspace, [...people, stranger])).toEqual({ examined: 1100, changed: 1100, unknown: 0 });
    const told = (await levels.events(workspace)).filter(({ type }) => type === 'membership.updated');
    expect(new Set(told.map(({ data }) => data.user.id))).toEqual(new Set(people));
    expect(told).toHaveLength(1100);
  });
});
