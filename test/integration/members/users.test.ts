import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { uniqueId } from '../../../src/infra/unique-id.ts';
import { eventSchemas } from '../../../src/outbox/event-schema.ts';
import type { ProblemBody } from '../../support/broker-api.ts';
import { expectErrorPage } from '../../support/broker-evidence.ts';
import { answerSaml, beginSamlLogin, redeem, type SamlConnection } from '../../support/broker-login.ts';
import { type LevelsWorld, startLevelsWorld } from '../../support/levels-world.ts';

let levels: LevelsWorld;
let connection: SamlConnection;

beforeAll(async () => {
  levels = await startLevelsWorld();
  connection = await levels.connect({ workspace: (await levels.workspace({ engineers: 'builder' })).id });
});
afterAll(() => levels?.stop());

interface UserBody {
  readonly user_id: string;
  readonly email: string | null;
  readonly status: string;
  readonly identities: readonly object[];
  readonly memberships: readonly { readonly role: string; readonly version: number; readonly status: string }[];
}

const api = () => levels.world.api;
const call = (method: string, path: string, body?: unknown) => api().call<ProblemBody>(method, path, body);
const user = (id: string) => api().get<UserBody>(`/v1/users/${id}`);
const found = async (query: string) =>
  (await api().get<{ data: UserBody[] }>(`/v1/users?${query}`)).data.map(({ user_id }) => user_id);
const userinfo = (token: string) =>
  levels.world.send(`${levels.world.publicUrl}/oidc/userinfo`, { headers: { authorization: `Bearer ${token}` } });

describe('users', () => {
  it('are read with their identities and memberships', async () => {
    const { sub } = await levels.logIn(connection, 'u1-ada', ['engineers']);
    expect(await user(sub)).toMatchObject({
      user_id: sub,
      email: 'u1-ada@example.com',
      name: 'u1-ada',
      status: 'active',
      identities: [{ connection_id: connection.id, subject: expect.any(String), issuer: 'https://idp.example.com' }],
      memberships: [{ role: 'builder', groups: [{ name: 'engineers' }], status: 'active', version: 1 }],
    });
    expect((await call('GET', `/v1/users/${uniqueId(new Date())}`)).status).toBe(404);
    expect((await call('GET', '/v1/users/x')).status).toBe(404);
  });

  it('are found by the beginning of address or name, whatever the case, literally', async () => {
    const { sub: one } = await levels.logIn(connection, 'U2_Find', []);
    const { sub: two } = await levels.logIn(connection, 'u2xfind', []);
    expect(await found('email=u2_find')).toEqual([one]);
    expect(await found('name=U2')).toEqual([one, two]);
    expect(await found('email=%25find')).toEqual([]);
    expect(await found('name=u2&limit=1')).toEqual([one]);
    expect(await found(`name=u2&after=${one}`)).toEqual([two]);
    expect(await found('name=u2&status=archived')).toEqual([]);
    expect((await call('GET', '/v1/users?phone=1')).status).toBe(422);
  });

  it('R13 are for keys of the instance only', async () => {
    const acme = await levels.workspace();
    const { sub } = await levels.logIn(await levels.connect({ workspace: acme.id }), 'u3-ada', []);
    const own = await levels.apiOf(acme);
    const tries = [
      ['GET', '/v1/users'],
      ['GET', `/v1/users/${sub}`],
      ['POST', `/v1/users/${sub}/archive`],
      ['POST', `/v1/users/${sub}/restore`],
      ['DELETE', `/v1/users/${sub}`],
    ] as const;
    for (const [method, path] of tries) expect((await own.call(method, path)).status, `${method} ${path}`).toBe(403);
    expect((await own.call('GET', `/v1/workspaces/${acme.id}/members/${sub}`)).status).toBe(200);
    expect((await user(sub)).status).toBe('active');
  });
});

