import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readGroups } from '../../../src/domain/group-claim.ts';
import type { OidcIdentity } from '../../../src/oidc/identity.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';
import { ada, createOidcWorld, type OidcWorld } from '../../support/oidc-world.ts';

let idp: OidcIdp;
let world: OidcWorld;

beforeAll(async () => {
  idp = await startOidcIdp({ users: { ada } });
});
afterAll(() => idp.stop());
beforeEach(() => {
  idp.behave();
  idp.users.set('ada', ada);
  world = createOidcWorld(idp);
});
afterEach(() => world.close());

const groupClaim = { name: 'groups', delimiter: null, nameProperty: null, truncationLimit: null };
const groupsOf = ({ claims }: OidcIdentity) => readGroups(claims, groupClaim);
const sourcesOf = ({ claims }: OidcIdentity) => claims.map(({ source }) => source);

describe('R14 the sources of groups', () => {
  test('R14 the ID token alone, when it says everything: userinfo is not asked', async () => {
    const before = idp.served.userinfo;
    const identity = await world.login();
    expect(groupsOf(identity)).toEqual({ state: 'known', names: ['Engineering', 'Everyone'], source: 'id_token' });
    expect(idp.served.userinfo).toBe(before);
  });

  test('R14 userinfo, when the ID token lacks the claim', async () => {
    idp.behaviour.groupsIn = 'userinfo';
    const identity = await world.login();
    expect(groupsOf(identity)).toEqual({ state: 'known', names: ['Engineering', 'Everyone'], source: 'userinfo' });
    expect(sourcesOf(identity)).toEqual(['id_token', 'userinfo']);
  });

  test('R14 userinfo, when one of several claim names is missing', async () => {
    const before = idp.served.userinfo;
    await world.login({ groupClaimNames: ['groups', 'roles'] });
    expect(idp.served.userinfo - before).toBe(1);
  });

  test('R14 a path with dots counts as there when it leads somewhere', async () => {
    idp.users.set('ada', { ...ada, claims: { realm_access: { roles: ['admin'] } } });
    const before = idp.served.userinfo;
    await world.login({ groupClaimNames: ['realm_access.roles'] });
    expect(idp.served.userinfo).toBe(before);
    await world.login({ groupClaimNames: ['realm_access.groups'] });
    expect(idp.served.userinfo).toBe(before + 1);
  });

  test('R14 userinfo is not asked for groups when no workspace looks for any', async () => {
    idp.behaviour.groupsIn = 'nowhere';
    const before = idp.served.userinfo;
    await world.login({ groupClaimNames: [] });
    expect(idp.served.userinfo).toBe(before);
  });

  test('R14 the access token last, when it is a JWT of this IdP for this person', async () => {
    idp.behaviour.groupsIn = 'access_token';
    idp.behaviour.accessToken = 'jwt';
    const identity = await world.login();
    expect(groupsOf(identity)).toEqual({ state: 'known', names: ['Engineering', 'Everyone'], source: 'access_token' });
    expect(sourcesOf(identity)).toEqual(['id_token', 'userinfo', 'access_token']);
  });

  test.each([
    ['access_token_by_foreign_key', 'signature_invalid'],
    ['access_token_unsigned', 'algorithm_not_allowed'],
    ['access_token_of_another_issuer', 'issuer_mismatch'],
    ['access_token_of_another_subject', 'subject_mismatch'],
    ['access_token_expired', 'token_expired'],
  ] as const)('R14 never an access token that is not to be trusted: %s', async (attack, reason) => {
    idp.behaviour.groupsIn = 'access_token';
    idp.behaviour.accessToken = 'jwt';
    idp.behaviour.attack = attack;
    const identity = await world.login();
    expect(groupsOf(identity)).toMatchObject({ state: 'unknown', reason: 'absent' });
    expect(sourcesOf(identity)).toEqual(['id_token', 'userinfo']);
    expect(identity.notes).toEqual([`access_token_ignored:${reason}`]);
  });

  test('R14 an opaque access token says nothing', async () => {
    idp.behaviour.groupsIn = 'nowhere';
    const identity = await world.login();
    expect(groupsOf(identity)).toMatchObject({ state: 'unknown', reason: 'absent' });
    expect(identity.notes).toEqual([]);
  });

  test('R25 an overage marker in the ID token ends the search', async () => {
    idp.behaviour.groupsIn = 'overage';
    const before = idp.served.userinfo;
    const identity = await world.login();
    expect(groupsOf(identity)).toMatchObject({ state: 'unknown', reason: 'overage' });
    expect(idp.served.userinfo).toBe(before);
  });
});

