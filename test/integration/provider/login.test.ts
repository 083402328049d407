import * as openidClient from 'openid-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import { createProviderBrowser } from '../../support/provider-browser.ts';
import {
  ada,
  bob,
  callback,
  client,
  connectionId,
  createApp,
  goThrough,
  logIn,
  loginId,
  type ProviderWorld,
  signedIn,
  startProviderWorld,
} from '../../support/provider-world.ts';

describe('a login through the OpenID Provider', () => {
  let world: ProviderWorld;
  beforeAll(async () => {
    world = await startProviderWorld();
  });
  afterAll(() => world.close());

  const acme = {
    workspace_id: '0190b000-0000-7000-8000-000000000001',
    workspace: 'acme',
    role: 'builder',
    groups: ['design', 'ops'],
    membership_version: 7,
  };

  it('R29 carries e-mail, names and memberships in the ID token and in userinfo', async () => {
    const app = await createApp(world);
    const { tokens } = await logIn(app);
    const claims = {
      sub: ada.userId,
      email: 'ada@example.com',
      email_verified: true,
      name: 'Ada Lovelace',
      given_name: 'Ada',
      family_name: 'Lovelace',
      memberships: [acme],
    };
    expect(tokens.claims()).toMatchObject(claims);
    expect(await app.userinfo(tokens.access_token)).toEqual(claims);
  });

  it('R29 carries the memberships with the scope openid alone, and nothing about the person', async () => {
    const app = await createApp(world);
    const { tokens } = await logIn(app, { scope: 'openid' });
    expect(tokens.claims()).toMatchObject({ sub: ada.userId, memberships: [acme] });
    expect(await app.userinfo(tokens.access_token)).toEqual({ sub: ada.userId, memberships: [acme] });
  });

  it('R29 leaves out claims that have no value', async () => {
    world.outcome = signedIn(bob);
    world.accounts.set(`${bob.userId} ${connectionId}`, { ...bob, email: null, name: null, givenName: null });
    const app = await createApp(world);
    const { tokens } = await logIn(app);
    expect(await app.userinfo(tokens.access_token, bob.userId)).toEqual({
      sub: bob.userId,
      family_name: 'Lovelace',
      memberships: [],
    });
    world.outcome = signedIn(ada);
  });

  it('shows only what the connection of this login serves, at the code and at userinfo', async () => {
    const other = '0190c000-0000-7000-8000-000000000002';
    const globex = { ...ada.memberships[0], workspaceSlug: 'globex', role: 'admin', groups: [], version: 1, workspaceId: 'w2' };
    world.accounts.set(`${ada.userId} ${other}`, { ...ada, memberships: [globex] });
    const app = await createApp(world);
    const first = await logIn(app);
    world.outcome = signedIn(ada, { connectionId: other });
    const second = await logIn(app);
    world.outcome = signedIn(ada);
    expect(workspaces(await app.userinfo(first.tokens.access_token))).toEqual(['acme']);
    expect(workspaces(await app.userinfo(second.tokens.access_token))).toEqual(['globex']);
    expect(workspaces(second.tokens.claims())).toEqual(['globex']);
  });

  it('signs by ES256 unless the client chose RS256; both keys stand in the JWKS', async () => {
    world.clients.set('rsa', client({ clientId: 'rsa', idTokenSignedResponseAlg: 'RS256' }));
    const byDefault = await logIn(await createApp(world));
    const rsa = await createApp(world, 'rsa');
    const chosen = await logIn(rsa);
    expect(headerOf(byDefault.tokens.id_token)).toMatchObject({ alg: 'ES256' });
    expect(headerOf(chosen.tokens.id_token)).toMatchObject({ alg: 'RS256' });
    const { keys } = await (await fetch(String(rsa.config.serverMetadata().jwks_uri))).json();
    expect(keys.map(({ alg, use }: { alg: string; use: string }) => [alg, use])).toEqual([
      ['ES256', 'sig'],
      ['RS256', 'sig'],
    ]);
    expect(Object.keys(Object.assign({}, ...keys)).sort()).toEqual(['alg', 'crv', 'e', 'kid', 'kty', 'n', 'use', 'x', 'y']);
  });

  it('has ID tokens whose signature openid-client accepts', async () => {
    const app = await createApp(world);
    openidClient.enableNonRepudiationChecks(app.config);
    expect((await logIn(app)).tokens.claims()?.sub).toBe(ada.userId);
  });

  it('answers by form_post where the app asks for it, and lets the page post to the app', async () => {
    const app = await createApp(world);
    const browser = createProviderBrowser();
    const { url } = await app.request({ response_mode: 'form_post' });
    const start = await browser.follow(url);
    const page = (await browser.follow(`${start.url}/finish`)).response;
    const text = await page?.text();
    expect(text).toContain(`<form method="post" action="${callback}">`);
    expect(text).toMatch(/name="code" value="[\w-]{43}"/);
    const policy = page?.headers.get('content-security-policy');
    expect(policy).toMatch(/script-src 'sha256-[^']+'/);
    expect(policy).not.toContain('form-action');
  });

  it('serves a public client', async () => {
    world.clients.set('spa', client({ clientId: 'spa', clientSecret: null, tokenEndpointAuthMethod: 'none' }));
    const app = await createApp(world, 'spa', '');
    expect((await logIn(app)).tokens.claims()?.aud).toBe('spa');
  });

  it('tells what the app asked for, and nothing else', async () => {
    const app = await createApp(world);
    const browser = createProviderBrowser();
    const { url } = await app.request({
      workspace: 'acme',
      connection: connectionId,
      login_hint: 'ada@example.com',
      max_age: '0',
    });
    const page = await browser.follow(url);
    expect(await page.response?.json()).toEqual({
      uid: page.url.split('/').at(-1),
      clientId: 'app',
      clientName: 'The app',
      parameters: { workspace: 'acme', connection: connectionId, login_hint: 'ada@example.com', prompt: 'login' },
    });
  });

  it('says when the IdP authenticated the user, and never a time to come', async () => {
    const app = await createApp(world);
    const past = new Date(Date.now() - 3_600_000);
    world.outcome = signedIn(ada, { authenticatedAt: past });
    expect((await logIn(app)).tokens.claims()?.auth_time).toBe(Math.floor(past.getTime() / 1_000));
    world.outcome = signedIn(ada, { authenticatedAt: new Date(Date.now() + 3_600_000) });
    expect((await logIn(app)).tokens.claims()?.auth_time).toBeLessThanOrEqual(Date.now() / 1_000);
    world.outcome = signedIn(ada);
  });

  it('tells the app of a refused login in plain words, with reason and reference', async () => {
    const app = await createApp(world);
    const error = new BrokerError('assertion_rejected', 'secret detail', { reason: 'audience_mismatch' });
    world.outcome = { error, loginId };
    const request = await app.request();
    const refused = new URL(await goThrough(request.url));
    world.outcome = signedIn(ada);
    expect(refused.origin + refused.pathname).toBe(callback);
    expect(Object.fromEntries(refused.searchParams)).toEqual({
      error: 'access_denied',
      error_description: `The answer of your identity provider was not accepted (assertion_rejected, audience_mismatch; reference ${loginId})`,
      state: request.state,
      iss: world.issuer,
    });
    await expect(app.exchange(refused.href, request)).rejects.toMatchObject({ error: 'access_denied' });
  });

  it('needs no more store operations for a login than it says', async () => {
    const app = await createApp(world);
    world.operations.length = 0;
    const { tokens } = await logIn(app);
    expect(world.operations).toEqual([
      'set op:interaction',
      'get op:interaction',
      'get op:interaction',
      'set op:interaction',
      'get op:interaction',
      'take op:interaction',
      'set op:code',
      'get op:code',
      'add op:grant',
      'set op:access-token',
    ]);
    world.operations.length = 0;
    await app.userinfo(tokens.access_token);
    expect(world.operations).toEqual(['get op:access-token', 'get op:grant', 'get op:revoked-user']);
  });

  it('leaves no cookie behind', async () => {
    const browser = createProviderBrowser();
    await logIn(await createApp(world), {}, browser);
    expect(browser.cookies).toEqual([]);
  });

  it('offers nothing that it does not need', async () => {
    const metadata = (await createApp(world)).config.serverMetadata();
    expect(metadata).toMatchObject({
      issuer: world.issuer,
      grant_types_supported: ['authorization_code'],
      response_types_supported: ['code'],
      code_challenge_methods_supported: ['S256'],
      scopes_supported: ['openid', 'email', 'profile'],
      id_token_signing_alg_values_supported: ['ES256', 'RS256'],
      authorization_response_iss_parameter_supported: true,
      end_session_endpoint: `${world.issuer}/logout`,
    });
    const addresses = Object.keys(metadata).filter((name) => name.endsWith('_endpoint'));
    expect(addresses.sort()).toEqual(['authorization_endpoint', 'end_session_endpoint', 'token_endpoint', 'userinfo_endpoint']);
  });

  it('keeps two providers of one process apart', async () => {
    const second = await startProviderWorld();
    try {
      const [app, foreign] = [await createApp(world), await createApp(second)];
      const { tokens, request, callbackUrl } = await logIn(app);
      await expect(foreign.userinfo(tokens.access_token)).rejects.toMatchObject({ status: 401 });
      const stolen = new URL(callbackUrl);
      stolen.searchParams.set('iss', second.issuer);
      await expect(foreign.exchange(stolen.href, request)).rejects.toMatchObject({ error: 'invalid_grant' });
      expect(await app.userinfo(tokens.access_token)).toMatchObject({ sub: ada.userId });
      expect((await logIn(foreign)).tokens.claims()?.iss).toBe(second.issuer);
    } finally {
      await second.close();
    }
  });
});

function workspaces(claims: unknown): string[] {
  const { memberships } = claims as { memberships: { workspace: string }[] };
  return memberships.map(({ workspace }) => workspace);
}

function headerOf(jwt: string | undefined): unknown {
  return JSON.parse(Buffer.from(jwt?.split('.')[0] ?? '', 'base64url').toString());
}
