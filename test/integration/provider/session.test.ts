import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createProviderBrowser, type ProviderBrowser } from '../../support/provider-browser.ts';
import {
  type App,
  ada,
  bob,
  connectionId,
  createApp,
  goThrough,
  logIn,
  type ProviderWorld,
  signedIn,
  startProviderWorld,
} from '../../support/provider-world.ts';

/** Where an authorization request ends without anybody signing in: at the interaction, or back at the app. */
async function ask(app: App, browser: ProviderBrowser, parameters: Readonly<Record<string, string>> = {}) {
  const request = await app.request(parameters);
  const { url, response } = await browser.follow(request.url);
  if (response !== null) return { asked: new URL(url).pathname.startsWith('/interaction/'), url, request };
  return { asked: false, url, request, error: new URL(url).searchParams.get('error') };
}

describe('without a session lifetime', () => {
  let world: ProviderWorld;
  let app: App;
  beforeAll(async () => {
    world = await startProviderWorld();
    app = await createApp(world);
  });
  afterAll(() => world.close());

  it('R26 asks the IdP at every login', async () => {
    const browser = createProviderBrowser();
    for (let login = 0; login < 3; login += 1) {
      expect(await ask(app, browser)).toMatchObject({ asked: true });
      await logIn(app, {}, browser);
    }
    expect(browser.cookies.filter(({ name }) => name.includes('session'))).toEqual([]);
    expect(world.operations.filter((operation) => operation.includes('session'))).toEqual([]);
  });

  it('R26 asks the IdP although the request says max_age', async () => {
    const { browser } = await logIn(app);
    expect(await ask(app, browser, { max_age: '3600' })).toMatchObject({ asked: true });
  });

  it('R26 answers prompt=none with login_required', async () => {
    const { browser } = await logIn(app);
    expect(await ask(app, browser, { prompt: 'none' })).toMatchObject({ asked: false, error: 'login_required' });
    expect(await ask(app, browser)).toMatchObject({ asked: true });
  });

  it('ends with login_required, and not in a circle, where another user signs in than id_token_hint names', async () => {
    const { tokens, browser } = await logIn(app);
    const hint = { id_token_hint: tokens.id_token ?? '' };
    world.outcome = signedIn(bob);
    const mismatch = new URL(await goThrough((await app.request(hint)).url, browser));
    expect(mismatch.searchParams.get('error')).toBe('login_required');
    expect(browser.cookies).toEqual([]);
    expect(world.operations.filter((operation) => operation.includes('session'))).toEqual([]);
    world.outcome = signedIn(ada);
    const match = new URL(await goThrough((await app.request(hint)).url, browser));
    expect(match.searchParams.get('code')).toMatch(/^[\w-]{43}$/);
  });
});

