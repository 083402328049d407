import { describe, expect, test } from 'vitest';
import type { ClaimSource } from '../../../src/domain/federated-identity.ts';
import { authenticationTime, profileOf, sessionIdOf } from '../../../src/oidc/identity.ts';

const idToken = (claims: Record<string, unknown>): ClaimSource => ({ source: 'id_token', claims });
const userinfo = (claims: Record<string, unknown>): ClaimSource => ({ source: 'userinfo', claims });

describe('a profile', () => {
  test('takes each name from the first source that has it', () => {
    expect(
      profileOf([
        idToken({ name: 'Ada', given_name: '' }),
        userinfo({ name: 'Other', given_name: 'Ada', family_name: 'Lovelace' }),
      ]),
    ).toEqual({
      email: null,
      emailVerified: false,
      name: 'Ada',
      givenName: 'Ada',
      familyName: 'Lovelace',
    });
  });

  test('lower-cases the domain of the e-mail and leaves the local part', () => {
    expect(profileOf([idToken({ email: 'Ada.L@ACME.Example' })]).email).toBe('Ada.L@acme.example');
  });

  test.each([
    ['no at sign'],
    ['two@at@signs'],
    ['@domain'],
    ['local@'],
    ['line\n@break.example'],
    [42],
    [null],
    [['a@b.example']],
    ['a b@c.example'],
  ])('has no e-mail when %j is sent', (email) => {
    expect(profileOf([idToken({ email, email_verified: true })])).toMatchObject({ email: null, emailVerified: false });
  });

  test.each([
    [true, true],
    ['true', true],
    ['TRUE', false],
    ['1', false],
    [1, false],
    [{}, false],
    [undefined, false],
    [false, false],
    ['false', false],
  ])('counts an e-mail as verified for %j: %s', (email_verified, expected) => {
    expect(profileOf([idToken({ email: 'a@b.example', email_verified })]).emailVerified).toBe(expected);
  });

  test('never joins the e-mail of one source with the verdict of another', () => {
    const profile = profileOf([idToken({ email: 'a@b.example' }), userinfo({ email: 'other@b.example', email_verified: true })]);
    expect(profile).toMatchObject({ email: 'a@b.example', emailVerified: false });
    const other = profileOf([idToken({ email_verified: true }), userinfo({ email: 'other@b.example' })]);
    expect(other).toMatchObject({ email: 'other@b.example', emailVerified: false });
  });

  test('takes nothing from an access token, which is meant for others', () => {
    expect(profileOf([idToken({}), { source: 'access_token', claims: { email: 'a@b.example', name: 'Ada' } }])).toMatchObject({
      email: null,
      name: null,
    });
  });

  test('drops text that no page or database should hold', () => {
    expect(profileOf([idToken({ name: 'Ada\u0000', given_name: 'x'.repeat(400), family_name: '\ud800' })])).toMatchObject({
      name: null,
      givenName: null,
      familyName: null,
    });
  });

  test('does not mistake what every object inherits for a claim', () => {
    const inherited: Record<string, unknown> = Object.create({ name: 'Inherited' });
    expect(profileOf([idToken(inherited)]).name).toBeNull();
  });
});

describe('the authentication time', () => {
  test('is read as seconds', () => {
    expect(authenticationTime({ auth_time: 1_767_225_600 })?.toISOString()).toBe('2026-01-01T00:00:00.000Z');
  });
  test.each([['1767225600'], [Number.POSITIVE_INFINITY], [-1], [1e300], [undefined]])('is unknown for %j', (auth_time) => {
    expect(authenticationTime({ auth_time })).toBeNull();
  });
});

test('the session id is a string or nothing', () => {
  expect(sessionIdOf({ sid: 's-1' })).toBe('s-1');
  expect(sessionIdOf({ sid: 1 })).toBeNull();
});
