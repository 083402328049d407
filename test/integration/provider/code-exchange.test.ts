import * as openidClient from 'openid-client';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import {
  type App,
  type AppRequest,
  ada,
  callback,
  connectionId,
  createApp,
  createSlowStore,
  goThrough,
  logIn,
  type ProviderWorld,
  secret,
  startProviderWorld,
} from '../../support/provider-world.ts';

let world: ProviderWorld;
let app: App;
beforeAll(async () => {
  world = await startProviderWorld({ store: createSlowStore() });
  app = await createApp(world);
});
afterAll(() => world.close());

interface Code {
  readonly request: AppRequest;
  readonly callbackUrl: string;
  readonly code: string;
}

async function obtainCode(): Promise<Code> {
  const request = await app.request();
  const callbackUrl = await goThrough(request.url);
  return { request, callbackUrl, code: new URL(callbackUrl).searchParams.get('code') ?? '' };
}

/** The token request as bytes on the wire, so that each part of it can be wrong. */
async function exchange({ code, request }: Code, changes: Readonly<Record<string, string>> = {}, credentials = `app:${secret}`) {
  const response = await fetch(`${world.issuer}/token`, {
    method: 'POST',
    headers: credentials === '' ? {} : { authorization: `Basic ${btoa(credentials)}` },
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code,
      redirect_uri: callback,
      code_verifier: request.verifier,
      ...changes,
    }),
  });
  const body: Record<string, string> = await response.json();
  return { status: response.status, body };
}

const refused = { status: 400, body: { error: 'invalid_grant' } };

describe('a code is exchanged once', () => {
  it('and its second use is refused and revokes what the first one gave', async () => {
    const untouched = await logIn(app);
    const code = await obtainCode();
    const first = await exchange(code);
    const token = first.body.access_token ?? '';
    expect(first.status).toBe(200);
    expect(await app.userinfo(token)).toMatchObject({ sub: ada.userId });
    expect(await exchange(code)).toMatchObject(refused);
    await expect(app.userinfo(token)).rejects.toMatchObject({ status: 401 });
    expect(await exchange(code)).toMatchObject(refused);
    expect(await app.userinfo(untouched.tokens.access_token)).toMatchObject({ sub: ada.userId });
  });

  it('also by twenty requests at the same moment: one passes, and its token is revoked', async () => {
    const code = await obtainCode();
    const answers = await Promise.all(Array.from({ length: 20 }, () => exchange(code)));
    const passed = answers.filter(({ status }) => status === 200);
    expect(passed).toHaveLength(1);
    expect(answers.filter(({ body }) => body.error === 'invalid_grant')).toHaveLength(19);
    await expect(app.userinfo(passed[0]?.body.access_token ?? '')).rejects.toMatchObject({ status: 401 });
  });

  it('and twenty different ones at the same moment all pass', async () => {
    const codes = await Promise.all(Array.from({ length: 20 }, obtainCode));
    const answers = await Promise.all(codes.map((code) => exchange(code)));
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
    const people = await Promise.all(answers.map(({ body }) => app.userinfo(body.access_token ?? '')));
    expect(people.every(({ sub }) => sub === ada.userId)).toBe(true);
  });
});

