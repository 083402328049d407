import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';
import { ada, createOidcWorld, type OidcWorld, type OidcWorldOptions } from '../../support/oidc-world.ts';

let idp: OidcIdp;
let worlds: OidcWorld[] = [];

beforeAll(async () => {
  idp = await startOidcIdp({ users: { ada }, path: '/realms/acme' });
});
afterAll(() => idp.stop());
beforeEach(async () => {
  idp.behave();
  await Promise.all(worlds.map((world) => world.close()));
  worlds = [];
});

function newWorld(options?: OidcWorldOptions): OidcWorld {
  const world = createOidcWorld(idp, options);
  worlds.push(world);
  return world;
}

describe('discovery', () => {
  test.each([
    ['the issuer', (issuer: string) => issuer],
    ['the issuer with a slash', (issuer: string) => `${issuer}/`],
    ['the address of the document', (issuer: string) => `${issuer}/.well-known/openid-configuration`],
    ['the address of the document with a query', (issuer: string) => `${issuer}/.well-known/openid-configuration?appid=1`],
  ])('takes %s', async (_, address) => {
    const world = newWorld();
    const connection = world.connection({ discoveryUrl: address(idp.issuer) });
    await expect(world.login({ connection })).resolves.toMatchObject({ issuer: idp.issuer, subject: 'ada-1' });
  });

  test('takes an issuer that ends with a slash, and expects exactly that one in the ID token', async () => {
    const issuer = `${idp.issuer}/`;
    idp.behaviour.metadata = { issuer, authorization_response_iss_parameter_supported: undefined };
    idp.behaviour.attack = 'missing_iss_parameter';
    await expect(newWorld().login()).rejects.toMatchObject({ code: 'assertion_rejected', reason: 'issuer_mismatch' });
    idp.users.set('ada', { ...ada, claims: { iss: issuer } });
    await expect(newWorld().login()).resolves.toMatchObject({ issuer });
    idp.users.set('ada', ada);
  });

  test('happens once for many logins at once, and again for a new version of the connection', async () => {
    const world = newWorld();
    const before = idp.served.discovery;
    await Promise.all(Array.from({ length: 20 }, () => world.begin()));
    expect(idp.served.discovery - before).toBe(1);
    await world.begin({ connection: world.connection({}, 2) });
    expect(idp.served.discovery - before).toBe(2);
    world.relyingParty.forget('connection-1');
    await world.begin({ connection: world.connection({}, 2) });
    expect(idp.served.discovery - before).toBe(3);
  });

  test('is repeated when its document has grown old', async () => {
    const world = newWorld({ metadataRefreshSeconds: 600 });
    const before = idp.served.discovery;
    await world.login();
    world.clock.advance(500);
    await world.begin();
    expect(idp.served.discovery - before).toBe(1);
    world.clock.advance(200);
    await world.begin();
    expect(idp.served.discovery - before).toBe(2);
  });

  test('that fails leaves the last good document in force while the IdP cannot be reached, for a day', async () => {
    const world = newWorld({ metadataRefreshSeconds: 600 });
    await world.begin();
    idp.behaviour.instead = { discovery: { status: 503, body: 'down' } };
    const before = idp.served.discovery;
    world.clock.advance(601);
    await world.begin();
    await world.begin();
    expect(idp.served.discovery - before).toBe(1);
    world.clock.advance(86_400);
    await expect(world.begin()).rejects.toMatchObject({ code: 'upstream_unavailable', reason: 'http_503' });
  });

  test('that fails is remembered for a few seconds only', async () => {
    const world = newWorld();
    const before = idp.served.discovery;
    idp.behaviour.instead = { discovery: { status: 500, body: '' } };
    await expect(world.begin()).rejects.toMatchObject({ code: 'upstream_unavailable', reason: 'http_500' });
    idp.behave();
    await expect(world.begin()).rejects.toMatchObject({ code: 'upstream_unavailable', reason: 'http_500' });
    expect(idp.served.discovery - before).toBe(1);
    world.clock.advance(6);
    await expect(world.login()).resolves.toMatchObject({ subject: 'ada-1' });
  });

  test('has a time limit', async () => {
    idp.behaviour.delayMilliseconds = { discovery: 3_000 };
    const hasty = newWorld({ outbound: { timeoutSeconds: 1 } });
    await expect(hasty.begin()).rejects.toMatchObject({ code: 'upstream_unavailable', reason: 'timeout' });
  });

  test('of an IdP that is not there fails as unavailable', async () => {
    const gone = await startOidcIdp();
    await gone.stop();
    const world = newWorld();
    await expect(world.begin({ connection: world.connection({ discoveryUrl: gone.issuer }) })).rejects.toMatchObject({
      code: 'upstream_unavailable',
      reason: 'connect',
    });
  });

  test('over http, or to an address inside the house, is refused unless allowed', async () => {
    const httpsOnly = newWorld({ outbound: { allowHttp: false } });
    await expect(httpsOnly.begin()).rejects.toMatchObject({ code: 'upstream_misconfigured', reason: 'http_not_allowed' });
    const guarded = newWorld({ outbound: { allowedPrivateAddresses: [] } });
    await expect(guarded.begin()).rejects.toMatchObject({ code: 'upstream_misconfigured', reason: 'blocked_address' });
  });
});

