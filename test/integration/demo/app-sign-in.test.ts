import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDemoApp, type DemoApp } from '../../../src/demo/app.ts';
import { createDemoIdp, type DemoIdp } from '../../../src/demo/idp.ts';
import { createHttpBrowser } from '../../support/http-browser.ts';

const credentials = {
  clientId: 'demo-app',
  clientSecret: 'a-secret-of-the-test',
  webhookSecret: `whsec_${Buffer.from('a secret of thirty-two bytes ...').toString('base64')}`,
};
const nobody = { url: 'http://localhost:1', apiKey: 'none' };

let idp: DemoIdp;
let app: DemoApp;
const reportError = () => undefined;

// The demo's own identity provider stands in for Rollcall: to a relying party, an issuer is an issuer.
beforeAll(async () => {
  idp = await createDemoIdp();
  app = await createDemoApp({
    ...credentials,
    issuer: idp.oidcIssuer,
    rollcallApi: nobody,
    saml: { connection: 'saml-1' },
    oidc: { connection: 'oidc-1' },
    idpUrl: idp.url,
    reportError,
  });
  idp.registerOidcClient({ ...credentials, redirectUris: [app.redirectUri], name: 'Fieldnotes' });
});
afterAll(() => Promise.all([app.close(), idp.close()]));

describe('demo app, signing in', () => {
  test('signs a person in, keeps them signed in, and signs them out', async () => {
    const browser = createHttpBrowser();
    const page = await browser.submit(await browser.open(`${app.url}/sign-in?with=oidc`), { person: 'chiara' });
    expect(page.url).toBe(`${app.url}/`);
    expect(page.text).toContain('Signed in with OIDC');
    expect(page.text).toContain('<h1>Chiara Marin</h1>');
    expect(page.text).toContain('Rollcall named no workspace');
    expect((await browser.open(app.url)).text).toContain('<h1>Chiara Marin</h1>');
    expect((await createHttpBrowser().open(app.url)).text).toContain('Welcome to Fieldnotes');

    const out = await browser.submit(page);
    expect(out.text).toContain('Welcome to Fieldnotes');
    expect((await browser.open(app.url)).text).not.toContain('Chiara');
  });

  test.each([
    ['?with=saml', 'saml-1'],
    ['?with=oidc', 'oidc-1'],
    ['', null],
    ['?with=other', null],
  ])('sends the connection of the button: %s', async (query, connection) => {
    const { url } = await createHttpBrowser().open(`${app.url}/sign-in${query}`, { until: () => true });
    const { searchParams } = new URL(url);
    expect(searchParams.get('connection')).toBe(connection);
    expect(searchParams.get('code_challenge_method')).toBe('S256');
    expect(searchParams.get('state')).not.toBeNull();
    expect(searchParams.get('nonce')).not.toBeNull();
  });

  test('says that the person was refused, and why', async () => {
    const browser = createHttpBrowser();
    const page = await browser.submit(await browser.open(`${app.url}/sign-in`), { person: '' });
    expect(page.status).toBe(403);
    expect(page.text).toContain('You are not signed in');
    expect(page.text).toContain('the person did not sign in');
    expect(page.text).toContain('OAuth error code: access_denied');
  });

  test('takes an answer in the browser that asked, once, and in no other', async () => {
    const browser = createHttpBrowser();
    const login = await browser.open(`${app.url}/sign-in`);
    const stop = { until: (url: string) => url.startsWith(app.redirectUri) };
    const answer = await browser.submit(login, { person: 'ada' }, stop);
    const stranger = await createHttpBrowser().open(answer.url);
    expect(stranger.status).toBe(400);
    expect(stranger.text).toContain('begun in another browser');
    expect((await browser.open(answer.url)).text).toContain('<h1>Ada Lindqvist</h1>');
    expect((await browser.open(answer.url)).status).toBe(400);
  });

  test('refuses an answer with another state', async () => {
    const browser = createHttpBrowser();
    const stop = { until: (url: string) => url.startsWith(app.redirectUri) };
    const answer = new URL((await browser.submit(await browser.open(`${app.url}/sign-in`), { person: 'ada' }, stop)).url);
    answer.searchParams.set('state', 'another');
    const page = await browser.open(answer.href);
    expect(page.status).toBe(502);
    expect(page.text).toContain('The answer of Rollcall was not accepted.');
    expect((await browser.open(app.url)).text).toContain('Welcome to Fieldnotes');
  });

  test('writes the words of an error answer as text', async () => {
    const browser = createHttpBrowser();
    const begun = await browser.open(`${app.url}/sign-in`, { until: (url) => url.startsWith(idp.oidcIssuer) });
    const error = {
      state: new URL(begun.url).searchParams.get('state') ?? '',
      iss: idp.oidcIssuer,
      error: 'access_denied',
      error_description: '<script>alert(1)</script>',
    };
    const page = await browser.open(`${app.redirectUri}?${new URLSearchParams(error)}`);
    expect(page.status).toBe(403);
    expect(page.text).toContain('&lt;script&gt;alert(1)');
  });

  test('signs nobody out for another site', async () => {
    const browser = createHttpBrowser();
    const page = await browser.submit(await browser.open(`${app.url}/sign-in`), { person: 'ada' });
    const foreign = await browser.submit({
      ...page,
      url: 'http://localhost:1/',
      text: page.text.replace('/sign-out', `${app.url}/sign-out`),
    });
    expect(foreign.status).toBe(403);
    expect((await browser.open(app.url)).text).toContain('<h1>Ada Lindqvist</h1>');
  });

  test('names its cookies so that no other server on the host takes them for its own', async () => {
    const browser = createHttpBrowser();
    await browser.submit(await browser.open(`${app.url}/sign-in`), { person: 'ada' });
    for (const name of browser.cookieNames('localhost')) expect(name).toMatch(/^demo_(app|idp)_/);
    expect(browser.cookieNames('localhost')).toContain('demo_app_session');
  });

  test('says that Rollcall cannot be reached, and asks again at the next sign-in', async () => {
    const other = await createDemoIdp();
    const { port } = new URL(other.url);
    await other.close();
    const early = await createDemoApp({ ...credentials, issuer: other.oidcIssuer, rollcallApi: nobody, reportError });
    const browser = createHttpBrowser();
    const down = await browser.open(`${early.url}/sign-in`);
    expect(down.status).toBe(502);
    expect(down.text).toContain('Rollcall cannot be reached at the moment.');

    const late = await createDemoIdp({ port: Number(port) });
    late.registerOidcClient({ ...credentials, redirectUris: [early.redirectUri], name: 'Fieldnotes' });
    const page = await browser.submit(await browser.open(`${early.url}/sign-in`), { person: 'emil' });
    expect(page.text).toContain('<h1>Emil Novák</h1>');
    await Promise.all([early.close(), late.close()]);
  });
});