describe('with a session lifetime of an hour', () => {
  let world: ProviderWorld;
  let app: App;
  beforeAll(async () => {
    world = await startProviderWorld({ sessionLifetimeSeconds: 3_600 });
    app = await createApp(world);
  });
  afterAll(() => world.close());
  afterEach(() => {
    vi.useRealTimers();
    world.outcome = signedIn(ada);
    world.accounts.set(`${ada.userId} ${connectionId}`, ada);
  });

  it('R26 honours the session, for every client, with the memberships of the connection that began it', async () => {
    const { browser } = await logIn(app);
    const other = await createApp(world, 'other');
    for (const client of [app, other]) {
      const again = await ask(client, browser);
      expect(again.asked).toBe(false);
      const tokens = await client.exchange(again.url, again.request);
      expect(tokens.claims()).toMatchObject({ sub: ada.userId, memberships: [{ workspace: 'acme' }] });
      expect(await client.userinfo(tokens.access_token)).toMatchObject({ sub: ada.userId });
    }
  });

  it('R26 answers prompt=none from the session, and with login_required in another browser', async () => {
    const { browser } = await logIn(app);
    const again = await ask(app, browser, { prompt: 'none' });
    expect((await app.exchange(again.url, again.request)).claims()?.sub).toBe(ada.userId);
    expect(await ask(app, createProviderBrowser(), { prompt: 'none' })).toMatchObject({ error: 'login_required' });
  });

  it('R26 counts the hour from the login, not from the last use', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { browser } = await logIn(app);
    vi.setSystemTime(Date.now() + 3_000_000);
    expect(await ask(app, browser)).toMatchObject({ asked: false });
    vi.setSystemTime(Date.now() + 599_000);
    expect(await ask(app, browser)).toMatchObject({ asked: false });
    vi.setSystemTime(Date.now() + 2_000);
    expect(await ask(app, browser)).toMatchObject({ asked: true });
    expect(await ask(app, browser, { prompt: 'none' })).toMatchObject({ error: 'login_required' });
  });

  it.each([
    ['prompt=login', { prompt: 'login' }],
    ['max_age=0', { max_age: '0' }],
    ['another workspace', { workspace: 'globex' }],
    ['another connection', { connection: '0190c000-0000-7000-8000-000000000002' }],
    ['a login hint', { login_hint: 'bob@example.com' }],
  ])('asks the IdP all the same at %s', async (_name, parameters) => {
    const { browser } = await logIn(app);
    expect(await ask(app, browser, parameters)).toMatchObject({ asked: true });
    expect(await ask(app, browser)).toMatchObject({ asked: false });
  });

  it('does not let a request for one workspace open the door to the next', async () => {
    const { browser } = await logIn(app, { workspace: 'acme' });
    expect(await ask(app, browser, { workspace: 'acme' })).toMatchObject({ asked: false });
    for (let attempt = 0; attempt < 2; attempt += 1) {
      expect(await ask(app, browser, { workspace: 'globex' })).toMatchObject({ asked: true });
      expect(await ask(app, browser, { workspace: 'globex', prompt: 'none' })).toMatchObject({ error: 'login_required' });
    }
  });

  it('honours max_age by the time at which the IdP authenticated the user', async () => {
    world.outcome = signedIn(ada, { authenticatedAt: new Date(Date.now() - 600_000) });
    const { browser } = await logIn(app);
    expect(await ask(app, browser, { max_age: '300' })).toMatchObject({ asked: true });
    expect(await ask(app, browser, { max_age: '900' })).toMatchObject({ asked: false });
  });

  it('R32 asks the IdP once the account is archived, and after it was restored', async () => {
    const { browser } = await logIn(app);
    world.accounts.delete(`${ada.userId} ${connectionId}`);
    expect(await ask(app, browser)).toMatchObject({ asked: true });
    await world.provider.revokeUser(ada.userId);
    world.accounts.set(`${ada.userId} ${connectionId}`, ada);
    expect(await ask(app, browser)).toMatchObject({ asked: true });
    await new Promise((resolve) => setTimeout(resolve, 2));
    await logIn(app, {}, browser);
    expect(await ask(app, browser)).toMatchObject({ asked: false });
  });

  it('gives the session a new id with each login, so that none can be planted', async () => {
    const { browser } = await logIn(app);
    const held = () => browser.cookies.find(({ name }) => name === 'rollcall-session')?.value;
    const before = held();
    expect(before).toMatch(/^[\w-]+$/);
    await logIn(app, { prompt: 'login' }, browser);
    expect(held()).toMatch(/^[\w-]+$/);
    expect(held()).not.toBe(before);
  });

  it('does not take a changed session cookie', async () => {
    const { browser } = await logIn(app);
    const cookie = browser.cookies.find(({ name }) => name === 'rollcall-session');
    const { browser: other } = await logIn(app);
    const foreign = other.cookies.find(({ name }) => name === 'rollcall-session');
    const own = cookie?.value;
    Object.assign(cookie ?? {}, { value: foreign?.value });
    expect(await ask(app, browser)).toMatchObject({ asked: true });
    expect(own).toBeDefined();
    expect(await ask(app, other)).toMatchObject({ asked: false });
  });

  it('changes over to the other user who signs in in the same browser', async () => {
    const { browser } = await logIn(app);
    world.outcome = signedIn(bob);
    const request = await app.request({ prompt: 'login' });
    const start = await browser.follow(request.url);
    // The library signs the first user out by a form that sends itself, and comes back.
    const { response } = await browser.follow(`${start.url}/finish`);
    const page = (await response?.text()) ?? '';
    const [, action = ''] = /action="([^"]+)"/.exec(page) ?? [];
    const [, xsrf = ''] = /name="xsrf" value="([^"]+)"/.exec(page) ?? [];
    const confirmed = await browser.visit(action, { method: 'POST', body: new URLSearchParams({ xsrf, logout: 'yes' }) });
    const { url } = await browser.follow(confirmed.headers.get('location') ?? '');
    expect((await app.exchange(url, request)).claims()?.sub).toBe(bob.userId);
    const again = await ask(app, browser);
    expect((await app.exchange(again.url, again.request)).claims()?.sub).toBe(bob.userId);
  });
});