describe('a discovery document is refused', () => {
  test.each([
    ['with another issuer', { issuer: 'https://evil.example' }, 'issuer_mismatch'],
    ['with a longer issuer', { issuer: 'http://127.0.0.1/realms/acme/more' }, 'issuer_mismatch'],
    ['for many tenants', { issuer: 'https://login.microsoftonline.com/{tenantid}/v2.0' }, 'issuer_is_template'],
    ['without an issuer', { issuer: undefined }, 'discovery_document_invalid'],
    ['without an authorization endpoint', { authorization_endpoint: undefined }, 'endpoint_invalid'],
    ['with a script as authorization endpoint', { authorization_endpoint: 'javascript:alert(1)' }, 'endpoint_invalid'],
    ['without a token endpoint', { token_endpoint: undefined }, 'endpoint_invalid'],
    ['without keys', { jwks_uri: undefined }, 'endpoint_invalid'],
    ['with a broken userinfo endpoint', { userinfo_endpoint: 'userinfo' }, 'endpoint_invalid'],
    [
      'that takes no client secret',
      { token_endpoint_auth_methods_supported: ['private_key_jwt'] },
      'client_authentication_unsupported',
    ],
  ])('%s', async (_, metadata, reason) => {
    idp.behaviour.metadata = metadata;
    await expect(newWorld().begin()).rejects.toMatchObject({ code: 'upstream_misconfigured', reason });
    idp.behave();
    await expect(newWorld().login()).resolves.toMatchObject({ subject: 'ada-1' });
  });

  test.each([
    ['which is no JSON', '<html>'],
    ['which is a list', '[]'],
    ['which is cut off', '{"issuer":'],
  ])('%s', async (_, body) => {
    idp.behaviour.instead = { discovery: { status: 200, body } };
    await expect(newWorld().begin()).rejects.toMatchObject({
      code: 'upstream_misconfigured',
      reason: 'discovery_document_invalid',
    });
  });

  test('that is not found', async () => {
    idp.behaviour.instead = { discovery: { status: 404, body: 'nothing here' } };
    await expect(newWorld().begin()).rejects.toMatchObject({ code: 'upstream_misconfigured', reason: 'http_404' });
  });

  test('that is too large', async () => {
    idp.behaviour.metadata = { padding: 'x'.repeat(2_000_000) };
    await expect(newWorld().begin()).rejects.toMatchObject({ code: 'upstream_misconfigured', reason: 'too_large' });
  });

  test('at an address that is none', async () => {
    const world = newWorld();
    const connection = world.connection({ discoveryUrl: 'acme' });
    await expect(world.begin({ connection })).rejects.toMatchObject({
      code: 'upstream_misconfigured',
      reason: 'discovery_url_invalid',
    });
  });
});

test('R26 asks the IdP to see the person anew only when told to', async () => {
  const promptOf = async (reauthenticate: boolean) => {
    const world = newWorld();
    const { url } = await world.relyingParty.authorizationUrl(world.connection(), {
      state: 's',
      loginHint: null,
      reauthenticate,
    });
    return new URL(url).searchParams.get('prompt');
  };
  expect(await promptOf(true)).toBe('login');
  expect(await promptOf(false)).toBeNull();
});

describe('R14 the scopes of the authorization request', () => {
  async function scopeOf(world: OidcWorld, scopes: readonly string[] = []): Promise<string | null> {
    const { url } = await world.relyingParty.authorizationUrl(world.connection({ scopes }), { state: 's', loginHint: 'ada' });
    return new URL(url).searchParams.get('scope');
  }

  test('gain `groups` when none were given and the IdP lists it, or lists nothing', async () => {
    expect(await scopeOf(newWorld())).toBe('openid email profile groups');
    idp.behaviour.metadata = { scopes_supported: undefined };
    expect(await scopeOf(newWorld())).toBe('openid email profile groups');
  });

  test('do not gain `groups` from an IdP that would refuse the request for it', async () => {
    idp.behaviour.metadata = { scopes_supported: ['openid', 'profile', 'email', 'offline_access'] };
    expect(await scopeOf(newWorld())).toBe('openid email profile');
    await expect(newWorld().login()).resolves.toMatchObject({ subject: 'ada-1' });
  });

  test('are the configured ones, with `openid`', async () => {
    expect(await scopeOf(newWorld(), ['openid', 'teams'])).toBe('openid teams');
    expect(await scopeOf(newWorld(), ['teams'])).toBe('openid teams');
  });
});