describe('a code is worth something only to whom it was given', () => {
  const attacks: Record<string, (code: Code) => Promise<unknown>> = {
    'wrong verifier': (code) => exchange(code, { code_verifier: openidClient.randomPKCECodeVerifier() }),
    'verifier of one character more': (code) => exchange(code, { code_verifier: `${code.request.verifier}A` }),
    'the challenge as verifier': (code) =>
      exchange(code, { code_verifier: new URL(code.request.url).searchParams.get('code_challenge') ?? '' }),
    'another redirect URI': (code) => exchange(code, { redirect_uri: 'https://app.example.com/other' }),
    'code of another client': (code) => exchange(code, {}, `other:${secret}`),
    'another code': (code) => exchange(code, { code: `${code.code.slice(0, -1)}${code.code.endsWith('A') ? 'B' : 'A'}` }),
  };
  it.each(Object.entries(attacks))('%s', async (_name, attack) => {
    const code = await obtainCode();
    expect(await attack(code)).toMatchObject(refused);
    // A foreign or clumsy attempt must not burn the code of the right app.
    expect(await exchange(code)).toMatchObject({ status: 200 });
  });

  it('no verifier', async () => {
    const code = await obtainCode();
    expect(await exchange(code, { code_verifier: '' })).toMatchObject(refused);
    expect(await exchange(code)).toMatchObject({ status: 200 });
  });

  it.each([
    ['wrong secret', `app:${'x'.repeat(43)}`, 401],
    ['secret of one character more', `app:${secret}s`, 401],
    ['empty secret', 'app:', 400],
    ['no credentials', '', 400],
    ['unknown client', `nobody:${secret}`, 401],
  ])('%s', async (_name, credentials, status) => {
    const code = await obtainCode();
    const answer = await exchange(code, {}, credentials);
    expect(answer.status).toBe(status);
    expect(answer.body.error).toMatch(/^invalid_(client|request)$/);
    expect(await exchange(code)).toMatchObject({ status: 200 });
  });

  it('a confidential client that says it is public', async () => {
    const code = await obtainCode();
    expect(await exchange(code, { client_id: 'app' }, '')).toMatchObject({ status: 401, body: { error: 'invalid_client' } });
    expect(await exchange(code, { client_id: 'app', client_secret: secret }, '')).toMatchObject({ status: 200 });
  });

  it('another grant type', async () => {
    for (const grant of ['refresh_token', 'client_credentials', 'implicit', 'password']) {
      const answer = await exchange(await obtainCode(), { grant_type: grant, refresh_token: 'x' });
      expect(answer).toMatchObject({ status: 400, body: { error: 'unsupported_grant_type' } });
    }
    expect(await exchange(await obtainCode())).toMatchObject({ status: 200 });
  });

  it('a body that is too large, or no form', async () => {
    const code = await obtainCode();
    expect(await exchange(code, { padding: 'x'.repeat(60_000) })).toMatchObject({
      status: 400,
      body: { error: 'invalid_request' },
    });
    const json = await fetch(`${world.issuer}/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect(json.status).toBe(400);
    expect(await exchange(code, { padding: 'x'.repeat(40_000) })).toMatchObject({ status: 200 });
  });
});

describe('time', () => {
  afterEach(() => void vi.useRealTimers());

  it('ends a code after its minute', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const [late, inTime] = [await obtainCode(), await obtainCode()];
    vi.setSystemTime(Date.now() + 58_000);
    expect(await exchange(inTime)).toMatchObject({ status: 200 });
    vi.setSystemTime(Date.now() + 3_000);
    expect(await exchange(late)).toMatchObject(refused);
  });

  it('ends an access token after its ten minutes, and an ID token says when it ends', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const start = Math.floor(Date.now() / 1_000);
    const { tokens } = await logIn(app);
    expect(tokens.claims()?.exp).toBe(start + 600);
    vi.setSystemTime(Date.now() + 598_000);
    expect(await app.userinfo(tokens.access_token)).toMatchObject({ sub: ada.userId });
    vi.setSystemTime(Date.now() + 3_000);
    await expect(app.userinfo(tokens.access_token)).rejects.toMatchObject({ status: 401 });
  });

  it('ends an interaction', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { url } = await app.request();
    const [late, inTime] = await Promise.all([fetch(url, { redirect: 'manual' }), fetch(url, { redirect: 'manual' })]);
    vi.setSystemTime(Date.now() + 598_000);
    expect((await openInteraction(inTime)).status).toBe(200);
    vi.setSystemTime(Date.now() + 3_000);
    expect((await openInteraction(late)).status).toBe(400);
  });

  function openInteraction(authorization: Response): Promise<Response> {
    const cookie = authorization.headers
      .getSetCookie()
      .map((line) => line.split(';')[0])
      .join('; ');
    return fetch(world.origin + authorization.headers.get('location'), { headers: { cookie } });
  }
});

describe('an account that is gone', () => {
  const account = `${ada.userId} ${connectionId}`;
  afterEach(() => {
    world.accounts.set(account, ada);
    world.accountFailure = null;
  });

  it('R32 makes the code worthless', async () => {
    const [code, twin] = [await obtainCode(), await obtainCode()];
    world.accounts.delete(account);
    expect(await exchange(code)).toMatchObject(refused);
    world.accounts.set(account, ada);
    expect(await exchange(twin)).toMatchObject({ status: 200 });
  });

  it('R32 makes the access token worthless', async () => {
    const { tokens } = await logIn(app);
    expect(await app.userinfo(tokens.access_token)).toMatchObject({ sub: ada.userId });
    world.accounts.delete(account);
    await expect(app.userinfo(tokens.access_token)).rejects.toMatchObject({ status: 401 });
  });

  it('R32 and its tokens stay dead when the user comes back, until the next login', async () => {
    const before = await logIn(app);
    const code = await obtainCode();
    await world.provider.revokeUser(ada.userId);
    await expect(app.userinfo(before.tokens.access_token)).rejects.toMatchObject({ status: 401 });
    const late = await exchange(code);
    await expect(app.userinfo(late.body.access_token ?? '')).rejects.toMatchObject({ status: 401 });
    await new Promise((resolve) => setTimeout(resolve, 2));
    const after = await logIn(app);
    expect(await app.userinfo(after.tokens.access_token)).toMatchObject({ sub: ada.userId });
  });

  it('is not taken for one whose database is away: that is said as such, and may be tried again', async () => {
    const { tokens } = await logIn(app);
    world.accountFailure = Object.assign(new Error('connect ECONNREFUSED 10.0.0.7:5432'), { code: 'ECONNREFUSED' });
    const answer = await exchange(await obtainCode());
    expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
    expect(JSON.stringify(answer)).not.toContain('10.0.0.7');
    world.accountFailure = new BrokerError('unavailable', 'detail for the log');
    const response = await fetch(`${world.issuer}/userinfo`, { headers: { authorization: `Bearer ${tokens.access_token}` } });
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5']);
    expect(await response.text()).not.toContain('detail for the log');
    world.accountFailure = null;
    expect(await app.userinfo(tokens.access_token)).toMatchObject({ sub: ada.userId });
  });

  it('is not taken for one whose loading fails: no word of why leaves the house, the log has it', async () => {
    world.logLines.length = 0;
    world.accountFailure = new TypeError('Cannot read properties of undefined (reading "role")');
    const answer = await exchange(await obtainCode());
    expect(answer).toMatchObject({ status: 500, body: { error: 'server_error' } });
    expect(JSON.stringify(answer)).not.toMatch(/Cannot read|role|\.ts/);
    expect(world.logLines.at(-1)).toMatchObject({ level: 'error', route: 'token', err: { type: 'TypeError' } });
    world.accountFailure = null;
    expect(await exchange(await obtainCode())).toMatchObject({ status: 200 });
  });
});

describe('userinfo', () => {
  it('takes a token from the header only, and none that is made up', async () => {
    const { access_token: token } = (await logIn(app)).tokens;
    const address = `${world.issuer}/userinfo`;
    const statusOf = async (url: string, headers: Record<string, string> = {}) => (await fetch(url, { headers })).status;
    expect(await statusOf(address)).toBe(401);
    expect(await statusOf(`${address}?access_token=${token}`)).toBe(400);
    expect(await statusOf(address, { authorization: `Bearer ${token.slice(1)}` })).toBe(401);
    expect(await statusOf(address, { authorization: `Bearer ${'x'.repeat(5_000)}` })).toBe(401);
    expect(await statusOf(address, { authorization: `Basic ${token}` })).toBe(400);
    expect(await statusOf(address, { authorization: `Bearer ${token}` })).toBe(200);
  });

  it('is no door for a code or an ID token', async () => {
    const { tokens, callbackUrl } = await logIn(app);
    for (const other of [new URL(callbackUrl).searchParams.get('code') ?? '', tokens.id_token ?? '']) {
      await expect(app.userinfo(other)).rejects.toMatchObject({ status: 401 });
    }
    expect(await app.userinfo(tokens.access_token)).toMatchObject({ sub: ada.userId });
  });
});
