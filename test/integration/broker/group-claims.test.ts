import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { groupsIn, latestTrace } from '../../support/broker-evidence.ts';
import { beginOidcLogin, logInByOidc, logInBySaml } from '../../support/broker-login.ts';
import { createSamlIdp, type SamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, type OidcIdpBehaviour, type OidcIdpUser, startOidcIdp } from '../../support/oidc-idp.ts';

let world: BrokerWorld;
let samlIdp: SamlIdp;
let idp: OidcIdp;

beforeAll(async () => {
  samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  [world, idp] = await Promise.all([startBrokerWorld(), startOidcIdp()]);
  await world.api.workspace('acme', { design: null, platform: 'builder' });
});
afterEach(() => idp.behave());
afterAll(async () => {
  await world.stop();
  await idp.stop();
});

type Sync = Readonly<Record<string, unknown>>;
const viaOidc = (groupSync: Sync = {}, protocol: Sync = {}) =>
  connectOidc(world, idp, { workspace: 'acme', groupSync, protocol });
const viaSaml = (groupSync: Sync = {}) => connectSaml(world, samlIdp, { workspace: 'acme', groupSync });

/** What a login gives in the workspace, and how the trace says that the groups were read. */
async function outcomeOf(
  login: Promise<{ readonly sub: string; readonly memberships: readonly { role: string; groups: readonly string[] }[] }>,
) {
  const { sub, memberships } = await login;
  const [membership] = memberships;
  return { role: membership?.role, groups: membership?.groups, read: groupsIn(await latestTrace(world, sub))[0] };
}

const ofOidc = async (user: Omit<OidcIdpUser, 'sub'>, groupSync: Sync = {}, behaviour: Partial<OidcIdpBehaviour> = {}) => {
  Object.assign(idp.behaviour, behaviour);
  return outcomeOf(logInByOidc(world, await viaOidc(groupSync), { sub: 'ada', email: 'ada@customer.example', ...user }));
};
const ofSaml = async (attributes: Record<string, string[]>, groupSync: Sync = {}) =>
  outcomeOf(logInBySaml(world, await viaSaml(groupSync), { nameId: 'ada', attributes }));

const builder = { role: 'builder', groups: ['platform'] };
const fallback = { role: 'end-user', groups: [] };
const known = (found_in: string, count: number) => ({ state: 'known', found_in, count });

describe('R14 the groups are found', () => {
  test('in the ID token, under the configured name', async () => {
    const user = { claims: { teams: ['platform'] } };
    expect(await ofOidc(user, { group_claim: 'teams' })).toEqual({ ...builder, read: known('id_token', 1) });
    // The accepted twin: the same token, read by a name that it has not.
    expect(await ofOidc(user, { group_claim: 'groups' })).toMatchObject({ ...fallback, read: { reason: 'absent' } });
  });

  test.each([
    ['a nested path', 'realm_access.roles', { realm_access: { roles: ['platform'] } }],
    ['a name with dots and slashes', 'https://customer.example/groups', { 'https://customer.example/groups': ['platform'] }],
    ['the name __proto__', '__proto__', JSON.parse('{"__proto__": ["platform"]}')],
    ['a path through __proto__', '__proto__.roles', JSON.parse('{"__proto__": {"roles": ["platform"]}}')],
    ['the name constructor', 'constructor', { constructor: ['platform'] }],
  ])('by %s', async (_, name, claims) => {
    expect(await ofOidc({ claims }, { group_claim: name })).toEqual({ ...builder, read: known('id_token', 1) });
  });

  test.each(['__proto__', 'constructor', 'toString', 'constructor.name', 'a.b.c.d'])(
    'not where there are none, asked for %s',
    async (name) => {
      expect(await ofOidc({}, { group_claim: name })).toMatchObject({
        ...fallback,
        read: { state: 'unknown', reason: 'absent' },
      });
    },
  );

  test('in userinfo, when the ID token lacks them', async () => {
    const read = known('userinfo', 1);
    expect(await ofOidc({ groups: ['platform'] }, {}, { groupsIn: 'userinfo' })).toEqual({ ...builder, read });
  });

  test('in an access token that is a JWT, when userinfo lacks them too', async () => {
    const behaviour = { groupsIn: 'access_token', accessToken: 'jwt' } as const;
    expect(await ofOidc({ groups: ['platform'] }, {}, behaviour)).toEqual({ ...builder, read: known('access_token', 1) });
    const forged = { ...behaviour, attack: 'access_token_by_foreign_key' } as const;
    expect(await ofOidc({ groups: ['platform'] }, {}, forged)).toMatchObject({ ...fallback, read: { reason: 'absent' } });
  });

  test('in a SAML attribute of the configured name, also one that is a path or __proto__', async () => {
    for (const name of ['http://schemas.microsoft.com/ws/2008/06/identity/claims/groups', 'memberOf', '__proto__']) {
      const attributes = Object.defineProperty({}, name, { value: ['platform'], enumerable: true });
      expect(await ofSaml(attributes, { group_claim: name })).toEqual({ ...builder, read: known('saml_attributes', 1) });
    }
  });

  test('the scope groups is asked for when no scopes were given, and only then', async () => {
    const scopesOf = async (protocol: Sync) => {
      const { authorizationUrl } = await beginOidcLogin(world, await viaOidc({}, protocol), { sub: 'ada' });
      return authorizationUrl.searchParams.get('scope')?.split(' ');
    };
    expect(await scopesOf({})).toContain('groups');
    expect(await scopesOf({ scopes: ['openid', 'email'] })).toEqual(['openid', 'email']);
  });
});

describe('R24 every shape is read', () => {
  const objects = [{ name: 'platform' }, { name: 'design' }];
  test.each([
    ['a list', ['platform', 'design'], {}, 2],
    ['one string', 'platform', {}, 1],
    ['a string with a delimiter', 'platform;design', { delimiter: ';' }, 2],
    ['a list of objects', objects, { name_property: 'name' }, 2],
    ['an empty string, which is none', '', {}, 0],
    ['an empty list', [], {}, 0],
  ])('%s', async (_, groups, claim, count) => {
    const { role, read } = await ofOidc({ groups }, { group_claim: { name: 'groups', ...claim } });
    expect({ role, read }).toEqual({ role: count > 0 ? 'builder' : 'end-user', read: known('id_token', count) });
  });

  test.each([
    ['a number', 7],
    ['an object', { platform: true }],
    ['a mixed list', ['platform', 7]],
    ['a list of lists', [['platform']]],
    ['objects without the configured property', objects],
    ['true', true],
  ])('%s is a recorded error and no crash', async (_, groups) => {
    const read = { state: 'unknown', reason: 'malformed' };
    expect(await ofOidc({ groups }, { group_claim: { name: 'groups', name_property: 'id' } })).toMatchObject({
      ...fallback,
      read,
    });
  });

  test('SAML: one value with a delimiter, and several values', async () => {
    const claim = { group_claim: { name: 'groups', delimiter: ',' } };
    expect(await ofSaml({ groups: ['platform,design'] }, claim)).toMatchObject({ groups: ['design', 'platform'] });
    expect(await ofSaml({ groups: ['platform', 'design'] }, claim)).toMatchObject({ groups: ['design', 'platform'] });
  });
});
