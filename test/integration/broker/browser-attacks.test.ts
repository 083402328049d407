import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Acme, startAcme } from '../../support/broker-acme.ts';
import type { BrokerBrowser, Visit } from '../../support/broker-browser.ts';
import { expectRefusal, storedState } from '../../support/broker-evidence.ts';
import {
  answerOidc,
  answerSaml,
  beginLogin,
  beginOidcLogin,
  beginSamlLogin,
  type OidcConnection,
  oidcAnswer,
  postAnswer,
  redeem,
  type SamlConnection,
} from '../../support/broker-login.ts';
import type { BrokerWorld } from '../../support/broker-world.ts';
import type { OidcIdp } from '../../support/oidc-idp.ts';

let world: BrokerWorld;
let idp: OidcIdp;
let saml: SamlConnection;
let oidc: OidcConnection;

let acme: Acme;
beforeAll(async () => {
  acme = await startAcme();
  ({ world, idp, saml, oidc } = acme);
});
afterAll(() => acme.stop());

const mallory = { nameId: 'mallory', email: 'mallory@evil.example', groups: ['design'] };
const malloryAtOidc = { sub: 'mallory', email: 'mallory@evil.example', groups: ['design'] };
const person = { nameId: 'ada', email: 'ada@customer.example', groups: ['design'] };

const otherBrowser = { code: 'login_expired', reason: 'other_browser', traced: false } as const;
const gone = { code: 'login_expired', reason: 'interaction_gone', traced: false } as const;

/** A browser that is itself on the way to the IdP, as a victim's may be. */
async function aBusyBrowser(): Promise<BrokerBrowser> {
  return (await beginSamlLogin(world, saml)).browser;
}

describe("login CSRF: the attacker's answer in the victim's browser", () => {
  test.each(['idle', 'busy'])('SAML, the browser %s: refused, and the answer is not used up', async (state) => {
    const login = await beginSamlLogin(world, saml);
    const victim = state === 'busy' ? await aBusyBrowser() : world.newBrowser();
    const fields = saml.idp.answer(login.saml, mallory);
    await expectRefusal(world, () => postAnswer(victim, login.saml.acsUrl, fields, saml.idp), otherBrowser);
    expect(victim.cookies.some(({ name }) => name.includes(login.saml.relayState.slice(0, 8)))).toBe(false);
    const visit = await postAnswer(login.browser, login.saml.acsUrl, fields, saml.idp);
    expect((await redeem(world, login, visit)).memberships).toHaveLength(1);
  });

  test.each(['idle', 'busy'])('OpenID Connect, the browser %s: refused, and the code is not used up', async (state) => {
    const login = await beginOidcLogin(world, oidc, malloryAtOidc);
    const victim = state === 'busy' ? await aBusyBrowser() : world.newBrowser();
    const address = await oidcAnswer(login);
    const served = idp.served.token;
    await expectRefusal(world, () => victim.open(address), otherBrowser);
    expect(idp.served.token).toBe(served);
    expect((await redeem(world, login, await login.browser.open(address))).memberships).toHaveLength(1);
  });

  test("the victim's cookie of another login, renamed by whoever can write cookies, does not help", async () => {
    const login = await beginSamlLogin(world, saml);
    const victim = await aBusyBrowser();
    const own = victim.cookies.find(({ name }) => name.includes('rollcall-login-'));
    const attackers = login.browser.cookies.find(({ name }) => name.includes('rollcall-login-'));
    if (!own || !attackers) throw new Error('no cookies');
    victim.cookies.push({ ...own, name: attackers.name });
    const fields = saml.idp.answer(login.saml, mallory);
    await expectRefusal(world, () => postAnswer(victim, login.saml.acsUrl, fields, saml.idp), otherBrowser);
    // Two of one name: one of them was planted.
    victim.cookies.push({ ...attackers, path: '/saml' });
    await expectRefusal(world, () => postAnswer(victim, login.saml.acsUrl, fields, saml.idp), otherBrowser);
  });
});

describe("somebody else's interaction", () => {
  test('begun by a link: the address alone opens nothing', async () => {
    const { browser, visit } = await beginLogin(world, { parameters: { workspace: 'acme' } });
    expect(visit.status).toBe(200);
    await expectRefusal(world, () => world.newBrowser().open(visit.url), gone);
    expect((await browser.open(visit.url)).status).toBe(200);
  });

  test('finished by another browser: refused, and the outcome is not used up', async () => {
    const login = await beginSamlLogin(world, saml);
    const fields = saml.idp.answer(login.saml, person);
    const answered = await login.browser.post(login.saml.acsUrl, fields, { from: saml.idp.origin, follow: false });
    const finish = answered.leadsTo ?? '';
    expect(finish).toMatch(/\/interaction\/[\w-]+\/finish$/);
    for (const stranger of [world.newBrowser(), await aBusyBrowser()]) {
      await expectRefusal(world, () => stranger.open(finish), gone);
    }
    // One that has an interaction of its own and sends its cookie to any path.
    const busy = await aBusyBrowser();
    for (const cookie of busy.cookies.splice(0)) busy.cookies.push({ ...cookie, path: '/' });
    await expectRefusal(world, () => busy.open(finish), gone);
    expect((await redeem(world, login, await login.browser.open(finish))).memberships).toHaveLength(1);
  });

  test('resumed by another browser, at the last step before the app: refused', async () => {
    const login = await beginSamlLogin(world, saml);
    const fields = saml.idp.answer(login.saml, person);
    const answered = await login.browser.post(login.saml.acsUrl, fields, { from: saml.idp.origin, follow: false });
    const finished = await login.browser.open(answered.leadsTo ?? '', { follow: false });
    const resume = finished.leadsTo ?? '';
    expect(resume).toContain(`${world.publicUrl}/oidc/auth/`);
    await expectRefusal(world, () => world.newBrowser().open(resume), gone);
    expect((await redeem(world, login, await login.browser.open(resume))).memberships).toHaveLength(1);
  });

  test("the code that one browser got is worth nothing with another login's verifier", async () => {
    const [one, two] = [await beginSamlLogin(world, saml), await beginSamlLogin(world, saml)];
    const visit = await answerSaml(one, saml, person);
    const injected = world.app.redeem({ ...two.request, state: one.request.state }, visit.leadsTo ?? '');
    await expect(injected).rejects.toMatchObject({ error: 'invalid_grant' });
    expect((await redeem(world, two, await answerSaml(two, saml, person))).memberships).toHaveLength(1);
  });
});

