import { buildEndSessionUrl } from 'openid-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createProviderBrowser, type ProviderBrowser } from '../../support/provider-browser.ts';
import { type App, ada, createApp, logIn, type ProviderWorld, startProviderWorld } from '../../support/provider-world.ts';

const bye = 'https://app.example.com/bye';

/** Opens the logout address; sends the form of the page, pressing the button, and follows. */
async function logOut(url: string, browser: ProviderBrowser, fields: Readonly<Record<string, string>> = {}) {
  const page = await browser.visit(url);
  const text = await page.text();
  const form = {
    action: /action="([^"]+)"/.exec(text)?.[1] ?? '',
    xsrf: /name="xsrf" value="([^"]+)"/.exec(text)?.[1] ?? '',
  };
  if (page.status !== 200 || form.action === '') return { page, text, end: '' };
  const body = new URLSearchParams({ xsrf: form.xsrf, logout: 'yes', ...fields });
  const answer = await browser.visit(form.action, { method: 'POST', body });
  return { page, text, end: answer.headers.get('location') ?? '', status: answer.status };
}

describe.each([
  ['without sessions', 0],
  ['with sessions', 3_600],
])('RP-initiated logout %s', (_name, sessionLifetimeSeconds) => {
  let world: ProviderWorld;
  let app: App;
  beforeAll(async () => {
    world = await startProviderWorld({ sessionLifetimeSeconds });
    app = await createApp(world);
  });
  afterAll(() => world.close());

  const address = (parameters: Readonly<Record<string, string>>) => buildEndSessionUrl(app.config, parameters).href;
  const hintOf = (tokens: { id_token?: string }) => ({ id_token_hint: tokens.id_token ?? '' });
  const works = (token: string) =>
    app.userinfo(token).then(
      ({ sub }) => sub === ada.userId,
      () => false,
    );

  it('ends the tokens of that login, and of no other, and goes back to the app', async () => {
    const first = await logIn(app);
    const second = await logIn(app);
    const { end } = await logOut(
      address({ ...hintOf(first.tokens), post_logout_redirect_uri: bye, state: 'xyz' }),
      first.browser,
    );
    expect(end).toBe(`${bye}?state=xyz`);
    expect(await works(first.tokens.access_token)).toBe(false);
    expect(await works(second.tokens.access_token)).toBe(true);
  });

  it('ends on a page of ours where the app names no address', async () => {
    const { browser, tokens } = await logIn(app);
    const { end } = await logOut(address(hintOf(tokens)), browser);
    expect(end).toBe(`${world.issuer}/logout/success`);
    const page = await browser.visit(end);
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('You are signed out');
  });

  it.each([
    ['not registered', 'https://evil.example.com/'],
    ['a redirect URI, but none for logout', 'https://app.example.com/callback'],
    ['longer than the registered one', `${bye}/more`],
    ['a script', 'javascript:alert(1)'],
  ])('refuses an address that is %s', async (_name2, uri) => {
    const { browser, tokens } = await logIn(app);
    const refused = await logOut(address({ ...hintOf(tokens), post_logout_redirect_uri: uri }), browser);
    expect(refused).toMatchObject({ end: '', page: { status: 400 } });
    expect(refused.text).toContain('The request cannot be understood');
    expect(refused.text).not.toContain(uri);
    expect(await works(tokens.access_token)).toBe(true);
    expect((await logOut(address({ ...hintOf(tokens), post_logout_redirect_uri: bye }), browser)).end).toBe(bye);
  });

  it('does not follow an address of which nothing says whose it is', async () => {
    const uri = new URLSearchParams({ post_logout_redirect_uri: bye });
    const { end } = await logOut(`${world.issuer}/logout?${uri}`, createProviderBrowser());
    expect(end).toBe(`${world.issuer}/logout/success`);
  });

  it('takes no forged hint, and revokes nothing for one', async () => {
    const { browser, tokens } = await logIn(app);
    const [header, payload, signature = ''] = (tokens.id_token ?? '').split('.');
    const forged = [
      `${header}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`,
      `${btoa('{"alg":"none"}')}.${payload}.`,
      'nonsense',
    ];
    for (const hint of forged) {
      expect((await logOut(address({ id_token_hint: hint }), browser)).page.status).toBe(400);
      expect(await works(tokens.access_token)).toBe(true);
    }
    await logOut(address(hintOf(tokens)), browser);
    expect(await works(tokens.access_token)).toBe(false);
  });

  it('takes a confirmation from the page itself only', async () => {
    const { browser, tokens } = await logIn(app);
    const foreign = await logOut(address(hintOf(tokens)), browser, { xsrf: 'x'.repeat(48) });
    expect(foreign.status).toBe(400);
    const without = await createProviderBrowser().visit(`${world.issuer}/logout/confirm`, { method: 'POST', body: 'logout=yes' });
    expect(without.status).toBe(400);
    expect((await logOut(address(hintOf(tokens)), browser)).status).toBe(303);
  });
});