describe('an archived user', () => {
  it('R32 cannot log in, and no login unarchives; restored, the user can', async () => {
    const { sub } = await levels.logIn(connection, 'u4-ada', ['engineers']);
    expect(await api().post(`/v1/users/${sub}/archive`, {})).toMatchObject({ status: 'archived' });
    for (const groups of [['engineers'], ['admin']]) {
      const login = await beginSamlLogin(levels.world, connection);
      const visit = await answerSaml(login, connection, { nameId: 'u4-ada', groups });
      await expectErrorPage(levels.world, visit, { code: 'user_archived', traced: true });
    }
    expect(await user(sub)).toMatchObject({
      status: 'archived',
      memberships: [{ role: 'builder', status: 'active', version: 1 }],
    });
    expect(await api().post(`/v1/users/${sub}/restore`, {})).toMatchObject({ status: 'active' });
    const { memberships } = await levels.logIn(connection, 'u4-ada', ['engineers']);
    expect(memberships).toMatchObject([{ role: 'builder', membership_version: 1 }]);
    expect(await levels.eventsOf(sub)).toEqual(['user.created', 'membership.created 1', 'user.archived', 'user.restored']);
  });

  it('R32 archiving and restoring may be repeated; each change is told once', async () => {
    const { sub } = await levels.logIn(connection, 'u5-ada', []);
    for (const step of ['archive', 'archive', 'restore', 'restore', 'archive']) await api().post(`/v1/users/${sub}/${step}`, {});
    const told = (await levels.eventsOf(sub)).filter((event) => event.startsWith('user.'));
    expect(told).toEqual(['user.created', 'user.archived', 'user.restored', 'user.archived']);
    expect((await call('POST', `/v1/users/${uniqueId(new Date())}/archive`)).status).toBe(404);
  });

  it('R32 loses every token at once, and does not get them back by the restoring', async () => {
    const login = await beginSamlLogin(levels.world, connection);
    const visit = await answerSaml(login, connection, { nameId: 'u6-ada', groups: [] });
    const { sub, accessToken } = await redeem(levels.world, login, visit);
    expect((await userinfo(accessToken)).status).toBe(200);
    await api().post(`/v1/users/${sub}/archive`, {});
    expect((await userinfo(accessToken)).status).toBe(401);
    await api().post(`/v1/users/${sub}/restore`, {});
    expect((await userinfo(accessToken)).status).toBe(401);
  });

  it('R32 a login and the archiving at the same moment end in an archived user', async () => {
    const { sub } = await levels.logIn(connection, 'u7-ada', []);
    const login = await beginSamlLogin(levels.world, connection);
    await Promise.all([
      answerSaml(login, connection, { nameId: 'u7-ada', groups: ['engineers'] }),
      api().post(`/v1/users/${sub}/archive`, {}),
    ]);
    expect(await user(sub)).toMatchObject({ status: 'archived' });
  });
});

describe('deleting a user', () => {
  /** One of the events lies in another week, and what its receiver answered repeats what it was told. */
  async function anAnsweredAttempt(userId: string): Promise<void> {
    const { db } = levels.world.stores;
    const [event] = await db('events').where({ user_id: userId }).orderBy('position').limit(1);
    const lastMonth = { recorded_on: new Date(Date.now() - 30 * 86_400_000).toISOString().slice(0, 10) };
    await db('events').where({ event_id: event.event_id }).update(lastMonth);
    await db('event_log').where({ event_id: event.event_id }).update(lastMonth);
    await db('deliveries').where({ event_id: event.event_id }).update(lastMonth);
    await db('delivery_attempts').insert({
      endpoint_id: userId,
      order_key: event.order_key,
      position: event.position,
      event_id: event.event_id,
      attempt: 1,
      outcome: 'delivered',
      status: 200,
      duration_milliseconds: 1,
      answer: 'welcome, u8-ada-lovelace',
    });
    expect(JSON.stringify(await db('delivery_attempts'))).toContain('lovelace');
  }

  it('erases the person everywhere and keeps ids, order and types of the events', async () => {
    const { db } = levels.world.stores;
    const { sub } = await levels.logIn(connection, 'u8-ada-lovelace', ['engineers']);
    await levels.logIn(connection, 'u8-ada-lovelace', []);
    const log = async () => (await levels.events()).filter(({ data }) => data.user?.id === sub);
    const before = await log();
    expect(JSON.stringify(before)).toContain('lovelace');
    await anAnsweredAttempt(sub);
    expect((await call('DELETE', `/v1/users/${sub}`)).status).toBe(204);

    const after = await log();
    expect(after.slice(0, before.length).map(({ id, type }) => [id, type])).toEqual(before.map(({ id, type }) => [id, type]));
    expect(after.slice(before.length).map(({ type }) => type)).toEqual(['membership.removed', 'user.deleted']);
    for (const { id: _, ...envelope } of after) {
      const schema = eventSchemas[envelope.type as keyof typeof eventSchemas];
      expect(schema.safeParse(envelope).success, envelope.type).toBe(true);
    }
    for (const table of ['users', 'identities', 'memberships', 'login_traces', 'events', 'delivery_attempts', 'audit_log']) {
      expect(JSON.stringify(await db(table)), table).not.toContain('lovelace');
    }
    expect(await db('login_traces').where({ user_id: sub })).toEqual([]);
    expect(await db('memberships').where({ user_id: sub })).toMatchObject([
      { status: 'removed', reasons: [], fingerprint: null },
    ]);
    expect(await found('name=u8')).toEqual([]);
    for (const [method, path] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/restore'],
      ['POST', '/archive'],
    ] as const) {
      expect((await call(method, `/v1/users/${sub}${path}`)).status).toBe(404);
    }
  });

  it('lets the same person come again as somebody new', async () => {
    const { sub } = await levels.logIn(connection, 'u9-ada', ['engineers']);
    await call('DELETE', `/v1/users/${sub}`);
    const again = await levels.logIn(connection, 'u9-ada', ['engineers']);
    expect(again.sub).not.toBe(sub);
    expect(again.memberships).toMatchObject([{ role: 'builder', membership_version: 1 }]);
  });
});
