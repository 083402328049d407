import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { TestWorkspace } from '../../support/broker-api.ts';
import type { AppTokens } from '../../support/broker-app.ts';
import { connectSaml } from '../../support/broker-connections.ts';
import { eventsOf, expectRefusal, tellApp } from '../../support/broker-evidence.ts';
import { answerSaml, beginLogin, beginSamlLogin, logInBySaml, redeem, type SamlConnection } from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';

let world: BrokerWorld;
let acme: TestWorkspace;
let saml: SamlConnection;

beforeAll(async () => {
  const idp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  world = await startBrokerWorld();
  acme = await world.api.workspace('acme', { design: null, platform: 'builder', ops: null });
  await world.api.workspace('globex', { design: null, ops: null });
  saml = await connectSaml(world, idp, { workspace: 'acme' });
});
afterAll(() => world.stop());

const membershipEvents = async (userId: string, workspaceId = acme.id) =>
  (await eventsOf(world, userId)).filter(
    ({ type, data }) => type.startsWith('membership.') && data.workspace?.id === workspaceId,
  );

describe('R28 simultaneous logins of one person', () => {
  const sets = [['design'], ['platform'], ['ops'], ['design', 'ops'], [], ['admin'], ['design'], ['platform', 'ops']];

  /** All answers are posted at once. */
  async function logInAtOnce(connection: SamlConnection, nameId: string): Promise<readonly AppTokens[]> {
    const logins = await Promise.all(sets.map(() => beginSamlLogin(world, connection)));
    const visits = await Promise.all(logins.map((login, n) => answerSaml(login, connection, { nameId, groups: sets[n] ?? [] })));
    return Promise.all(logins.map((login, n) => redeem(world, login, visits[n] as (typeof visits)[0])));
  }

  test('one user, consecutive versions, and the last event is the state', async () => {
    const tokens = await logInAtOnce(saml, 'at once');
    expect(new Set(tokens.map(({ sub }) => sub)).size).toBe(1);
    const [{ sub } = { sub: '' }] = tokens;
    const events = await membershipEvents(sub);
    expect(events.map(({ data }) => data.version)).toEqual(events.map((_, index) => index + 1));
    const stored = await world.api.explain(acme.id, sub);
    const { data } = events.at(-1) ?? { data: {} as (typeof events)[0]['data'] };
    expect({ role: data.role, groups: data.groups, version: data.version }).toEqual({
      role: stored.role,
      groups: stored.groups,
      version: stored.version,
    });
    expect((await eventsOf(world, sub)).filter(({ type }) => type === 'user.created')).toHaveLength(1);
  });

  test('over several workspaces: each one consistent', async () => {
    const list = (first: string, second: string) => ({
      sync_list: [{ workspace: first, is_default: true }, { workspace: second }],
    });
    const connection = await connectSaml(world, saml.idp, { fields: list('acme', 'globex') });
    const [{ sub } = { sub: '' }] = await logInAtOnce(connection, 'everywhere');
    const globex = (await world.api.get<{ data: { workspace_id: string; slug: string }[] }>('/v1/workspaces')).data;
    for (const { workspace_id: id } of globex) {
      const events = await membershipEvents(sub, id);
      expect(events.map(({ data }) => data.version)).toEqual(events.map((_, index) => index + 1));
      expect(events.at(-1)?.data.role).toBe((await world.api.explain(id, sub)).role);
    }
  });

  test('R30 admins of two workspaces that two connections list in opposite order: nobody meets a deadlock', async () => {
    const [one, two] = [await world.api.workspace('one', { design: null }), await world.api.workspace('two', { design: null })];
    const list = (first: string, second: string) => ({
      sync_list: [{ workspace: first, is_default: true }, { workspace: second }],
    });
    const forth = await connectSaml(world, saml.idp, { fields: list(one.id, two.id) });
    const back = await connectSaml(world, saml.idp, { fields: list(two.id, one.id) });
    const everybody = (groups: string[]) =>
      Promise.all(
        Array.from({ length: 4 }, (_, n) => [
          logInBySaml(world, forth, { nameId: `forth ${n}`, groups }),
          logInBySaml(world, back, { nameId: `back ${n}`, groups }),
        ]).flat(),
      );
    for (let round = 0; round < 3; round += 1) {
      await everybody(['admin']);
      const demoted = await everybody(['design']);
      for (const { id } of [one, two]) {
        const roles = demoted.map(({ memberships }) => memberships.find(({ workspace_id }) => workspace_id === id)?.role);
        expect(roles.filter((role) => role === 'admin').length).toBeLessThanOrEqual(1);
      }
    }
  });

  test('R28 a login that Postgres ends because of a deadlock with something else is done once more', async () => {
    const [first, second] = [await world.api.workspace('first'), await world.api.workspace('second')];
    const fields = { sync_list: [{ workspace: first.id, is_default: true }, { workspace: second.id }] };
    const connection = await connectSaml(world, saml.idp, { fields });
    const logIn = (groups: string[]) => logInBySaml(world, connection, { nameId: 'crossed', groups });
    await logInBySaml(world, connection, { nameId: 'another admin', groups: ['admin'] });
    await logIn(['admin']);
    const { db } = world.stores;
    const lock = 'SELECT 1 FROM workspaces WHERE workspace_id = ? FOR UPDATE';
    let demoted: Promise<AppTokens> | undefined;
    await db.transaction(async (tx) => {
      await tx.raw(lock, [second.id]);
      demoted = logIn([]);
      await vi.waitFor(async () => {
        const { rows } = await db.raw(`SELECT 1 FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FROM workspaces%'`);
        expect(rows).toHaveLength(1);
      });
      // Who waited longer looks for a deadlock first, and is the one to go.
      await sleep(150);
      await tx.raw(lock, [first.id]);
    });
    expect((await demoted)?.memberships).toMatchObject([{ role: 'end-user' }, { role: 'end-user' }]);
  });

  test('different people do not wait for one another', async () => {
    const people = Array.from({ length: 20 }, (_, n) => `person ${n}`);
    const tokens = await Promise.all(people.map((nameId) => logInBySaml(world, saml, { nameId, groups: ['design'] })));
    expect(new Set(tokens.map(({ sub }) => sub)).size).toBe(20);
    for (const { memberships } of tokens) expect(memberships).toMatchObject([{ groups: ['design'], membership_version: 1 }]);
  });
});

