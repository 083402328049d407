import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import type { ExpiringStore } from '../../../src/infra/expiring-store.ts';
import { createMemoryStore } from '../../../src/infra/expiring-store-memory.ts';
import { createProviderBrowser } from '../../support/provider-browser.ts';
import {
  type App,
  callback,
  createApp,
  goThrough,
  logIn,
  type ProviderWorld,
  startProviderWorld,
} from '../../support/provider-world.ts';

/** A store that can be away. */
function createFragileStore() {
  const inner = createMemoryStore({ now: () => new Date(), maxEntries: 1_000 });
  const state: { failure: Error | null; keys: RegExp } = { failure: null, keys: /^/ };
  const guarded = async <T>(key: string, run: () => Promise<T>): Promise<T> => {
    if (state.failure && state.keys.test(key)) throw state.failure;
    return run();
  };
  const store: ExpiringStore = {
    set: (...given) => guarded(given[0], () => inner.set(...given)),
    add: (...given) => guarded(given[0], () => inner.add(...given)),
    get: (key) => guarded(key, () => inner.get(key)),
    take: (key) => guarded(key, () => inner.take(key)),
    delete: (key) => guarded(key, () => inner.delete(key)),
  };
  return { store, state };
}

const { store, state } = createFragileStore();
let world: ProviderWorld;
let app: App;
beforeAll(async () => {
  world = await startProviderWorld({ store });
  app = await createApp(world);
});
afterAll(() => world.close());
afterEach(() => {
  Object.assign(state, { failure: null, keys: /^/ });
});

const away = new BrokerError('unavailable', 'neither Redis nor Postgres at 10.0.0.7 answers');
const bug = new TypeError('Cannot read properties of undefined');

describe('a store that is away', () => {
  it('sends the app temporarily_unavailable, and the next login works', async () => {
    state.failure = away;
    const { url } = await createProviderBrowser().follow((await app.request()).url);
    expect(url.startsWith(callback)).toBe(true);
    expect(new URL(url).searchParams.get('error')).toBe('temporarily_unavailable');
    expect(url).not.toContain('10.0.0.7');
    expect(world.logLines.at(-1)).toMatchObject({ level: 'error', route: 'authorization', detail: away.message });
    state.failure = null;
    expect((await logIn(app)).tokens.token_type).toBe('bearer');
  });

  it('is told to the pages of an interaction as what it is', async () => {
    const browser = createProviderBrowser();
    const page = await browser.follow((await app.request()).url);
    state.failure = away;
    for (const address of [page.url, `${page.url}/finish`]) {
      const answer = await browser.visit(address);
      expect(answer.status).toBe(503);
      expect(await answer.json()).toEqual({ code: 'unavailable' });
    }
    state.failure = null;
    expect((await browser.follow(`${page.url}/finish`)).url).toContain(`${callback}?code=`);
  });

  it('shows our page where the app is not known for certain', async () => {
    const browser = createProviderBrowser();
    const page = await browser.follow((await app.request()).url);
    const finished = await browser.visit(`${page.url}/finish`);
    state.failure = away;
    const answer = await browser.visit(finished.headers.get('location') ?? '');
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
    const text = await answer.text();
    expect(text).toContain('Signing in is not possible at the moment');
    expect(text).not.toContain('10.0.0.7');
  });

  it('answers the token endpoint with 503, and the code still works afterwards', async () => {
    const request = await app.request();
    const callbackUrl = await goThrough(request.url);
    state.failure = away;
    await expect(app.exchange(callbackUrl, request)).rejects.toMatchObject({ cause: { status: 503 } });
    state.failure = null;
    expect((await app.exchange(callbackUrl, request)).token_type).toBe('bearer');
  });
});

describe('a logout whose tokens cannot be revoked', () => {
  it('says so, instead of telling the user that all is well', async () => {
    const { tokens, browser } = await logIn(app);
    const address = `${world.issuer}/logout?${new URLSearchParams({ id_token_hint: tokens.id_token ?? '' })}`;
    Object.assign(state, { failure: away, keys: /^op:grant:/ });
    const answer = await browser.visit(address);
    expect(answer.status).toBe(503);
    expect(await answer.text()).toContain('Signing in is not possible at the moment');
    expect(world.logLines.at(-1)).toMatchObject({ level: 'error', err: { message: away.message } });
    state.failure = null;
    expect((await browser.visit(address)).status).toBe(200);
    await expect(app.userinfo(tokens.access_token)).rejects.toMatchObject({ status: 401 });
  });
});

describe('a mistake of ours', () => {
  it('shows a page without a word about it, and a reference to the log, which has it', async () => {
    world.logLines.length = 0;
    state.failure = bug;
    const answer = await createProviderBrowser().visit((await app.request()).url);
    const text = await answer.text();
    expect(answer.status).toBe(500);
    expect(text).toContain('Something went wrong on our side');
    expect(text).not.toMatch(/Cannot read|TypeError|node_modules|\.ts|oops/);
    const reference = /<code>([\w-]+)<\/code>/.exec(text)?.[1];
    expect(world.logLines).toMatchObject([
      { level: 'error', requestId: reference, err: { type: 'TypeError', message: bug.message } },
    ]);
  });

  it('goes on to the pages of an interaction', async () => {
    const browser = createProviderBrowser();
    const page = await browser.follow((await app.request()).url);
    state.failure = bug;
    const answer = await browser.visit(page.url);
    expect(answer.status).toBe(500);
    expect(await answer.json()).toEqual({ code: 'internal' });
  });
});

describe('addresses that the provider does not have', () => {
  it.each(['/', '/nothing', '/auth/a/b', '/reg', '/token/introspection', '/token/revocation', '/request', '/device'])(
    '%s is not found',
    async (path) => {
      const answer = await createProviderBrowser().visit(world.issuer + path, { method: path === '/reg' ? 'POST' : 'GET' });
      expect(answer.status).toBe(404);
      expect(await answer.text()).toContain('There is nothing here');
      expect((await fetch(`${world.issuer}/jwks`)).status).toBe(200);
    },
  );

  it('has no stack trace for a path that cannot be decoded', async () => {
    for (const path of ['/auth/%E0%A4%A', '/%', '/auth/%00']) {
      const answer = await createProviderBrowser().visit(world.issuer + path);
      expect(answer.status).toBeLessThan(500);
      expect(await answer.text()).not.toMatch(/node_modules|\.js|at /);
    }
  });
});

describe('CORS', () => {
  it('lets a public client call from the origin of its redirect URI, and nobody else', async () => {
    const { clientMetadataSchema } = await import('../../../src/provider/client-metadata.ts');
    world.clients.set(
      'spa',
      clientMetadataSchema.parse({ clientId: 'spa', name: 'SPA', redirectUris: [callback], tokenEndpointAuthMethod: 'none' }),
    );
    const spa = await logIn(await createApp(world, 'spa', ''));
    const confidential = await logIn(app);
    const ask = async (token: string, origin: string) => {
      const response = await fetch(`${world.issuer}/userinfo`, { headers: { origin, authorization: `Bearer ${token}` } });
      return [response.status, response.headers.get('access-control-allow-origin')];
    };
    expect(await ask(spa.tokens.access_token, 'https://app.example.com')).toEqual([200, 'https://app.example.com']);
    expect(await ask(spa.tokens.access_token, 'https://evil.example.com')).toEqual([400, null]);
    expect(await ask(spa.tokens.access_token, 'null')).toEqual([400, null]);
    expect(await ask(confidential.tokens.access_token, 'https://app.example.com')).toEqual([400, null]);
  });
});
