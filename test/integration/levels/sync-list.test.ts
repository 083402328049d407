import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProblemBody, TestWorkspace } from '../../support/broker-api.ts';
import { connectOidc } from '../../support/broker-connections.ts';
import { beginLogin, logInByOidc, logInBySaml, type SamlConnection } from '../../support/broker-login.ts';
import { type LevelsWorld, refusal, rolesIn, type SyncListBody, startLevelsWorld } from '../../support/levels-world.ts';
import { startOidcIdp } from '../../support/oidc-idp.ts';

let levels: LevelsWorld;

beforeAll(async () => {
  levels = await startLevelsWorld();
});
afterAll(() => levels?.stop());

const api = () => levels.world.api;
const list = ({ id }: SamlConnection) => `/v1/connections/${id}/workspaces`;
const entry = (connection: SamlConnection, { id }: TestWorkspace) => `${list(connection)}/${id}`;
const read = (connection: SamlConnection, workspace: TestWorkspace) => api().get<SyncListBody>(entry(connection, workspace));
const call = (method: string, path: string, body?: unknown) => api().call<ProblemBody>(method, path, body);

describe('a connection of the instance', () => {
  it('R3 R4 by SAML: one login without a workspace carries the memberships of all that it syncs', async () => {
    const [acme, globex] = [await levels.workspace({ engineers: 'builder' }), await levels.workspace()];
    const connection = await levels.instanceConnection([acme, globex], { fields: { is_default: true } });
    // The app names neither workspace nor connection, and gets to the IdP.
    const begun = await beginLogin(levels.world);
    expect(begun.visit.leadsTo).toContain('/sso?');
    const tokens = await levels.logIn(connection, 'r4-ada', ['engineers']);
    expect(rolesIn(tokens)).toEqual({ [acme.slug]: 'builder', [globex.slug]: 'end-user' });
  });

  it('R3 R4 the same by OpenID Connect', async () => {
    const [acme, globex] = [await levels.workspace({ engineers: 'builder' }), await levels.workspace()];
    const idp = await startOidcIdp();
    const connection = await connectOidc(levels.world, idp, {
      fields: { sync_list: [{ workspace: acme.id, is_default: true }, { workspace: globex.id }] },
    });
    const tokens = await logInByOidc(levels.world, connection, { sub: 'r4-bob', claims: { groups: ['engineers', 'admin'] } });
    expect(rolesIn(tokens)).toEqual({ [acme.slug]: 'admin', [globex.slug]: 'admin' });
    await idp.stop();
  });

  it('R5 its settings apply to one default workspace by themselves, and to no other that is not on the list', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.connect({ groupSync: { mapping: 'Staff -> builder' } });
    const added = await api().post<SyncListBody>(list(connection), { workspace: acme.slug });
    expect(added).toMatchObject({ workspace_id: acme.id, is_default: true, enabled: true });
    const tokens = await levels.logIn(connection, 'r5-ada', ['Staff']);
    expect(rolesIn(tokens)).toEqual({ [acme.slug]: 'builder' });
    expect((await call('GET', entry(connection, globex))).status).toBe(404);
  });

  it('R5 the default moves to another workspace that is enabled, and cannot just be given up', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme, globex]);
    expect(refusal(await call('PATCH', entry(connection, acme), { is_default: false }))).toEqual([422, null, 'is_default']);
    await api().patch(entry(connection, globex), { enabled: false });
    const disabled = await call('PATCH', entry(connection, globex), { is_default: true });
    expect(refusal(disabled)).toEqual([409, 'default_disabled', 'is_default']);
    await api().patch(entry(connection, globex), { enabled: true, is_default: true });
    const entries = await api().get<{ data: SyncListBody[] }>(list(connection));
    expect(entries.data.filter(({ is_default }) => is_default).map(({ workspace_id }) => workspace_id)).toEqual([globex.id]);
  });

  it('R6 R11 the default workspace is switched off only while another one stays enabled', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme]);
    const alone = await call('PATCH', entry(connection, acme), { enabled: false });
    expect(refusal(alone)).toEqual([409, 'last_enabled_workspace', 'enabled']);
    expect(alone.body.errors?.[0]?.message).toContain('at least one workspace stays enabled');
    await api().post(list(connection), { workspace: globex.id });
    expect(await api().patch(entry(connection, acme), { enabled: false })).toMatchObject({ enabled: false, is_default: true });
    expect(rolesIn(await levels.logIn(connection, 'r6-ada', ['admin']))).toEqual({ [globex.slug]: 'admin' });
    const last = await call('PATCH', entry(connection, globex), { enabled: false });
    expect(refusal(last)).toEqual([409, 'last_enabled_workspace', 'enabled']);
  });

  it('R6 R11 of two who switch off the last two workspaces at once exactly one succeeds', async () => {
    const pair = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection(pair);
    const answers = await Promise.all(pair.map((each) => call('PATCH', entry(connection, each), { enabled: false })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
  });

  it('R8 a workspace that is added inherits claim name and mapping, also what they become later', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace({ support: null })];
    const connection = await levels.instanceConnection([acme], { groupSync: { mapping: 'Desk -> support' } });
    const { headers, status } = await call('POST', list(connection), { workspace: globex.id });
    expect([status, headers.get('location')]).toEqual([201, entry(connection, globex)]);
    expect(await read(connection, globex)).toMatchObject({
      is_default: false,
      claim_name: { value: 'groups', source: 'inherited', instance_value: 'groups', drift: false },
      mapping: { value: { text: 'Desk -> support' }, source: 'inherited', drift: false },
    });
    await api().patch(`/v1/connections/${connection.id}`, { group_sync: { mapping: { rules: 'Help -> support' } } });
    expect(await read(connection, globex)).toMatchObject({ mapping: { value: { text: 'Help -> support' } } });
    const { memberships } = await levels.logIn(connection, 'r8-ada', ['Help']);
    expect(memberships.find(({ workspace }) => workspace === globex.slug)).toMatchObject({ groups: ['support'] });
    expect(refusal(await call('POST', list(connection), { workspace: globex.id }))).toEqual([409, 'already_listed', 'workspace']);
    expect(refusal(await call('POST', list(connection), { workspace: 'nowhere' }))).toEqual([422, null, 'workspace']);
  });

  it('R9 overrides one field for one workspace, shows drift, and resets field by field', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme, globex], { groupSync: { mapping: 'Staff -> builder' } });
    await api().patch(entry(connection, globex), { mapping: 'Staff -> admin' });
    expect(await read(connection, globex)).toMatchObject({
      claim_name: { source: 'inherited' },
      mapping: {
        value: { text: 'Staff -> admin' },
        source: 'overridden',
        instance_value: { text: 'Staff -> builder' },
        drift: true,
      },
    });
    expect(rolesIn(await levels.logIn(connection, 'r9-ada', ['Staff']))).toEqual({
      [acme.slug]: 'builder',
      [globex.slug]: 'admin',
    });
    // The same value as the instance's is an override without drift: it stays when the instance moves on.
    await api().patch(entry(connection, globex), { mapping: 'Staff -> builder', claim_name: 'departments' });
    expect(await read(connection, globex)).toMatchObject({
      claim_name: { value: 'departments', source: 'overridden', instance_value: 'groups', drift: true },
      mapping: { source: 'overridden', drift: false },
    });
    const reset = await api().post<SyncListBody>(`${entry(connection, globex)}/reset`, { fields: ['mapping'] });
    expect(reset).toMatchObject({ claim_name: { source: 'overridden' }, mapping: { source: 'inherited', drift: false } });
    const all = await api().post<SyncListBody>(`${entry(connection, globex)}/reset`, {});
    expect(all).toMatchObject({ claim_name: { value: 'groups', source: 'inherited' } });
    const odd = await call('POST', `${entry(connection, globex)}/reset`, { fields: ['enabled'] });
    expect(refusal(odd)).toEqual([422, null, 'fields.0']);
    const syntax = await call('PATCH', entry(connection, globex), { mapping: 'Staff ->', colour: 'red' });
    expect(refusal(syntax)).toEqual([422, null, 'mapping.rules', 'colour']);
  });

  it('R9 a claim name of its own reads another claim for that workspace only', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme, globex]);
    await api().patch(entry(connection, globex), { claim_name: 'teams' });
    const { world } = levels;
    const person = { nameId: 'r9-bob', groups: ['builder'], attributes: { teams: ['admin'] } };
    expect(rolesIn(await logInBySaml(world, connection, person))).toEqual({ [acme.slug]: 'builder', [globex.slug]: 'admin' });
  });

  it('R12 a workspace that is switched off keeps its settings and members; on again all is as it was', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme, globex]);
    await api().patch(entry(connection, globex), { mapping: 'Staff -> admin' });
    const { sub } = await levels.logIn(connection, 'r12-ada', ['Staff']);
    await api().patch(entry(connection, globex), { enabled: false });
    expect(await read(connection, globex)).toMatchObject({ enabled: false, mapping: { value: { text: 'Staff -> admin' } } });
    await levels.logIn(connection, 'r12-ada', ['nothing']);
    expect(await api().explain(globex.id, sub)).toMatchObject({ role: 'admin', status: 'active', version: 1 });
    await api().patch(entry(connection, globex), { enabled: true });
    expect(await read(connection, globex)).toMatchObject({
      mapping: { source: 'overridden', value: { text: 'Staff -> admin' } },
    });
  });

  it('R12 group sync is off by default, applies nothing while off, and comes back as it was', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme, globex], {
      groupSync: { enabled: undefined, mapping: 'Staff -> admin' },
    });
    const path = `/v1/connections/${connection.id}`;
    const settings = async () => (await api().get<{ group_sync: object }>(path)).group_sync;
    expect(await settings()).toMatchObject({ enabled: false });
    expect(rolesIn(await levels.logIn(connection, 'r12-bob', ['Staff']))).toEqual({ [acme.slug]: 'end-user' });
    const off = await settings();
    await api().patch(path, { group_sync: { enabled: true } });
    expect(rolesIn(await levels.logIn(connection, 'r12-bob', ['Staff']))).toEqual({
      [acme.slug]: 'admin',
      [globex.slug]: 'admin',
    });
    await api().patch(path, { group_sync: { enabled: false } });
    expect(await settings()).toEqual(off);
    await levels.logIn(connection, 'r12-bob', []);
    const { sub } = await levels.logIn(connection, 'r12-bob', []);
    expect(await api().explain(acme.id, sub)).toMatchObject({ role: 'admin' });
  });
});

describe('R13 a key of one workspace', () => {
  it('finds no connection of the instance and no list of it, its own workspace being on it or not', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme, globex]);
    const own = await levels.apiOf(acme);
    const tries: [string, string, object?][] = [
      ['GET', list(connection)],
      ['POST', list(connection), { workspace: acme.id }],
      ['GET', entry(connection, acme)],
      ['PATCH', entry(connection, acme), { enabled: false }],
      ['POST', `${entry(connection, acme)}/reset`, {}],
      ['DELETE', entry(connection, globex)],
    ];
    for (const [method, path, body] of tries) expect((await own.call(method, path, body)).status, `${method} ${path}`).toBe(404);
    expect((await own.call('GET', `/v1/workspaces/${acme.id}`)).status).toBe(200);
    expect((await read(connection, acme)).enabled).toBe(true);
  });

  it('a connection of a workspace has no list', async () => {
    const acme = await levels.workspace();
    const connection = await levels.connect({ workspace: acme.id });
    expect((await call('GET', list(connection))).status).toBe(404);
    expect((await call('POST', list(connection), { workspace: acme.id })).status).toBe(404);
  });
});
