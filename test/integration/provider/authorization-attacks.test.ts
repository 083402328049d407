import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createProviderBrowser } from '../../support/provider-browser.ts';
import {
  type App,
  ada,
  callback,
  createApp,
  createSlowStore,
  goThrough,
  type ProviderWorld,
  startProviderWorld,
} from '../../support/provider-world.ts';

let world: ProviderWorld;
let app: App;
beforeAll(async () => {
  world = await startProviderWorld({ store: createSlowStore() });
  app = await createApp(world);
});
afterAll(() => world.close());

/** What an authorization request leads to: a page of ours, the interaction, or the app. */
async function outcomeOf(url: string) {
  const { url: end, response } = await createProviderBrowser().follow(url);
  if (response === null) {
    const { searchParams, hash } = new URL(end);
    return { to: 'app', ...Object.fromEntries([...searchParams, ...new URLSearchParams(hash.slice(1))]) };
  }
  if (new URL(end).pathname.startsWith('/interaction/')) return { to: 'interaction' };
  return { to: 'page', status: response.status, text: await response.text() };
}

async function changed(change: (query: URLSearchParams) => void): Promise<string> {
  const url = new URL((await app.request()).url);
  change(url.searchParams);
  return url.href;
}

describe('an authorization request that cannot be trusted ends on our own page, not at its redirect URI', () => {
  const attacks: Record<string, (query: URLSearchParams) => void> = {
    'unknown client': (query) => query.set('client_id', 'nobody'),
    'no client': (query) => query.delete('client_id'),
    'client twice': (query) => query.append('client_id', 'other'),
    'foreign redirect URI': (query) => query.set('redirect_uri', 'https://evil.example.com/callback'),
    'redirect URI with a longer path': (query) => query.set('redirect_uri', `${callback}/more`),
    'redirect URI with a query': (query) => query.set('redirect_uri', `${callback}?next=1`),
    'redirect URI with a dot segment': (query) => query.set('redirect_uri', 'https://app.example.com/x/../callback'),
    'redirect URI in other case': (query) => query.set('redirect_uri', 'https://APP.example.com/callback'),
    'redirect URI with another port': (query) => query.set('redirect_uri', 'https://app.example.com:8443/callback'),
    'redirect URI over http': (query) => query.set('redirect_uri', callback.replace('https', 'http')),
    'redirect URI with user name': (query) => query.set('redirect_uri', 'https://app.example.com@evil.example.com/callback'),
    'no redirect URI': (query) => query.delete('redirect_uri'),
    'redirect URI twice': (query) => query.append('redirect_uri', 'https://evil.example.com/'),
    'script as redirect URI': (query) => query.set('redirect_uri', 'javascript:alert(1)'),
    'foreign redirect URI and another error': (query) => {
      query.set('redirect_uri', 'https://evil.example.com/');
      query.set('scope', 'nothing');
    },
    'foreign redirect URI and prompt=none': (query) => {
      query.set('redirect_uri', 'https://evil.example.com/');
      query.set('prompt', 'none');
    },
  };
  it.each(Object.entries(attacks))('%s', async (_name, attack) => {
    const outcome = await outcomeOf(await changed(attack));
    expect(outcome).toMatchObject({ to: 'page', status: 400, text: expect.stringContaining('The request cannot be understood') });
    expect(await outcomeOf(await changed(() => {}))).toEqual({ to: 'interaction' });
  });

  it('shows the reference under which the log has the reason', async () => {
    world.logLines.length = 0;
    const outcome = await outcomeOf(await changed((query) => query.set('redirect_uri', 'https://evil.example.com/<script>')));
    const reference = /<code>([\w-]+)<\/code>/.exec(String(Object(outcome).text))?.[1];
    expect(world.logLines).toMatchObject([
      { requestId: reference, route: 'authorization', clientId: 'app', error: 'invalid_redirect_uri' },
    ]);
    expect(JSON.stringify([outcome, world.logLines])).not.toMatch(/evil|<script|node_modules/);
  });
});