describe('R31 provisioning', () => {
  test('off: a stranger is refused, somebody known is not, and switching it on lets the stranger in', async () => {
    const closed = await connectSaml(world, saml.idp, { workspace: 'acme', fields: { just_in_time_provisioning: false } });
    const login = await beginSamlLogin(world, closed);
    const answer = () => answerSaml(login, closed, { nameId: 'stranger', groups: ['design'] });
    const refusal = await expectRefusal(world, answer, { code: 'not_entitled', reason: 'unknown_user', traced: true });
    expect(await tellApp(world, login, refusal)).toBe('access_denied');

    const provision = (on: boolean) => world.api.patch(`/v1/connections/${closed.id}`, { just_in_time_provisioning: on });
    await provision(true);
    const known = await logInBySaml(world, closed, { nameId: 'stranger', groups: ['design'] });
    await provision(false);
    expect((await logInBySaml(world, closed, { nameId: 'stranger', groups: ['design'] })).sub).toBe(known.sub);
  });
});

describe('R32 archived people', () => {
  const archive = (userId: string, status = 'archived') => world.stores.db('users').where({ user_id: userId }).update({ status });

  test('cannot log in, and a login does not bring them back; restored they can', async () => {
    const person = { nameId: 'archived', email: 'a@customer.example', groups: ['design'] };
    const { sub } = await logInBySaml(world, saml, person);
    await archive(sub);
    for (const groups of [['design'], ['platform'], undefined]) {
      const login = await beginSamlLogin(world, saml);
      const answer = () => answerSaml(login, saml, { ...person, name: 'New name', ...(groups && { groups }) });
      const refusal = await expectRefusal(world, answer, { code: 'user_archived', traced: true });
      expect(await tellApp(world, login, refusal)).toBe('access_denied');
    }
    await archive(sub, 'active');
    expect(await logInBySaml(world, saml, person)).toMatchObject({ sub, memberships: [{ membership_version: 1 }] });
  });

  test('between the login and the exchange: the code is worth nothing', async () => {
    const { sub } = await logInBySaml(world, saml, { nameId: 'in between', groups: ['design'] });
    const login = await beginSamlLogin(world, saml);
    const visit = await answerSaml(login, saml, { nameId: 'in between', groups: ['design'] });
    await archive(sub);
    await expect(redeem(world, login, visit)).rejects.toMatchObject({ error: 'invalid_grant' });
    await archive(sub, 'active');
    expect((await logInBySaml(world, saml, { nameId: 'in between', groups: ['design'] })).sub).toBe(sub);
  });
});

