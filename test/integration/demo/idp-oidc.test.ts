import * as openid from 'openid-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDemoIdp, type DemoIdp } from '../../../src/demo/idp.ts';
import { createHttpBrowser, type HttpBrowser } from '../../support/http-browser.ts';

const redirectUri = 'http://rp.example/callback';

let idp: DemoIdp;
let config: openid.Configuration;

beforeAll(async () => {
  idp = await createDemoIdp();
  idp.registerOidcClient({
    clientId: 'rp',
    clientSecret: 'a-secret-of-the-test',
    redirectUris: [redirectUri],
    name: 'Test application',
  });
  config = await openid.discovery(new URL(idp.oidcIssuer), 'rp', 'a-secret-of-the-test', undefined, {
    execute: [openid.allowInsecureRequests],
  });
});
afterAll(() => idp.close());

async function begin(parameters: Record<string, string> = {}) {
  const verifier = openid.randomPKCECodeVerifier();
  const state = openid.randomState();
  const nonce = openid.randomNonce();
  const url = openid.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    scope: 'openid email profile groups',
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    ...parameters,
  });
  return {
    url: url.href,
    checks: { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true },
  };
}

/** Opens the login page, chooses a person and stops before the redirect to the relying party. */
async function choose(browser: HttpBrowser, url: string, person: string): Promise<URL> {
  const page = await browser.submit(await browser.open(url), { person }, { until: (next) => next.startsWith(redirectUri) });
  return new URL(page.url);
}

describe('demo identity provider, OpenID Connect', () => {
  test('signs in with code and PKCE; e-mail, name and groups stand in the ID token and in userinfo', async () => {
    const { url, checks } = await begin();
    const tokens = await openid.authorizationCodeGrant(config, await choose(createHttpBrowser(), url, 'devi'), checks);
    const expected = {
      sub: 'devi',
      email: 'devi@tidewater.example',
      email_verified: true,
      name: 'Devi Raman',
      given_name: 'Devi',
      family_name: 'Raman',
      groups: ['analysts', 'Marketing Team'],
    };
    expect(tokens.claims()).toMatchObject(expected);
    expect(await openid.fetchUserInfo(config, tokens.access_token, 'devi')).toEqual(expected);
  });

  test('sends an empty list for a person in no group', async () => {
    const { url, checks } = await begin();
    const tokens = await openid.authorizationCodeGrant(config, await choose(createHttpBrowser(), url, 'emil'), checks);
    expect(tokens.claims()?.groups).toEqual([]);
  });

  test('tells changed groups at the next sign-in', async () => {
    const browser = createHttpBrowser();
    const groupsNow = async () => {
      const { url, checks } = await begin();
      return (await openid.authorizationCodeGrant(config, await choose(browser, url, 'bruno'), checks)).claims()?.groups;
    };
    expect(await groupsNow()).toEqual(['Engineering', 'All Staff']);
    const people = await browser.open(idp.url);
    await browser.submit(
      { ...people, text: personCard(people.text, 'bruno') },
      { group: 'Marketing Team' },
      { formId: 'add-bruno' },
    );
    expect(await groupsNow()).toEqual(['Engineering', 'All Staff', 'Marketing Team']);
  });

  test('asks again each time, also for somebody else in the same browser', async () => {
    const browser = createHttpBrowser();
    for (const person of ['ada', 'bruno']) {
      const { url, checks } = await begin();
      const page = await browser.open(url);
      expect(page.text).toContain('Who is signing in?');
      const callback = await browser.submit(page, { person }, { until: (next) => next.startsWith(redirectUri) });
      const tokens = await openid.authorizationCodeGrant(config, new URL(callback.url), checks);
      expect(tokens.claims()?.sub).toBe(person);
    }
  });

  test('puts the person whom login_hint means first', async () => {
    const { url } = await begin({ login_hint: 'Chiara@tidewater.example' });
    const page = await createHttpBrowser().open(url);
    expect(page.text.match(/name="person" value="(\w+)"( autofocus)?/)?.slice(1)).toEqual(['chiara', ' autofocus']);
  });

  test('answers access_denied when the person cancels', async () => {
    const { url, checks } = await begin();
    const callback = await choose(createHttpBrowser(), url, '');
    await expect(openid.authorizationCodeGrant(config, callback, checks)).rejects.toMatchObject({ error: 'access_denied' });
  });

  test('refuses a request without PKCE and an address that is not registered', async () => {
    const { url } = await begin();
    const withoutPkce = new URL(url);
    withoutPkce.searchParams.delete('code_challenge');
    withoutPkce.searchParams.delete('code_challenge_method');
    const refused = await createHttpBrowser().open(withoutPkce.href, { until: (next) => next.startsWith(redirectUri) });
    expect(new URL(refused.url).searchParams.get('error')).toBe('invalid_request');

    const elsewhere = await begin({ redirect_uri: 'http://evil.example/callback' });
    const page = await createHttpBrowser().open(elsewhere.url);
    expect(page.status).toBe(400);
    expect(page.text).toContain('This sign-in cannot go on');
  });

  test('keeps a login to the browser that began it, and finishes it once', async () => {
    const browser = createHttpBrowser();
    const login = await browser.open((await begin()).url);
    const stranger = await createHttpBrowser().submit(login, { person: 'ada' });
    expect(stranger.status).toBe(400);
    expect(stranger.text).toContain('This sign-in is over');
    const finished = await browser.submit(login, { person: 'ada' }, { until: (next) => next.startsWith(redirectUri) });
    expect(new URL(finished.url).searchParams.get('code')).not.toBeNull();
    expect((await browser.submit(login, { person: 'ada' })).status).toBe(400);
  });

  test('names its cookies so that no other server on the host takes them for its own', async () => {
    const browser = createHttpBrowser();
    await browser.open((await begin()).url);
    expect(browser.cookieNames('localhost')).not.toHaveLength(0);
    for (const name of browser.cookieNames('localhost')) expect(name).toMatch(/^demo_idp_/);
  });
});

/** The people page from one person's card on. */
function personCard(text: string, personId: string): string {
  return text.slice(text.indexOf(`id="${personId}"`));
}