describe('an authorization request that breaks a rule goes back to the app as an error', () => {
  const attacks: Record<string, [error: string, change: (query: URLSearchParams) => void]> = {
    'no PKCE': [
      'invalid_request',
      (query) => {
        query.delete('code_challenge');
        query.delete('code_challenge_method');
      },
    ],
    'plain PKCE': ['invalid_request', (query) => query.set('code_challenge_method', 'plain')],
    'PKCE without method, which would mean plain': ['invalid_request', (query) => query.delete('code_challenge_method')],
    'malformed challenge': ['invalid_request', (query) => query.set('code_challenge', 'short')],
    'implicit flow': ['unsupported_response_type', (query) => query.set('response_type', 'id_token')],
    'token in the front channel': ['unsupported_response_type', (query) => query.set('response_type', 'token')],
    'hybrid flow': ['unsupported_response_type', (query) => query.set('response_type', 'code id_token')],
    'no openid scope': [
      'invalid_scope',
      (query) => {
        query.set('scope', 'email profile');
        query.delete('nonce');
      },
    ],
    'no scope': [
      'invalid_scope',
      (query) => {
        query.delete('scope');
        query.delete('nonce');
      },
    ],
    'request object': ['request_not_supported', (query) => query.set('request', 'eyJhbGciOiJub25lIn0.e30.')],
    'request URI': ['request_uri_not_supported', (query) => query.set('request_uri', 'https://evil.example.com/request')],
    registration: ['registration_not_supported', (query) => query.set('registration', '{}')],
    'unknown prompt': ['invalid_request', (query) => query.set('prompt', 'consent')],
    'negative max_age': ['invalid_request', (query) => query.set('max_age', '-1')],
    'forged id_token_hint': ['invalid_request', (query) => query.set('id_token_hint', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.')],
    'workspace with a quote': ['invalid_request', (query) => query.set('workspace', "acme'--")],
    'workspace with a NUL': ['invalid_request', (query) => query.set('workspace', 'acme\0')],
    'workspace twice': [
      'invalid_request',
      (query) => {
        query.append('workspace', 'acme');
        query.append('workspace', 'globex');
      },
    ],
    'long workspace': ['invalid_request', (query) => query.set('workspace', 'a'.repeat(64))],
    'connection with a path': ['invalid_request', (query) => query.set('connection', '../admin')],
    'long connection': ['invalid_request', (query) => query.set('connection', 'a'.repeat(64))],
    'login hint with a line end': ['invalid_request', (query) => query.set('login_hint', 'ada@example.com\r\nx: y')],
    'long login hint': ['invalid_request', (query) => query.set('login_hint', 'a'.repeat(321))],
    'oversized state': ['invalid_request', (query) => query.set('state', 's'.repeat(2_049))],
    'oversized nonce': ['invalid_request', (query) => query.set('nonce', 'n'.repeat(1_025))],
    'oversized ui_locales': ['invalid_request', (query) => query.set('ui_locales', 'x'.repeat(513))],
  };
  it.each(Object.entries(attacks))('%s', async (_name, [error, attack]) => {
    world.operations.length = 0;
    expect(await outcomeOf(await changed(attack))).toMatchObject({ to: 'app', error, iss: world.issuer });
    expect(world.operations).toEqual([]);
  });

  const twins: Record<string, (query: URLSearchParams) => void> = {
    'S256 challenge': () => {},
    'openid scope alone': (query) => query.set('scope', 'openid'),
    'prompt=login': (query) => query.set('prompt', 'login'),
    'max_age of a minute': (query) => query.set('max_age', '60'),
    'workspace by slug': (query) => query.set('workspace', 'acme-2'),
    'workspace by id': (query) => query.set('workspace', '0190b000-0000-7000-8000-000000000001'),
    'longest workspace': (query) => query.set('workspace', 'a'.repeat(63)),
    'connection by id': (query) => query.set('connection', '0190C000-0000-7000-8000-000000000001'),
    'login hint in another script': (query) => query.set('login_hint', 'Ада@пример.example'),
    'longest login hint': (query) => query.set('login_hint', 'a'.repeat(320)),
    'longest state': (query) => query.set('state', 's'.repeat(2_048)),
    'longest nonce': (query) => query.set('nonce', 'n'.repeat(1_024)),
    'parameter that nobody knows': (query) => query.set('utm_source', 'x'.repeat(600)),
  };
  it.each(Object.entries(twins))('accepts %s', async (_name, twin) => {
    expect(await outcomeOf(await changed(twin))).toEqual({ to: 'interaction' });
  });

  it('grants no scope that is not offered', async () => {
    const request = await app.request({ scope: 'openid email offline_access admin' });
    const tokens = await app.exchange(await goThrough(request.url), request);
    expect(tokens).toMatchObject({ scope: 'openid email' });
    expect(tokens.refresh_token).toBeUndefined();
    expect(await app.userinfo(tokens.access_token)).not.toHaveProperty('name');
  });
});

describe('an interaction belongs to one browser and one address', () => {
  async function begin() {
    const browser = createProviderBrowser();
    const request = await app.request();
    const page = await browser.follow(request.url);
    return { browser, request, page: page.url };
  }
  const expired = { code: 'login_expired', reason: 'interaction_gone' };

  it('refuses another browser, without spoiling the login of the right one', async () => {
    const { browser, request, page } = await begin();
    const other = createProviderBrowser();
    for (const address of [page, `${page}/finish`]) {
      const answer = await other.visit(address);
      expect(answer.status).toBe(400);
      expect(await answer.json()).toEqual(expired);
    }
    const { url } = await browser.follow(`${page}/finish`);
    expect((await app.exchange(url, request)).claims()?.sub).toBe(ada.userId);
  });

  it('refuses a changed cookie', async () => {
    const { browser, page } = await begin();
    expect((await browser.visit(page)).status).toBe(200);
    for (const name of ['rollcall-interaction', 'rollcall-interaction.sig']) {
      const cookie = browser.cookies.find((held) => held.name === name);
      const value = cookie?.value ?? '';
      Object.assign(cookie ?? {}, { value: value.startsWith('A') ? `B${value.slice(1)}` : `A${value.slice(1)}` });
      const answer = await browser.visit(page);
      expect(answer.status).toBe(400);
      expect(await answer.json()).toEqual(expired);
      Object.assign(cookie ?? {}, { value });
    }
  });

  it('refuses a cookie without signature, and one that was signed for another purpose', async () => {
    const { browser, page } = await begin();
    const held = new Map(browser.cookies.map(({ name, value }) => [name, value]));
    const uid = held.get('rollcall-interaction');
    const unsigned = await fetch(page, { headers: { cookie: `rollcall-interaction=${uid}` } });
    expect(unsigned.status).toBe(400);
    const misused = await fetch(page, {
      headers: { cookie: `rollcall-interaction=${uid}; rollcall-interaction.sig=${held.get('rollcall-resume.sig')}` },
    });
    expect(misused.status).toBe(400);
    const right = await fetch(page, {
      headers: { cookie: `rollcall-interaction=${uid}; rollcall-interaction.sig=${held.get('rollcall-interaction.sig')}` },
    });
    expect(right.status).toBe(200);
  });

  it('refuses the cookie of one interaction at the address of another', async () => {
    const [first, second] = [await begin(), await begin()];
    const cookie = first.browser.cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
    for (const address of [second.page, `${second.page}/finish`]) {
      const answer = await fetch(address, { headers: { cookie }, redirect: 'manual' });
      expect(await answer.json()).toEqual(expired);
    }
    expect((await fetch(first.page, { headers: { cookie } })).status).toBe(200);
  });

  it('does not finish without an interaction, nor resume without a result', async () => {
    const nowhere = await createProviderBrowser().visit(`${world.origin}/interaction/${'a'.repeat(43)}/finish`);
    expect(await nowhere.json()).toEqual(expired);
    const { browser, page, request } = await begin();
    const uid = page.split('/').at(-1);
    const early = await browser.follow(`${world.issuer}/auth/${uid}`);
    // Back to a new interaction: nobody was signed in.
    expect(new URL(early.url).pathname).toMatch(/^\/interaction\/(?!$)/);
    expect(early.url).not.toBe(page);
    const { url } = await browser.follow(`${early.url}/finish`);
    expect((await app.exchange(url, request)).claims()?.sub).toBe(ada.userId);
  });

  it('does not resume in another browser, which would sign that one in as somebody else', async () => {
    const { browser, page } = await begin();
    const finished = await browser.visit(`${page}/finish`);
    const resume = finished.headers.get('location') ?? '';
    expect(new URL(resume).pathname).toBe(`/oidc/auth/${page.split('/').at(-1)}`);
    const stolen = await createProviderBrowser().visit(resume);
    expect(stolen.status).toBe(400);
    expect(await stolen.text()).toContain('This sign-in is no longer valid');
    const right = await browser.visit(resume);
    expect(right.headers.get('location')).toContain(`${callback}?code=`);
  });

  it('resumes once: a second time, or at the same time, it is no longer valid', async () => {
    const { browser, page } = await begin();
    const resume = (await browser.visit(`${page}/finish`)).headers.get('location') ?? '';
    const cookie = browser.cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => fetch(resume, { headers: { cookie, accept: 'text/html' }, redirect: 'manual' })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([303, ...Array(7).fill(400)]);
    const late = await fetch(resume, { headers: { cookie, accept: 'text/html' }, redirect: 'manual' });
    expect(late.status).toBe(400);
    const again = await fetch(`${page}/finish`, { headers: { cookie }, redirect: 'manual' });
    expect(again.status).toBe(400);
  });
});
