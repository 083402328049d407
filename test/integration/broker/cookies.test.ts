import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BrokerBrowser } from '../../support/broker-browser.ts';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { expectRefusal } from '../../support/broker-evidence.ts';
import {
  answerOidc,
  answerSaml,
  beginOidcLogin,
  beginSamlLogin,
  type OidcConnection,
  redeem,
  type SamlConnection,
} from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';

interface Place {
  readonly world: BrokerWorld;
  readonly saml: SamlConnection;
  readonly oidc: OidcConnection;
}

let idp: OidcIdp;
let overHttps: Place;
let overHttp: Place;

async function settle(world: BrokerWorld, samlOrigin: string): Promise<Place> {
  await world.api.workspace('acme', { design: null });
  const samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: samlOrigin });
  const saml = await connectSaml(world, samlIdp, { workspace: 'acme', protocol: { authn_request_binding: 'post' } });
  return { world, saml, oidc: await connectOidc(world, idp, { workspace: 'acme' }) };
}

beforeAll(async () => {
  idp = await startOidcIdp();
  [overHttps, overHttp] = await Promise.all([
    startBrokerWorld({ publicUrl: 'https://login.rollcall.example', settings: { mode: 'production' } }).then((world) =>
      settle(world, 'https://idp.customer.example'),
    ),
    startBrokerWorld().then((world) => settle(world, 'http://127.0.0.1:9')),
  ]);
});
afterAll(async () => {
  await Promise.all([overHttps.world.stop(), overHttp.world.stop()]);
  await idp.stop();
});

const person = { nameId: 'ada', email: 'ada@customer.example', groups: ['design'] };
const user = { sub: 'ada', email: 'ada@customer.example', groups: ['design'] };

/** Name and attributes of each cookie that was set to a value, in order. */
function cookiesSet({ setCookieLines }: BrokerBrowser): string[] {
  return setCookieLines
    .filter((line) => !/^[^=]+=;|expires=Thu, 01 Jan 1970/i.test(line))
    .map((line) =>
      line
        .replace(/-[\w-]{16}=/, '-*=')
        .replace(/=[^;]*/, '')
        .replace(/expires=[^;]+/i, 'expires=…'),
    );
}

const cleared = ({ cookies }: BrokerBrowser) => cookies.map(({ name }) => name);

describe('over https', () => {
  test("SAML: the IdP's cross-site POST brings the login's cookie along, and the login ends at the app", async () => {
    const { world, saml } = overHttps;
    const login = await beginSamlLogin(world, saml);
    const visit = await answerSaml(login, saml, person);
    expect((await redeem(world, login, visit)).memberships).toHaveLength(1);
    expect(login.browser.setCookieLines.length).toBeGreaterThan(0);
    for (const line of login.browser.setCookieLines) expect(line).toMatch(/;\s*httponly/i);
    for (const line of login.browser.setCookieLines) expect(line).toMatch(/;\s*secure/i);
    const own = cookiesSet(login.browser).filter((line) => line.includes('rollcall-login'));
    expect(own).toEqual(['__Host-rollcall-login-*; Max-Age=600; Path=/; HttpOnly; Secure; SameSite=None']);
    const ofProvider = cookiesSet(login.browser).filter((line) => line.startsWith('__Secure-rollcall-'));
    expect(ofProvider.length).toBeGreaterThanOrEqual(2);
    for (const line of ofProvider) expect(line).toMatch(/;\s*samesite=lax/i);
    // Nothing of a finished login is left behind, and no session (R26).
    expect(cleared(login.browser)).toEqual([]);
  });

  test('OpenID Connect: the same', async () => {
    const { world, oidc } = overHttps;
    const login = await beginOidcLogin(world, oidc, user);
    expect((await redeem(world, login, await answerOidc(login))).memberships).toHaveLength(1);
    expect(cleared(login.browser)).toEqual([]);
  });

  test('a browser that keeps the cookie to its own site is refused: SameSite=None is what carries it', async () => {
    const { world, saml } = overHttps;
    const login = await beginSamlLogin(world, saml);
    const kept = login.browser.cookies.splice(0);
    login.browser.cookies.push(...kept.map((cookie) => ({ ...cookie, sameSite: 'lax' })));
    const refused = { code: 'login_expired', reason: 'other_browser', traced: false } as const;
    await expectRefusal(world, () => answerSaml(login, saml, person), refused);
    login.browser.cookies.splice(0, Number.POSITIVE_INFINITY, ...kept);
    expect((await answerSaml(login, saml, person)).leadsTo).toContain('code=');
  });

  test('HSTS is sent, and over plain http it is not', async () => {
    const strict = async ({ world }: Place) =>
      (await world.send(`${world.publicUrl}/livez`, {})).headers.get('strict-transport-security');
    expect(await strict(overHttps)).toBe('max-age=31536000');
    expect(await strict(overHttp)).toBeNull();
  });
});

describe('over plain http on loopback', () => {
  test('browsers take neither Secure nor SameSite=None: Lax serves, and the login ends at the app', async () => {
    const { world, saml } = overHttp;
    const login = await beginSamlLogin(world, saml);
    expect((await redeem(world, login, await answerSaml(login, saml, person))).memberships).toHaveLength(1);
    const own = cookiesSet(login.browser).filter((line) => line.includes('rollcall-login'));
    expect(own).toEqual(['rollcall-login-*; Max-Age=600; Path=/; HttpOnly; SameSite=Lax']);
    for (const line of login.browser.setCookieLines) expect(line).not.toMatch(/;\s*secure/i);
    expect(cleared(login.browser)).toEqual([]);
  });
});

describe('many logins that were begun and left', () => {
  test('do not fill the cookie header without end, and the last one still works', async () => {
    const { world, saml } = overHttps;
    const browser = world.newBrowser();
    for (let count = 0; count < 14; count += 1) await beginSamlLogin(world, saml, { browser });
    const login = await beginSamlLogin(world, saml, { browser });
    expect(browser.cookies.filter(({ name }) => name.startsWith('__Host-rollcall-login-'))).toHaveLength(10);
    expect((await redeem(world, login, await answerSaml(login, saml, person))).memberships).toHaveLength(1);
  });
});
