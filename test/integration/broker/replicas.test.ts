import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Visit } from '../../support/broker-browser.ts';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { errorPageIn, eventsOf, expectRefusal } from '../../support/broker-evidence.ts';
import {
  answerOidc,
  answerSaml,
  beginOidcLogin,
  beginSamlLogin,
  logInByOidc,
  logInBySaml,
  type OidcConnection,
  postAnswer,
  redeem,
  type SamlConnection,
} from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, type Replica, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';
import { redisUrl, testKeyPrefix, withRedis } from '../../support/redis.ts';

const person = { nameId: 'ada', email: 'ada@customer.example', groups: ['design'] };
const user = { sub: 'ada', email: 'ada@customer.example', groups: ['design'] };

describe.skipIf(redisUrl === null)(`law 11 two replicas on one Postgres and Redis, ${withRedis}`, () => {
  let world: BrokerWorld;
  let idp: OidcIdp;
  let saml: SamlConnection;
  let oidc: OidcConnection;
  let one: Replica;
  let two: Replica;

  beforeAll(async () => {
    const samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
    const redis = { url: redisUrl ?? '', keyPrefix: testKeyPrefix() };
    [world, idp] = await Promise.all([startBrokerWorld({ redis }), startOidcIdp()]);
    one = world.first;
    two = await world.addReplica();
    await world.api.workspace('acme', { design: null });
    saml = await connectSaml(world, samlIdp, { workspace: 'acme' });
    oidc = await connectOidc(world, idp, { workspace: 'acme' });
  });
  afterEach(() => world.routeTo(one));
  afterAll(async () => {
    await world.stop();
    await idp.stop();
  });

  test('a SAML login that was begun at one is finished at the other', async () => {
    const login = await beginSamlLogin(world, saml);
    world.routeTo(two);
    expect((await redeem(world, login, await answerSaml(login, saml, person))).memberships).toHaveLength(1);
  });

  test('an OpenID Connect login that was begun at one is finished at the other', async () => {
    const login = await beginOidcLogin(world, oidc, user);
    world.routeTo(two);
    expect((await redeem(world, login, await answerOidc(login))).memberships).toHaveLength(1);
  });

  test('each request of a login at another replica', async () => {
    world.routeTo(one, two);
    for (let count = 0; count < 3; count += 1) {
      const bySaml = await logInBySaml(world, saml, person);
      const byOidc = await logInByOidc(world, oidc, user);
      expect([bySaml.memberships, byOidc.memberships]).toMatchObject([[{ groups: ['design'] }], [{ groups: ['design'] }]]);
    }
  });

  test('one answer at both at the same moment signs in once', async () => {
    const login = await beginSamlLogin(world, saml);
    const fields = saml.idp.answer(login.saml, { ...person, nameId: 'both at once' });
    world.routeTo(one, two);
    const post = () => login.browser.post(login.saml.acsUrl, fields, { from: saml.idp.origin, follow: false });
    const visits = await Promise.all(Array.from({ length: 8 }, post));
    const winners = visits.filter(({ leadsTo }) => leadsTo !== null);
    expect(winners).toHaveLength(1);
    const visit = await login.browser.open((winners[0] as Visit).leadsTo ?? '');
    const { sub } = await redeem(world, login, visit);
    expect((await eventsOf(world, sub)).map(({ type }) => type)).toEqual(['user.created', 'membership.created']);
  });

  test('R28 logins of one person at both keep versions and events in one line', async () => {
    world.routeTo(one, two);
    const logins = Array.from({ length: 8 }, (_, n) =>
      logInBySaml(world, saml, { nameId: 'everywhere', groups: n % 2 === 0 ? ['design'] : ['admin'] }),
    );
    const [{ sub } = { sub: '' }] = await Promise.all(logins);
    const versions = (await eventsOf(world, sub)).flatMap(({ type, data }) =>
      type.startsWith('membership.') ? [data.version] : [],
    );
    expect(versions).toEqual(versions.map((_, index) => index + 1));
  });

  test('a change made at one counts at the other two seconds later', async () => {
    world.routeTo(two);
    await logInBySaml(world, saml, person);
    world.routeTo(one);
    await world.api.patch(`/v1/connections/${saml.id}`, { enabled: false });
    const atOne = await beginLoginPage();
    expect(errorPageIn(atOne).title).toBe('This way to sign in is switched off');
    await sleep(2_100);
    world.routeTo(two);
    expect(errorPageIn(await beginLoginPage()).title).toBe('This way to sign in is switched off');
    await world.api.patch(`/v1/connections/${saml.id}`, { enabled: true });
    expect((await logInBySaml(world, saml, person)).memberships).toHaveLength(1);
  });

  async function beginLoginPage(): Promise<Visit> {
    const { url } = await world.app.request({ connection: saml.id });
    return world.newBrowser().open(url);
  }

  test('a replica that stops lets the other go on with its logins', async () => {
    const third = await world.addReplica();
    world.routeTo(third);
    const login = await beginSamlLogin(world, saml);
    world.routeTo(one, two);
    await third.stop();
    expect((await redeem(world, login, await answerSaml(login, saml, person))).memberships).toHaveLength(1);
  });
});