describe('R30 the last admin', () => {
  test('is not demoted by a login, which says so; with a second admin it is', async () => {
    const { id } = await world.api.workspace('governed', { design: null });
    const connection = await connectSaml(world, saml.idp, { workspace: 'governed' });
    const logIn = (nameId: string, groups: string[]) => logInBySaml(world, connection, { nameId, groups });
    const { sub } = await logIn('first', ['admin']);
    expect((await logIn('first', ['design'])).memberships).toMatchObject([{ role: 'admin', groups: ['design'] }]);
    const held = (await eventsOf(world, sub)).filter(({ type }) => type === 'sync.held');
    expect(held.map(({ data }) => data.reason)).toEqual(['last_admin']);
    expect((await world.api.explain(id, sub)).reasons).toContainEqual({
      grant: { kind: 'role', role: 'admin' },
      idp_group: null,
      via: { kind: 'kept', because: 'last-admin' },
    });
    await logIn('second', ['admin']);
    expect((await logIn('first', ['design'])).memberships).toMatchObject([{ role: 'end-user', groups: ['design'] }]);
  });

  test('two admins that are demoted at the same moment: one of them stays', async () => {
    await world.api.workspace('contested', { design: null });
    const connection = await connectSaml(world, saml.idp, { workspace: 'contested' });
    const logIn = (nameId: string, groups: string[]) => logInBySaml(world, connection, { nameId, groups });
    await Promise.all([logIn('left', ['admin']), logIn('right', ['admin'])]);
    const both = await Promise.all([logIn('left', []), logIn('right', [])]);
    expect(both.map(({ memberships }) => memberships[0]?.role).sort()).toEqual(['admin', 'end-user']);
  });
});

describe('R26 an operator who sets a session lifetime', () => {
  test('spares people the IdP for that long, in the same browser and for the same way in only', async () => {
    const lasting = await startBrokerWorld({ settings: { login: { sessionLifetimeSeconds: 60 } } });
    try {
      await lasting.api.workspace('acme', { design: null });
      const connection = await connectSaml(lasting, saml.idp, { workspace: 'acme' });
      const other = await connectSaml(lasting, saml.idp, { workspace: 'acme' });
      const browser = lasting.newBrowser();
      const first = await logInBySaml(lasting, connection, { nameId: 'ada', groups: ['design'] }, { browser });
      const again = await beginLogin(lasting, { browser, parameters: { connection: connection.id } });
      expect(again.visit.leadsTo).toMatch(/^https:\/\/app\.example\.com\/callback\?code=/);
      expect((await redeem(lasting, again, again.visit)).sub).toBe(first.sub);

      const elsewhere = await beginLogin(lasting, { browser, parameters: { connection: other.id } });
      expect(elsewhere.visit.leadsTo).toContain('/sso?SAMLRequest=');
      const prompted = await beginLogin(lasting, { browser, parameters: { connection: connection.id, prompt: 'login' } });
      expect(prompted.visit.leadsTo).toContain('/sso?SAMLRequest=');
      const stranger = await beginLogin(lasting, { parameters: { connection: connection.id } });
      expect(stranger.visit.leadsTo).toContain('/sso?SAMLRequest=');
      lasting.clock.advance(61);
      const late = await beginLogin(lasting, { browser, parameters: { connection: connection.id } });
      expect(late.visit.leadsTo).toContain('/sso?SAMLRequest=');
    } finally {
      await lasting.stop();
    }
  });
});