describe('logout of a session', () => {
  let world: ProviderWorld;
  let app: App;
  beforeAll(async () => {
    world = await startProviderWorld({ sessionLifetimeSeconds: 3_600 });
    app = await createApp(world);
  });
  afterAll(() => world.close());

  const asks = async (browser: ProviderBrowser) => (await browser.follow((await app.request()).url)).response !== null;

  it('asks the user first unless the app proves whom it means, so that no foreign page can sign anybody out', async () => {
    const { browser, tokens } = await logIn(app);
    const asking = await browser.visit(`${world.issuer}/logout`);
    const text = await asking.text();
    expect(text).toContain('Do you want to sign out?');
    expect(text).not.toContain('<script');
    expect(await asks(browser)).toBe(false);
    const proved = await browser.visit(buildEndSessionUrl(app.config, { id_token_hint: tokens.id_token ?? '' }).href);
    expect(await proved.text()).toContain('<script>');
    const policy = proved.headers.get('content-security-policy');
    expect(policy).toMatch(/script-src 'sha256-[\w+/]{43}='/);
    expect(policy).not.toContain('form-action');
  });

  it('asks the user too when the hint names another user', async () => {
    const [mine, other] = [await logIn(app), await logIn(app)];
    const { sub } = other.tokens.claims() ?? {};
    expect(sub).toBe(ada.userId);
    world.outcome = { ...world.outcome, userId: '0190a000-0000-7000-8000-00000000000b' } as typeof world.outcome;
    const bob = await logIn(app);
    const page = await mine.browser.visit(buildEndSessionUrl(app.config, { id_token_hint: bob.tokens.id_token ?? '' }).href);
    expect(await page.text()).toContain('Do you want to sign out?');
  });

  it('ends the session and the tokens of every client in it', async () => {
    const { browser, tokens } = await logIn(await createApp(world));
    const other = await createApp(world, 'other');
    const request = await other.request();
    const { url } = await browser.follow(request.url);
    const second = await other.exchange(url, request);
    const subject = String(tokens.claims()?.sub);
    expect(await other.userinfo(second.access_token, subject)).toMatchObject({ sub: subject });
    await logOut(`${world.issuer}/logout`, browser);
    expect(await asks(browser)).toBe(true);
    await expect(other.userinfo(second.access_token, subject)).rejects.toMatchObject({ status: 401 });
    await expect(app.userinfo(tokens.access_token, subject)).rejects.toMatchObject({ status: 401 });
  });

  it('keeps the session of a user who wants to stay', async () => {
    const { browser, tokens } = await logIn(app);
    await logOut(`${world.issuer}/logout`, browser, { logout: '' });
    expect(await asks(browser)).toBe(false);
    const subject = String(tokens.claims()?.sub);
    expect(await app.userinfo(tokens.access_token, subject)).toMatchObject({ sub: subject });
  });
});