describe('law 12 two brokers in one process', () => {
  let left: BrokerWorld;
  let right: BrokerWorld;
  let ofLeft: SamlConnection;
  let ofRight: SamlConnection;

  beforeAll(async () => {
    const idp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
    const redis = redisUrl === null ? {} : { redis: { url: redisUrl, keyPrefix: testKeyPrefix() } };
    [left, right] = await Promise.all([startBrokerWorld(), startBrokerWorld(redis)]);
    const made = await Promise.all(
      [left, right].map(async (world) => {
        await world.api.workspace('acme', { design: null });
        return connectSaml(world, idp, { workspace: 'acme' });
      }),
    );
    [ofLeft, ofRight] = made as [SamlConnection, SamlConnection];
  });
  afterAll(() => Promise.all([left.stop(), right.stop()]));

  test('know nothing of each other: connections, people, events', async () => {
    const { sub } = await logInBySaml(left, ofLeft, person);
    expect((await logInBySaml(right, ofRight, person)).sub).not.toBe(sub);
    expect(await right.api.call('GET', `/v1/connections/${ofLeft.id}`)).toMatchObject({ status: 404 });
    expect(await eventsOf(right, sub)).toEqual([]);
    expect(await eventsOf(left, sub)).toHaveLength(2);
  });

  test('an answer for one is nothing to the other, although the browser sends its cookie to both', async () => {
    const login = await beginSamlLogin(left, ofLeft);
    const fields = ofLeft.idp.answer(login.saml, person);
    const refused = { code: 'login_expired', reason: 'unknown_login', traced: false } as const;
    for (const id of [ofLeft.id, ofRight.id]) {
      const acs = `${right.publicUrl}/saml/${id}/acs`;
      await expectRefusal(right, () => postAnswer(login.browser, acs, fields, ofLeft.idp), refused);
    }
    expect((await redeem(left, login, await answerSaml(login, ofLeft, person))).memberships).toHaveLength(1);
  });

  test('codes and tokens of one are worth nothing at the other', async () => {
    const login = await beginSamlLogin(left, ofLeft);
    const { leadsTo } = await answerSaml(login, ofLeft, person);
    const callback = new URL(leadsTo ?? '');
    callback.searchParams.set('iss', `${right.publicUrl}/oidc`);
    await expect(right.app.redeem(login.request, callback.href)).rejects.toMatchObject({ error: 'invalid_grant' });
    expect((await left.app.redeem(login.request, leadsTo ?? '')).memberships).toHaveLength(1);
  });

  test('without Redis a broker keeps logins in its process, and says so at the start', async () => {
    const said = ({ lines }: BrokerWorld) => lines.some(({ msg, level }) => level === 'warn' && /REDIS_URL/.test(String(msg)));
    expect(said(left)).toBe(true);
    expect(said(right)).toBe(redisUrl === null);
  });
});