describe('open redirects', () => {
  const evil = 'https://evil.example';

  function expectNowhereElse(visit: Visit): void {
    expect(visit.leadsTo).toBeNull();
    expect(visit.headers.get('location')).toBeNull();
    expect(visit.text).not.toContain(`href="${evil}`);
    expect(visit.text).not.toContain(`action="${evil}`);
    expect(visit.headers.get('refresh')).toBeNull();
    expect(visit.status).toBeGreaterThanOrEqual(400);
  }

  const tries = [
    '/interaction/x/finish?returnTo=https://evil.example',
    '/interaction/x?redirect_uri=https://evil.example',
    '//evil.example/interaction/x/finish',
    '/\\evil.example',
    '/interaction//evil.example/finish',
    '/interaction/%2f%2fevil.example/finish',
    '/oidc/auth/x?redirect_uri=https://evil.example',
    '/callback/x?state=https://evil.example&code=x&iss=https://evil.example',
    '/oidc/logout?post_logout_redirect_uri=https://evil.example&client_id=app',
    '/oidc/auth?client_id=app&response_type=code&scope=openid&redirect_uri=https://evil.example',
    '/oidc/auth?client_id=app&response_type=code&scope=openid&redirect_uri=https://app.example.com.evil.example/callback',
    '/oidc/auth?client_id=app&response_type=code&scope=openid&redirect_uri=https://app.example.com/callback/../../evil',
    '/oidc/auth?client_id=app&response_type=code&scope=openid',
    '/oidc/auth?client_id=https://evil.example&response_type=code&redirect_uri=https://evil.example',
  ];
  test.each(tries)('GET %s', async (path) => {
    const busy = await aBusyBrowser();
    const before = await storedState(world.stores.db);
    expectNowhereElse(await busy.open(world.publicUrl + path));
    expect(await storedState(world.stores.db)).toEqual(before);
  });

  test('RelayState and fields of the form', async () => {
    const login = await beginSamlLogin(world, saml);
    const { SAMLResponse } = saml.idp.answer(login.saml, person);
    for (const RelayState of [evil, '//evil.example', 'javascript:alert(1)']) {
      expectNowhereElse(
        await login.browser.post(login.saml.acsUrl, { SAMLResponse, RelayState, redirect: evil, returnTo: evil }),
      );
    }
    const visit = await login.browser.post(login.saml.acsUrl, {
      ...saml.idp.answer(login.saml, person),
      redirect: evil,
      returnTo: evil,
    });
    expect(visit.leadsTo).toMatch(/^https:\/\/app\.example\.com\/callback\?code=/);
  });

  test('Host and X-Forwarded-* change no address that is given out', async () => {
    const headers = {
      host: 'evil.example',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      forwarded: 'host=evil.example',
    };
    const { url } = await world.app.request({ connection: saml.id });
    const browser = world.newBrowser();
    const departure = await browser.open(url, { headers });
    expect(decodeURIComponent(departure.leadsTo ?? '')).not.toContain('evil.example');
    const discovery = await world.send(`${world.publicUrl}/oidc/.well-known/openid-configuration`, { headers });
    expect(await discovery.text()).not.toContain('evil.example');
    const metadata = await world.send(`${world.publicUrl}/saml/${saml.id}/metadata`, { headers });
    expect(await metadata.text()).not.toContain('evil.example');
    // The token request repeats the address that the IdP knows, whatever Host the callback came with.
    const login = await beginOidcLogin(world, oidc, malloryAtOidc);
    const visit = await login.browser.open(await oidcAnswer(login), { headers });
    expect((await redeem(world, login, visit)).memberships).toHaveLength(1);
  });

  test('no page can be framed, and none loads anything of others', async () => {
    const login = await beginSamlLogin(world, saml);
    const pages = [
      await login.browser.open(`${world.publicUrl}/nothing`),
      (await beginLogin(world, { parameters: { workspace: 'acme' } })).visit,
      await postAnswer(login.browser, login.saml.acsUrl, { SAMLResponse: 'x', RelayState: login.saml.relayState }, saml.idp),
    ];
    for (const { headers } of pages) {
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
      expect(headers.get('referrer-policy')).toBe('strict-origin');
    }
    expect((await answerOidc(await beginOidcLogin(world, oidc, malloryAtOidc))).leadsTo).toContain('code=');
  });
});
