import { beforeEach, describe, expect, it } from 'vitest';
import { useApi } from '../../support/api-world.ts';
import { samlProtocol } from '../../support/connection-world.ts';
import { accessIn, loginsOn, membershipEvents } from '../../support/plan-world.ts';

const api = useApi();
let connectionId = '';
let logIn: ReturnType<typeof loginsOn>;

beforeEach(async () => {
  await api.put(`/v1/workspaces/${api.acme}/app-groups`, {
    groups: [{ name: 'engineers', requires_role: 'builder' }, { name: 'support' }, { name: 'sales' }],
  });
  const made = await api.post('/v1/connections', {
    workspace: api.acme,
    display_name: 'Okta',
    protocol: samlProtocol,
    group_sync: { enabled: true, mapping: 'Eng -> engineers, Help -> support, Boss -> admin' },
  });
  connectionId = made.body.connection_id;
  logIn = loginsOn(api.database.db);
  await logIn(connectionId, 'ann', ['Boss', 'Eng']);
  await logIn(connectionId, 'bob', ['Eng']);
  await logIn(connectionId, 'cid', ['Help']);
  await logIn(connectionId, 'dan', ['Help']);
  await logIn(connectionId, 'eve', ['Help', 'Sales Team']);
});

const mappingChange = (mapping: string) => ({ kind: 'connection', connection_id: connectionId, group_sync: { mapping } });
const plan = async (change: object) => {
  const answer = await api.post('/v1/plans', { change });
  expect(answer.status, JSON.stringify(answer.body)).toBe(201);
  return answer.body;
};
const apply = (made: { plan_id: string; hash: string }, more: object = {}) =>
  api.post(`/v1/plans/${made.plan_id}/apply`, { hash: made.hash, ...more });
const access = () => accessIn(api.database.db, api.acme);
const gainsOnly = 'Eng -> engineers, Help -> support, Boss -> admin, Sales Team -> sales';

