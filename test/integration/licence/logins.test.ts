import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { eventSchemas } from '../../../src/outbox/event-schema.ts';
import type { ProblemBody } from '../../support/broker-api.ts';
import { oauthErrorIn } from '../../support/broker-app.ts';
import { connectSaml } from '../../support/broker-connections.ts';
import { errorPageIn, expectErrorPage } from '../../support/broker-evidence.ts';
import { answerSaml, beginLogin, beginSamlLogin, logInBySaml, redeem, type SamlConnection } from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, type Replica, startBrokerWorld } from '../../support/broker-world.ts';
import { createLicenceSigner, inSeconds, type LicenceClaims } from '../../support/licence-tokens.ts';

const vendor = createLicenceSigner();
const otherSignInUrl = 'https://app.example.com/password?from=rollcall&x=1';
let world: BrokerWorld;
let connection: SamlConnection;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rollcall-licence-'));
  world = await startBrokerWorld({
    settings: { licence: { publicKeys: [vendor.publicKey], otherSignInUrl }, login: { sessionLifetimeSeconds: 0 } },
  });
  const idp = await createSamlIdp({ entityId: 'https://idp.example.com', origin: 'http://127.0.0.1:1' });
  await world.api.workspace('acme', { engineers: 'builder' });
  connection = await connectSaml(world, idp, { workspace: 'acme' });
});
afterAll(async () => {
  await world?.stop();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => setLicence());

const setLicence = async (claims: LicenceClaims = {}) => world.api.put('/v1/licence', { token: await vendor.sign(claims) });
const ada = { nameId: 'ada', email: 'ada@acme.example', groups: ['engineers'] };

/** A login that the licence refuses: the page and what the app is told. */
async function refusedStart() {
  const login = await beginLogin(world, { parameters: { connection: connection.id } });
  const page = errorPageIn(login.visit);
  const back = await login.browser.open(`${world.publicUrl}${page.back}`);
  return { visit: login.visit, page, told: oauthErrorIn(back.leadsTo) };
}

describe('a login', () => {
  it('R34 R35 passes while the licence is valid', async () => {
    const { memberships } = await logInBySaml(world, connection, ada);
    expect(memberships).toMatchObject([{ role: 'builder', groups: ['engineers'] }]);
  });

  it.each<[string, LicenceClaims | null, string]>([
    ['has no licence', null, 'licence_missing'],
    ['lacks sso', { features: ['group_sync'] }, 'licence_feature_missing'],
    ['lacks group_sync', { features: ['sso'] }, 'licence_feature_missing'],
  ])(
    'R35 is refused before it leaves for the IdP when the instance %s; settings are kept and work again',
    async (_what, claims, reason) => {
      const before = await world.api.get(`/v1/connections/${connection.id}`);
      if (claims) await setLicence(claims);
      else await world.api.delete('/v1/licence');
      const { visit, page, told } = await refusedStart();
      await expectErrorPage(world, visit, { code: 'licence_expired', reason, traced: true });
      expect(visit.text).toContain('href="https://app.example.com/password?from=rollcall&amp;x=1"');
      expect(told.error).toBe('access_denied');
      expect(told.description).toContain(`(licence_expired, ${reason}; reference ${page.reference})`);
      expect(await world.api.get(`/v1/connections/${connection.id}`)).toEqual(before);
      await setLicence();
      expect((await logInBySaml(world, connection, ada)).memberships).toMatchObject([{ role: 'builder' }]);
    },
  );

  it('R35 that the licence outlived while it was at the IdP is refused, and stores nothing but its trace', async () => {
    const login = await beginSamlLogin(world, connection);
    await setLicence({ features: [] });
    const visit = await answerSaml(login, connection, { nameId: 'eve', groups: ['admin'] });
    const { back } = await expectErrorPage(world, visit, {
      code: 'licence_expired',
      reason: 'licence_feature_missing',
      traced: true,
    });
    expect(visit.text).toContain('Sign in another way');
    const told = oauthErrorIn((await login.browser.open(`${world.publicUrl}${back}`)).leadsTo);
    expect(told).toMatchObject({ error: 'access_denied', description: expect.stringContaining('licence_feature_missing') });
    expect(await world.stores.db('identities').where({ subject: 'eve' })).toEqual([]);
    await setLicence();
    expect((await logInBySaml(world, connection, { nameId: 'eve', groups: ['admin'] })).memberships).toMatchObject([
      { role: 'admin' },
    ]);
  });

  it('R35 other failures do not name the other way to sign in', async () => {
    const { visit } = await beginLogin(world, { parameters: { connection: '01890000-0000-7000-8000-000000000001' } });
    expect(visit.status).toBe(404);
    expect(visit.text).not.toContain('Sign in another way');
  });
});

describe('the seats of a licence', () => {
  const people = () =>
    world.stores
      .db('users')
      .where({ status: 'active' })
      .then((rows) => rows.length);

  it('R36 keep new people out when they are taken, and let those who are in log in and sync', async () => {
    await logInBySaml(world, connection, ada);
    const taken = await people();
    await setLicence({ maxUsers: taken });
    const login = await beginSamlLogin(world, connection);
    const visit = await answerSaml(login, connection, { nameId: 'newcomer', groups: [] });
    const { back } = await expectErrorPage(world, visit, { code: 'licence_limit_reached', traced: true });
    const told = oauthErrorIn((await login.browser.open(`${world.publicUrl}${back}`)).leadsTo);
    expect(told).toMatchObject({ error: 'access_denied', description: expect.stringContaining('licence_limit_reached') });
    expect(await people()).toBe(taken);

    const again = await logInBySaml(world, connection, { ...ada, groups: ['admin', 'engineers'] });
    expect(again.memberships).toMatchObject([{ role: 'admin' }]);
    await setLicence({ maxUsers: taken + 1 });
    expect((await logInBySaml(world, connection, { nameId: 'newcomer', groups: [] })).memberships).toHaveLength(1);
    expect(await people()).toBe(taken + 1);
  });

  it('R36 are won by exactly one of several who want the last one at once', async () => {
    const taken = await people();
    await setLicence({ maxUsers: taken + 1 });
    const logins = await Promise.all(
      ['r1', 'r2', 'r3', 'r4', 'r5'].map(async (nameId) => ({ nameId, login: await beginSamlLogin(world, connection) })),
    );
    const visits = await Promise.all(logins.map(({ nameId, login }) => answerSaml(login, connection, { nameId, groups: [] })));
    expect(visits.map(({ status }) => status).sort()).toEqual([303, 403, 403, 403, 403]);
    expect(await people()).toBe(taken + 1);
  });

  it('R36 that an archived person left are free; whoever is restored needs one too', async () => {
    const { user_id: id } = await world.stores.db('identities').where({ subject: 'ada' }).first();
    const taken = await people();
    await setLicence({ maxUsers: taken });
    await world.api.post(`/v1/users/${id}/archive`, {});
    expect((await logInBySaml(world, connection, { nameId: 'heir', groups: [] })).memberships).toHaveLength(1);
    const refused = await world.api.call<ProblemBody>('POST', `/v1/users/${id}/restore`, {});
    expect([refused.status, refused.body.code]).toEqual([403, 'licence_limit_reached']);
    await setLicence({ maxUsers: taken + 1 });
    await world.api.post(`/v1/users/${id}/restore`, {});
    expect((await logInBySaml(world, connection, ada)).memberships).toHaveLength(1);
  });

  it('R36 tell once that they are taken, and anew for another limit', async () => {
    await world.stores.db('events').where({ type: 'licence.limit_reached' }).delete();
    await world.stores.db('licence').update({ limit_announced: null });
    const taken = await people();
    const refusedAt = async (maxUsers: number, nameId: string) => {
      await setLicence({ maxUsers });
      const login = await beginSamlLogin(world, connection);
      expect((await answerSaml(login, connection, { nameId, groups: [] })).status).toBe(403);
    };
    await refusedAt(taken, 'x1');
    await refusedAt(taken, 'x2');
    await refusedAt(1, 'x3');
    const told = await world.stores.db('events').where({ type: 'licence.limit_reached' }).orderBy('position').pluck('payload');
    for (const payload of told) expect(eventSchemas['licence.limit_reached'].parse(payload)).toEqual(payload);
    expect(told.map(({ data }) => data)).toEqual([
      { max_users: taken, active_users: taken },
      { max_users: 1, active_users: taken },
    ]);
  });
});

describe('the licence over the API', () => {
  it('R34 is shown with its seats, and tells of each change once', async () => {
    await world.stores.db('events').where({ type: 'licence.changed' }).delete();
    const token = await vendor.sign({ jti: 'L-7', sub: 'Acme Ltd', maxUsers: 500, exp: inSeconds(7_200) });
    const set = await world.api.put<Record<string, unknown>>('/v1/licence', { token });
    expect(set).toMatchObject({ status: 'valid', source: 'api', id: 'L-7', holder: 'Acme Ltd', max_users: 500 });
    expect(set.active_users).toBe(
      await world.stores
        .db('users')
        .where({ status: 'active' })
        .then((rows) => rows.length),
    );
    expect(await world.api.get('/v1/licence')).toEqual(set);
    await world.api.put('/v1/licence', { token });
    await world.api.delete('/v1/licence');
    const told = await world.stores.db('events').where({ type: 'licence.changed' }).orderBy('position').pluck('payload');
    for (const payload of told) expect(eventSchemas['licence.changed'].parse(payload)).toEqual(payload);
    expect(told.map(({ data }) => [data.licence.status, data.licence.id])).toEqual([
      ['valid', 'L-7'],
      ['missing', null],
    ]);
  });

  it('R34 R35 that ends with the time is told once, without anybody touching it', async () => {
    await world.stores.db('events').where({ type: 'licence.changed' }).delete();
    await world.api.put('/v1/licence', { token: await vendor.sign({ jti: 'L-short', exp: inSeconds(2) }) });
    const told = () => world.stores.db('events').where({ type: 'licence.changed' }).orderBy('position').pluck('payload');
    await vi.waitFor(async () => expect(await told()).toHaveLength(2), { timeout: 6_000, interval: 50 });
    // A poll later it is still told of once.
    await sleep(1_200);
    expect((await told()).map(({ data }) => [data.licence.status, data.licence.id])).toEqual([
      ['valid', 'L-short'],
      ['expired', 'L-short'],
    ]);
    await world.api.delete('/v1/licence');
  });

  it.each<[string, () => Promise<unknown>, string[]]>([
    ['of a stranger', async () => ({ token: await createLicenceSigner().sign() }), ['token']],
    ['past its end', async () => ({ token: await vendor.sign({ exp: inSeconds(-1) }) }), ['token']],
    ['that is none', async () => ({ token: 'hello' }), ['token']],
    ['that is missing', async () => ({}), ['token']],
    ['with an unknown field', async () => ({ token: await vendor.sign(), colour: 'red' }), ['colour']],
  ])('R34 refuses one %s and keeps the one in force', async (_what, body, fields) => {
    const before = await world.api.get('/v1/licence');
    const answer = await world.api.call<ProblemBody>('PUT', '/v1/licence', await body());
    expect([answer.status, answer.body.errors?.map(({ path }) => path)]).toEqual([422, fields]);
    expect(await world.api.get('/v1/licence')).toEqual(before);
  });
});

describe('two replicas', () => {
  let other: Replica;
  const file = () => join(folder, 'licence.jws');
  const within = async (milliseconds: number, isSo: () => boolean) => {
    const end = Date.now() + milliseconds;
    while (!isSo() && Date.now() < end) await sleep(20);
    expect(isSo()).toBe(true);
  };

  beforeAll(async () => {
    await writeFile(file(), await vendor.sign({ jti: 'from the file' }));
    other = await world.addReplica({ licence: { file: file() } });
  });
  afterAll(() => other.stop());

  it('R34 take over a licence that the other one was given, within two seconds and without a restart', async () => {
    await setLicence({ features: [] });
    await within(2_000, () => other.stores.licences.refusal()?.reason === 'licence_feature_missing');
    expect((await refusedStart()).told.error).toBe('access_denied');
    world.routeTo(other);
    try {
      expect((await refusedStart()).told.description).toContain('licence_feature_missing');
      await setLicence({ jti: 'again' });
      expect((await redeemable(world)).memberships).toHaveLength(1);
    } finally {
      world.routeTo(world.first);
    }
    await within(2_000, () => world.stores.licences.refusal() === null);
  });

  it('R34 go back to what their settings say when the one of the API is gone, and follow the file', async () => {
    await world.api.delete('/v1/licence');
    await within(2_000, () => other.stores.licences.view().id === 'from the file');
    expect(other.stores.licences.view()).toMatchObject({ source: 'file', status: 'valid' });
    expect(world.stores.licences.view()).toMatchObject({ source: null, status: 'missing' });
    await writeFile(file(), await vendor.sign({ jti: 'newer', features: ['sso'] }));
    await within(2_000, () => other.stores.licences.refusal()?.reason === 'licence_feature_missing');
    await rm(file());
    await within(2_000, () => other.stores.licences.refusal()?.reason === 'licence_invalid');
    await setLicence({ jti: 'of the API' });
    await within(2_000, () => other.stores.licences.view().id === 'of the API');
  });
});

/** A whole login at whichever replica the address leads to. */
async function redeemable(of: BrokerWorld) {
  const login = await beginSamlLogin(of, connection);
  return redeem(of, login, await answerSaml(login, connection, { nameId: 'eve', groups: [] }));
}

// Last: the clock of the world does not go back.
describe('a licence that ends', () => {
  it('R35 refuses from that moment on, and a newer one lets people in again', async () => {
    await setLicence({ exp: inSeconds(60) });
    expect((await redeemable(world)).memberships).toHaveLength(1);
    world.clock.advance(61);
    const { visit, told } = await refusedStart();
    await expectErrorPage(world, visit, { code: 'licence_expired', reason: 'licence_expired', traced: true });
    expect(told).toMatchObject({
      error: 'access_denied',
      description: expect.stringContaining('(licence_expired, licence_expired;'),
    });
    expect(await world.api.get('/v1/licence')).toMatchObject({ status: 'expired' });
    await setLicence({ exp: inSeconds(3_600) });
    expect((await beginSamlLogin(world, connection)).visit.leadsTo).toMatch(/^http:\/\/127\.0\.0\.1:1\//);
  });
});
