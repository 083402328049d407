import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { expectRefusal, tellApp } from '../../support/broker-evidence.ts';
import {
  answerOidc,
  answerSaml,
  beginOidcLogin,
  beginSamlLogin,
  logInByOidc,
  logInBySaml,
  type OidcConnection,
  oidcAnswer,
  postAnswer,
  redeem,
  type SamlConnection,
} from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';
import { hasRedisServer, type PrivateRedis, startPrivateRedis } from '../../support/servers.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';

const person = { nameId: 'ada', email: 'ada@customer.example', groups: ['design'] };
const user = { sub: 'ada', email: 'ada@customer.example', groups: ['design'] };
const prefix = 'rollcall:';

/** One to kill: the run's own is everybody's, and may be a given address. In CI it must be there. */
const runs = hasRedisServer() || process.env.CI !== undefined;

describe.skipIf(!runs)(`law 1 Redis may vanish at any moment ${runs ? 'on a real Redis' : '(needs redis-server)'}`, () => {
  let server: PrivateRedis;
  let proxy: TcpProxy;
  let redis: Redis;
  let world: BrokerWorld;
  let idp: OidcIdp;
  let saml: SamlConnection;
  let oidc: OidcConnection;

  beforeAll(async () => {
    const samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
    const started = await startPrivateRedis();
    if (started === null) throw new Error('these tests kill the server: they need redis-server on this machine');
    server = started;
    const { hostname: host, port } = new URL(server.url);
    proxy = await startTcpProxy({ host, port: Number(port) });
    redis = new Redis(server.url, { maxRetriesPerRequest: null, retryStrategy: () => 50 });
    redis.on('error', () => {});
    [world, idp] = await Promise.all([
      startBrokerWorld({ redis: { url: `redis://127.0.0.1:${proxy.port}`, keyPrefix: prefix } }),
      startOidcIdp(),
    ]);
    await world.api.workspace('acme', { design: null });
    saml = await connectSaml(world, samlIdp, { workspace: 'acme' });
    oidc = await connectOidc(world, idp, { workspace: 'acme' });
  });
  afterEach(async () => {
    await proxy.restore();
    await server.restart();
    await untilRedisServes();
  });
  afterAll(async () => {
    await world.stop();
    redis.disconnect();
    await Promise.all([idp.stop(), proxy.close()]);
    await server.stop();
  });

  /** New logins leave their pending login in Redis again. */
  async function untilRedisServes(): Promise<void> {
    await vi.waitFor(
      async () => {
        const { saml: request } = await beginSamlLogin(world, saml);
        expect(await redis.exists(`${prefix}pending:${request.relayState}`)).toBe(1);
      },
      { timeout: 10_000, interval: 100 },
    );
  }

  async function expectLoginsToWork(): Promise<void> {
    expect((await logInBySaml(world, saml, person)).memberships).toHaveLength(1);
    expect((await logInByOidc(world, oidc, user)).memberships).toHaveLength(1);
  }

  const lost = { code: 'login_expired', reason: 'unknown_login', traced: false } as const;

  test('it holds the logins under way while it is there', async () => {
    await untilRedisServes();
    await expectLoginsToWork();
    expect(world.lines.some(({ msg }) => /Postgres stands in/.test(String(msg)))).toBe(false);
  });

  const ways: readonly [string, () => unknown][] = [
    ['killed', () => server.kill()],
    ['flushed', () => redis.flushall()],
    ['silent', () => proxy.hang()],
  ];

  test.each(ways)(
    '%s between start and finish: the login under way ends in a clear page, a new one works at once',
    async (_, vanish) => {
      const [bySaml, byOidc] = [await beginSamlLogin(world, saml), await beginOidcLogin(world, oidc, user)];
      await vanish();
      await expectRefusal(world, () => answerSaml(bySaml, saml, person), lost);
      await expectRefusal(world, () => answerOidc(byOidc), lost);
      const startedAt = performance.now();
      await expectLoginsToWork();
      expect(performance.now() - startedAt).toBeLessThan(4_000);
    },
  );

  test('killed before the app exchanged its code: the app is refused, and the next login works', async () => {
    const login = await beginSamlLogin(world, saml);
    const visit = await answerSaml(login, saml, person);
    await server.kill();
    await expect(redeem(world, login, visit)).rejects.toMatchObject({ error: 'invalid_grant' });
    await expectLoginsToWork();
  });

  test('while it is away an answer is used once, refusals reach the app, and the browser is still checked', async () => {
    await server.kill();
    const login = await beginSamlLogin(world, saml);
    const fields = saml.idp.answer(login.saml, person);
    const post = (browser = login.browser) => postAnswer(browser, login.saml.acsUrl, fields, saml.idp);
    await expectRefusal(world, () => post(world.newBrowser()), { code: 'login_expired', reason: 'other_browser', traced: false });
    const forged = { ...fields, SAMLResponse: fields.SAMLResponse.slice(0, -8) };
    const broken = () => postAnswer(login.browser, login.saml.acsUrl, forged, saml.idp);
    const refusal = await expectRefusal(world, broken, { code: 'assertion_rejected', traced: true });
    expect(refusal.back).not.toBeNull();
    const visit = await post();
    await expectRefusal(world, () => post(), lost);
    expect((await redeem(world, login, visit)).memberships).toHaveLength(1);

    const other = await beginOidcLogin(world, oidc, user);
    const address = await oidcAnswer(other);
    const first = await other.browser.open(address);
    await expectRefusal(world, () => other.browser.open(address), lost);
    expect((await redeem(world, other, first)).memberships).toHaveLength(1);
  });

  test('a login that was begun while it was away is finished when it is back', async () => {
    await server.kill();
    const login = await beginSamlLogin(world, saml);
    const denied = await beginSamlLogin(world, saml);
    await server.restart();
    await untilRedisServes();
    expect((await redeem(world, login, await answerSaml(login, saml, person))).memberships).toHaveLength(1);
    const answer = () => answerSaml(denied, saml, person, { signed: 'none' });
    const refusal = await expectRefusal(world, answer, { code: 'assertion_rejected', reason: 'signature_missing', traced: true });
    expect(await tellApp(world, denied, refusal)).toBe('access_denied');
  });

  test('a Redis that brings a used login back (a stale replica took over) does not make its answer good again', async () => {
    await untilRedisServes();
    const login = await beginSamlLogin(world, saml);
    const key = `${prefix}pending:${login.saml.relayState}`;
    const value = (await redis.get(key)) ?? '';
    const cookies = login.browser.cookies.map((cookie) => ({ ...cookie }));
    const fields = saml.idp.answer(login.saml, person);
    await redeem(world, login, await postAnswer(login.browser, login.saml.acsUrl, fields, saml.idp));

    await redis.set(key, value);
    login.browser.cookies.splice(0, Number.POSITIVE_INFINITY, ...cookies);
    const again = () => postAnswer(login.browser, login.saml.acsUrl, fields, saml.idp);
    await expectRefusal(world, again, { code: 'assertion_replayed', traced: true });

    await server.kill();
    await sleep(50);
    await expectRefusal(world, again, lost);
    await expectLoginsToWork();
  });

  test('the log says that it went and that it is back', async () => {
    await server.kill();
    await expectLoginsToWork();
    await server.restart();
    await untilRedisServes();
    const said = world.lines.map(({ msg }) => msg);
    expect(said).toContain('Redis does not answer: Postgres stands in for short-lived values');
    expect(said).toContain('Redis answers again');
  });
});