describe('R39 a plan', () => {
  it('R39 says who gains and who loses, which admins and how many seats, and changes nothing', async () => {
    const before = await access();
    const made = await plan(mappingChange('Eng -> support, Help -> builder, Sales Team -> sales'));
    expect(made).toMatchObject({
      status: 'ready',
      workspace_id: api.acme,
      summary: {
        examined: 5,
        members: 5,
        changed: 5,
        created: 0,
        removed: 0,
        unknown: 0,
        admins: { before: 1, after: 1, gaining: 0, losing: 0, kept: 1 },
        seats: { before: 5, after: 5 },
        loss_threshold_percent: 20,
        needs_force: true,
      },
    });
    const { body } = await api.get(`/v1/plans/${made.plan_id}/members`);
    const rows = Object.fromEntries(
      body.data.map((row: { user: { name: string }; role: object; added: { name: string }[]; removed: { name: string }[] }) => [
        row.user.name,
        { role: row.role, added: row.added.map(({ name }) => name), removed: row.removed.map(({ name }) => name) },
      ]),
    );
    expect(rows).toEqual({
      ann: { role: { before: 'admin', after: 'admin' }, added: ['support'], removed: ['engineers'] },
      bob: { role: { before: 'builder', after: 'end-user' }, added: ['support'], removed: ['engineers'] },
      cid: { role: { before: 'end-user', after: 'builder' }, added: [], removed: ['support'] },
      dan: { role: { before: 'end-user', after: 'builder' }, added: [], removed: ['support'] },
      eve: { role: { before: 'end-user', after: 'builder' }, added: ['sales'], removed: ['support'] },
    });
    const admins = await api.get(`/v1/plans/${made.plan_id}/members?admins=true`);
    expect(admins.body.data).toMatchObject([{ user: { name: 'ann' }, admin: 'kept' }]);
    expect(await access()).toEqual(before);
  });

  it('R39 pages through its rows by cursor, all of them or only who loses', async () => {
    const made = await plan(mappingChange('Eng -> engineers, Help -> builder, Boss -> admin, Sales Team -> sales'));
    const first = await api.get(`/v1/plans/${made.plan_id}/members?limit=2&effect=loses`);
    const second = await api.get(`/v1/plans/${made.plan_id}/members?limit=2&effect=loses&after=${first.body.next_cursor}`);
    const names = [...first.body.data, ...second.body.data].map(({ user }) => user.name);
    expect(names.sort()).toEqual(['cid', 'dan', 'eve']);
    expect(second.body.next_cursor).toBeNull();
    const list = await api.get('/v1/plans');
    expect(list.body.data).toMatchObject([{ plan_id: made.plan_id }]);
  });

  it('R39 counts members whose groups are not known as unknown, and takes nothing from them', async () => {
    const made = await plan({
      kind: 'connection',
      connection_id: connectionId,
      group_sync: { group_claim: { name: 'roles' }, no_match: 'deny', unknown_groups: 'treat-as-empty' },
    });
    expect(made.summary).toMatchObject({ examined: 5, unknown: 5, changed: 0, losing: 0 });
  });

  it('R39 refuses a change that the API would refuse, with its fields, and an accepted twin is planned', async () => {
    const refused = await api.post('/v1/plans', { change: mappingChange('Eng => engineers') });
    expect(refused.status).toBe(422);
    expect(refused.body.errors[0].path).toMatch(/^change\.group_sync\.mapping/);
    const unknown = await api.post('/v1/plans', { change: { ...mappingChange('Eng -> engineers'), colour: 'red' } });
    expect(unknown.status).toBe(422);
    expect(unknown.body.errors).toMatchObject([{ path: 'change.colour' }]);
    expect((await api.post('/v1/plans', { change: mappingChange('Eng -> engineers') })).status).toBe(201);
  });

  it("R13 another workspace's key sees neither the connection nor the plan, the own one both", async () => {
    const change = mappingChange(gainsOnly);
    expect((await api.post('/v1/plans', { change }, api.keys.globex)).status).toBe(404);
    const made = await api.post('/v1/plans', { change }, api.keys.acme);
    expect(made.status).toBe(201);
    expect((await api.get(`/v1/plans/${made.body.plan_id}`, api.keys.globex)).status).toBe(404);
    expect((await api.get(`/v1/plans/${made.body.plan_id}`, api.keys.acme)).status).toBe(200);
    expect((await api.get('/v1/plans', api.keys.globex)).body.data).toEqual([]);
    const applied = await api.post(`/v1/plans/${made.body.plan_id}/apply`, { hash: made.body.hash }, api.keys.globex);
    expect(applied.status).toBe(404);
    expect((await api.post('/v1/plans', { change }, api.keys.readOnly)).status).toBe(403);
  });
});