describe('userinfo', () => {
  test('about another person is an attack, whatever is missing', async () => {
    for (const missing of [{ groupsIn: 'userinfo' }, { emailIn: 'userinfo' }] as const) {
      idp.behave();
      Object.assign(idp.behaviour, missing);
      await expect(world.login()).resolves.toMatchObject({ subject: 'ada-1' });
      for (const attack of ['userinfo_of_another_subject', 'userinfo_without_subject'] as const) {
        idp.behaviour.attack = attack;
        await expect(world.login()).rejects.toMatchObject({ code: 'assertion_rejected', reason: 'userinfo_subject_mismatch' });
      }
    }
  });

  test('gives the e-mail that the ID token lacks, with the verdict on that very address', async () => {
    idp.behaviour.emailIn = 'userinfo';
    idp.users.set('ada', { ...ada, emailVerified: false, claims: { email_verified: true } });
    const { profile } = await world.login();
    expect(profile).toMatchObject({ email: 'Ada@acme.example', emailVerified: false });
  });

  test('may be signed; then the signature counts', async () => {
    idp.behaviour.groupsIn = 'userinfo';
    idp.behaviour.userinfo = 'jwt';
    expect(groupsOf(await world.login())).toMatchObject({ state: 'known', source: 'userinfo' });
    for (const [attack, reason] of [
      ['signed_userinfo_by_foreign_key', 'signature_invalid'],
      ['signed_userinfo_without_signature', 'algorithm_not_allowed'],
      ['signed_userinfo_for_another_client', 'userinfo_mismatch'],
      ['signed_userinfo_of_another_issuer', 'userinfo_mismatch'],
    ] as const) {
      idp.behaviour.attack = attack;
      await expect(world.login()).rejects.toMatchObject({ code: 'assertion_rejected', reason });
    }
  });

  test.each([
    ['error', 'http_500'],
    ['garbage', 'userinfo_invalid'],
    ['challenge', 'userinfo_refused'],
  ] as const)('R25 that fails (%s) leaves the groups unknown, and the login goes on', async (userinfo, reason) => {
    idp.behaviour.groupsIn = 'userinfo';
    idp.behaviour.userinfo = userinfo;
    const identity = await world.login();
    expect(groupsOf(identity)).toMatchObject({ state: 'unknown', reason: 'absent' });
    expect(identity.notes).toEqual([`userinfo_failed:${reason}`]);
  });

  test('R25 that fails is not replaced by the access token, which may hold fewer groups', async () => {
    idp.behaviour.groupsIn = 'access_token';
    idp.behaviour.accessToken = 'jwt';
    idp.behaviour.userinfo = 'error';
    expect(groupsOf(await world.login())).toMatchObject({ state: 'unknown', reason: 'absent' });
    idp.behave();
    idp.behaviour.groupsIn = 'access_token';
    idp.behaviour.accessToken = 'jwt';
    expect(groupsOf(await world.login())).toMatchObject({ state: 'known', source: 'access_token' });
  });

  test('R25 that is too slow leaves the groups unknown', async () => {
    const hasty = createOidcWorld(idp, { outbound: { timeoutSeconds: 1 } });
    idp.behaviour.groupsIn = 'userinfo';
    idp.behaviour.delayMilliseconds = { userinfo: 3_000 };
    const identity = await hasty.login();
    expect(identity.notes).toEqual(['userinfo_failed:timeout']);
    expect(groupsOf(identity)).toMatchObject({ state: 'unknown' });
    await hasty.close();
  });

  test('that fails stops the login when it was to give the e-mail', async () => {
    idp.behaviour.emailIn = 'userinfo';
    idp.behaviour.userinfo = 'error';
    await expect(world.login()).rejects.toMatchObject({ code: 'upstream_unavailable', reason: 'http_500' });
  });

  test('that the IdP does not offer is not missed', async () => {
    idp.behaviour.metadata = { userinfo_endpoint: undefined };
    idp.behaviour.groupsIn = 'nowhere';
    idp.behaviour.emailIn = 'nowhere';
    const fresh = createOidcWorld(idp);
    const identity = await fresh.login();
    expect(identity.profile.email).toBeNull();
    expect(sourcesOf(identity)).toEqual(['id_token']);
    await fresh.close();
  });
});
