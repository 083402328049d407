import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProblemBody, TestWorkspace } from '../../support/broker-api.ts';
import type { SamlConnection } from '../../support/broker-login.ts';
import { type LevelsWorld, refusal, rolesIn, type SyncListBody, startLevelsWorld } from '../../support/levels-world.ts';

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

describe('removing a workspace from the list', () => {
  it('R10 warns first of who would lose what, and changes nothing by that', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace({ engineers: null })];
    const connection = await levels.instanceConnection([acme, globex]);
    const { sub: ada } = await levels.logIn(connection, 'r10-ada', ['admin', 'engineers']);
    const { sub: bob } = await levels.logIn(connection, 'r10-bob', []);
    const { confirmation } = await levels.warning(entry(connection, globex));
    expect(confirmation.impact).toEqual({
      members: 2,
      by_role: { admin: 1, 'end-user': 1 },
      first_members: [
        { user_id: ada, role: 'admin', groups: ['engineers'] },
        { user_id: bob, role: 'end-user', groups: [] },
      ].sort((a, b) => (a.user_id < b.user_id ? -1 : 1)),
    });
    expect((await read(connection, globex)).enabled).toBe(true);
    expect(await levels.eventsOf(ada, globex)).toEqual(['membership.created 1']);
  });

  it('R10 removes on confirmation, with the members’ events, and leaves other workspaces alone', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace({ engineers: null })];
    const connection = await levels.instanceConnection([acme, globex]);
    const { sub } = await levels.logIn(connection, 'r10-carol', ['engineers']);
    await levels.confirmed(entry(connection, globex));
    expect((await call('GET', entry(connection, globex))).status).toBe(404);
    expect(await levels.eventsOf(sub, globex)).toEqual(['membership.created 1', 'membership.removed 2']);
    expect(await levels.eventsOf(sub, acme)).toEqual(['membership.created 1']);
    const [removed] = (await levels.events(globex)).slice(-1);
    expect(removed?.data).toMatchObject({
      removed: [{ name: 'engineers' }],
      cause: { kind: 'api', connection_id: connection.id },
    });
    expect(rolesIn(await levels.logIn(connection, 'r10-carol', ['engineers']))).toEqual({ [acme.slug]: 'end-user' });
    // Added again, the member comes back and the version goes on.
    await api().post(list(connection), { workspace: globex.id });
    const { memberships } = await levels.logIn(connection, 'r10-carol', []);
    expect(memberships.find(({ workspace }) => workspace === globex.slug)?.membership_version).toBe(3);
  });

  it('R10 a token holds for the state that was shown only', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme, globex]);
    await levels.logIn(connection, 'r10-dan', []);
    const { confirmation } = await levels.warning(entry(connection, globex));
    await levels.logIn(connection, 'r10-eve', []);
    const stale = await call('DELETE', `${entry(connection, globex)}?confirm=${confirmation.token}`);
    expect(refusal(stale)).toEqual([409, 'state_moved', 'confirm']);
    expect(stale.body).toMatchObject({ confirmation: { impact: { members: 2 } } });
    const guess = await call('DELETE', `${entry(connection, globex)}?confirm=yes`);
    expect(guess.status).toBe(409);
    // A token of one workspace is worth nothing for another.
    const fresh = (stale.body as unknown as { confirmation: { token: string } }).confirmation.token;
    expect((await call('DELETE', `${entry(connection, acme)}?default_workspace=${globex.id}&confirm=${fresh}`)).status).toBe(409);
    expect((await call('DELETE', `${entry(connection, globex)}?confirm=${fresh}`)).status).toBe(204);
  });

  it('R10 members whom another connection brought stay', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme, globex]);
    const own = await levels.connect({ workspace: globex.id });
    const { sub: stays } = await levels.logIn(own, 'r10-frank', ['admin']);
    const { sub: goes } = await levels.logIn(connection, 'r10-grace', ['builder']);
    const { confirmation } = await levels.confirmed(entry(connection, globex));
    expect(confirmation.impact).toMatchObject({ members: 1, first_members: [{ user_id: goes }] });
    expect(await api().explain(globex.id, stays)).toMatchObject({ status: 'active', version: 1 });
    expect(await api().explain(globex.id, goes)).toMatchObject({ status: 'removed', version: 2 });
  });

  it('R7 the default one needs a successor that is listed, enabled and inherits', async () => {
    const [acme, globex, initech] = [await levels.workspace(), await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme, globex]);
    const remove = (query = '') => call('DELETE', `${entry(connection, acme)}${query}`);
    expect(refusal(await remove())).toEqual([409, 'default_workspace', 'default_workspace']);
    expect(refusal(await remove(`?default_workspace=${initech.id}`))).toEqual([409, 'successor_not_listed', 'default_workspace']);
    expect(refusal(await remove(`?default_workspace=${acme.id}`))).toEqual([409, 'successor_not_listed', 'default_workspace']);
    await api().patch(entry(connection, globex), { claim_name: 'teams' });
    expect(refusal(await remove(`?default_workspace=${globex.slug}`))).toEqual([409, 'successor_overrides', 'default_workspace']);
    await api().post(`${entry(connection, globex)}/reset`, {});
    await levels.confirmed(`${entry(connection, acme)}?default_workspace=${globex.slug}`);
    expect(await read(connection, globex)).toMatchObject({ is_default: true });
  });

  it('R11 the last enabled one stays, whatever is switched off beside it', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme, globex]);
    await api().patch(entry(connection, acme), { enabled: false });
    const last = await call('DELETE', entry(connection, globex));
    expect(refusal(last)).toEqual([409, 'last_enabled_workspace', 'workspace']);
    await api().patch(entry(connection, acme), { enabled: true });
    await levels.confirmed(entry(connection, globex));
  });

  it('R10 cannot be done silently through the connection’s own document', async () => {
    const [acme, globex] = [await levels.workspace(), await levels.workspace()];
    const connection = await levels.instanceConnection([acme, globex]);
    const shrink = () =>
      call('PATCH', `/v1/connections/${connection.id}`, { sync_list: [{ workspace: acme.id, is_default: true }] });
    await levels.logIn(connection, 'r10-heidi', []);
    expect(refusal(await shrink())).toEqual([409, 'removal_unconfirmed', 'sync_list']);
    expect((await read(connection, globex)).enabled).toBe(true);
    await levels.confirmed(entry(connection, globex));
    expect((await shrink()).status).toBe(200);
  });
});