describe('R39 apply', () => {
  it('R39 makes the change and re-evaluates everyone at once, each event once, with the plan as cause', async () => {
    const made = await plan(mappingChange(gainsOnly));
    expect(made.summary).toMatchObject({ changed: 1, gaining: 1, losing: 0, needs_force: false });
    const known = (await membershipEvents(api.database.db)).length;
    const applied = await apply(made);
    expect(applied.status).toBe(200);
    expect(applied.body).toMatchObject({ status: 'applied', progress: { examined: 5, changed: 1, total: 5 } });
    expect(await access()).toMatchObject({ eve: 'end-user sales support', ann: 'admin engineers' });
    const told = { type: 'membership.updated', user: 'eve@example.com', version: 2, cause: 'plan' };
    expect((await membershipEvents(api.database.db)).slice(known)).toEqual([told]);
    expect((await apply(made)).status).toBe(200);
    expect((await membershipEvents(api.database.db)).slice(known)).toEqual([told]);
    const connection = await api.get(`/v1/connections/${connectionId}`);
    expect(connection.body.mapping_text).toContain('Sales Team');
    const login = await logIn(connectionId, 'eve', ['Help', 'Sales Team']);
    expect(login.changed).toBe(false);
  });

  it('R39 is refused with what moved when the connection, the catalogue, a membership or the groups moved', async () => {
    const moves: [string, () => Promise<unknown>][] = [
      [`connections.${connectionId}`, () => api.patch(`/v1/connections/${connectionId}`, { display_name: 'Okta 2' })],
      [
        `workspaces.${api.acme}.app_groups`,
        () => api.put(`/v1/workspaces/${api.acme}/app-groups`, { groups: [{ name: 'finance' }] }),
      ],
      ['last_groups', () => logIn(connectionId, 'cid', ['Help', 'Something'])],
      ['memberships', () => logIn(connectionId, 'dan', ['Eng'])],
    ];
    for (const [path, move] of moves) {
      const made = await plan(mappingChange(gainsOnly));
      await move();
      const refused = await apply(made, { force: true });
      expect(refused.status).toBe(409);
      expect(refused.body.reason).toBe('plan_stale');
      expect(refused.body.errors.map((each: { path: string }) => each.path)).toContain(path);
    }
    const before = await access();
    expect(before.eve).toBe('end-user support');
    expect((await apply(await plan(mappingChange(gainsOnly)))).status).toBe(200);
  });

  it('R39 is refused when a connection moved that it would leave as it is', async () => {
    const same = mappingChange('Eng -> engineers, Help -> support, Boss -> admin');
    const made = await plan(same);
    expect(made.summary).toMatchObject({ examined: 0, changed: 0 });
    await api.patch(`/v1/connections/${connectionId}`, { group_sync: { mapping: { rules: [] } } });
    const refused = await apply(made);
    expect(refused.body).toMatchObject({ reason: 'plan_stale', errors: [{ path: `connections.${connectionId}` }] });
    const connection = await api.get(`/v1/connections/${connectionId}`);
    expect(connection.body.group_sync.mapping.rules).toEqual([]);
  });

  it('R39 refuses a plan whose evaluation died with its process, and forgets whom old plans were about', async () => {
    const made = await plan(mappingChange(gainsOnly));
    const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000);
    const row = api.database.db('plans').where({ plan_id: made.plan_id });
    await row.clone().update({ status: 'evaluating', created_at: minutesAgo(14) });
    expect((await apply(made)).body.reason).toBe('plan_not_ready');
    await row.clone().update({ created_at: minutesAgo(16) });
    expect((await api.get(`/v1/plans/${made.plan_id}`)).body.status).toBe('failed');
    await row.clone().update({ created_at: minutesAgo(31 * 24 * 60) });
    const next = await plan(mappingChange(gainsOnly));
    expect((await api.get(`/v1/plans/${made.plan_id}/members`)).body.data).toEqual([]);
    expect((await api.get(`/v1/plans/${next.plan_id}/members`)).body.data).toHaveLength(1);
  });

  it('R39 stays good while people log in with the groups that they had', async () => {
    const made = await plan(mappingChange(gainsOnly));
    await logIn(connectionId, 'eve', ['Help', 'Sales Team']);
    expect((await apply(made)).status).toBe(200);
  });

  it('R39 is refused with another hash, and carried out with the right one', async () => {
    const made = await plan(mappingChange(gainsOnly));
    const refused = await apply({ ...made, hash: 'x'.repeat(43) });
    expect(refused.status).toBe(409);
    expect(refused.body.reason).toBe('plan_hash_mismatch');
    expect((await apply(made)).status).toBe(200);
  });

  it('R39 is refused above the loss threshold without force, and carried out with it', async () => {
    const made = await plan(mappingChange('Eng -> engineers, Boss -> admin'));
    expect(made.summary).toMatchObject({ losing: 3, loss_percent: 60, needs_force: true });
    const refused = await apply(made);
    expect(refused.status).toBe(409);
    expect(refused.body.reason).toBe('plan_loss_threshold');
    expect(refused.body.errors).toMatchObject([{ path: 'force' }]);
    expect(await access()).toMatchObject({ cid: 'end-user support' });
    expect((await apply(made, { force: true })).status).toBe(200);
    expect(await access()).toMatchObject({ cid: 'end-user', dan: 'end-user', eve: 'end-user', bob: 'builder engineers' });
  });

  it('R39 takes exactly the threshold without force', async () => {
    const made = await plan(mappingChange('Eng -> engineers, Help -> support, Boss -> end-user'));
    expect(made.summary).toMatchObject({ loss_percent: 0, admins: { kept: 1 } });
    await logIn(connectionId, 'bob', ['Nothing']);
    const one = await plan(mappingChange('Boss -> admin, Eng -> support, Help -> support'));
    expect(one.summary).toMatchObject({ losing: 1, loss_percent: 20, needs_force: false });
    expect((await apply(one)).status).toBe(200);
  });

  it('R30 R39 keeps the last admin, and lets the role go where somebody else gains it', async () => {
    const kept = await plan(mappingChange('Eng -> engineers, Help -> support'));
    expect((await apply(kept, { force: true })).status).toBe(200);
    expect((await access()).ann).toBe('admin engineers');
    const handed = await plan(mappingChange('Eng -> engineers, Help -> admin'));
    expect(handed.summary.admins).toEqual({ before: 1, after: 3, gaining: 3, losing: 1, kept: 0 });
    expect((await apply(handed, { force: true })).status).toBe(200);
    expect(await access()).toMatchObject({ ann: 'builder engineers', cid: 'admin', dan: 'admin', eve: 'admin' });
  });

  it('R22 R39 removes and restores access as a login would', async () => {
    const strict = {
      kind: 'connection',
      connection_id: connectionId,
      group_sync: { no_match: 'deny', mapping: 'Eng -> engineers, Boss -> admin' },
    };
    const made = await plan(strict);
    expect(made.summary).toMatchObject({ removed: 3, seats: { before: 5, after: 2 } });
    expect((await apply(made, { force: true })).status).toBe(200);
    expect(await access()).toMatchObject({ cid: 'none', dan: 'none', eve: 'none' });
    const back = await plan({ ...strict, group_sync: { no_match: 'fallback' } });
    expect(back.summary).toMatchObject({ created: 3, gaining: 3, losing: 0, seats: { before: 2, after: 5 } });
    expect((await apply(back)).status).toBe(200);
    expect(await access()).toMatchObject({ cid: 'end-user', dan: 'end-user', eve: 'end-user' });
  });
});

describe('R39 a plan of the catalogue', () => {
  const groupId = async (name: string) => {
    const { body } = await api.get(`/v1/workspaces/${api.acme}/app-groups`);
    return body.data.find((group: { name: string }) => group.name === name).group_id as string;
  };

  it('R39 raises roles where a group requires more, and renames without a change of members', async () => {
    const change = {
      kind: 'catalogue',
      workspace: 'acme',
      upsert: [{ group_id: await groupId('support'), name: 'helpdesk', requires_role: 'builder' }],
    };
    const made = await plan(change);
    expect(made.summary).toMatchObject({ losing: 3 });
    const renamed = await plan({
      ...change,
      upsert: [{ group_id: await groupId('support'), name: 'support', requires_role: 'builder' }],
    });
    expect(renamed.summary).toMatchObject({ changed: 3, gaining: 3, losing: 0 });
    expect((await apply(renamed)).status).toBe(200);
    expect(await access()).toMatchObject({ cid: 'builder support', dan: 'builder support' });
  });

  it('R39 deletes a group after its members lost it, with an event that names it', async () => {
    const gone = await groupId('engineers');
    const made = await plan({ kind: 'catalogue', workspace: api.acme, delete: [gone] });
    expect(made.summary).toMatchObject({ losing: 2, changed: 2 });
    const known = (await membershipEvents(api.database.db)).length;
    expect((await apply(made, { force: true })).status).toBe(200);
    expect(await access()).toMatchObject({ ann: 'admin', bob: 'end-user' });
    expect((await membershipEvents(api.database.db)).slice(known)).toHaveLength(2);
    const { rows } = await api.database.db.raw(
      `SELECT payload->'data'->'removed'->0->>'name' AS name FROM events WHERE payload->'data'->'cause'->>'kind' = 'plan'`,
    );
    expect(rows).toEqual([{ name: 'engineers' }, { name: 'engineers' }]);
    expect(await api.database.db('app_groups').where({ group_id: gone })).toEqual([]);
    const again = await api.post('/v1/plans', { change: { kind: 'catalogue', workspace: api.acme, delete: [gone] } });
    expect(again.body.errors).toMatchObject([{ path: 'change.delete.0' }]);
  });
});
