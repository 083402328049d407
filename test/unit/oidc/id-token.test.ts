import { describe, expect, test } from 'vitest';
import { checkIdToken, type IdTokenExpectation, idTokenChecks } from '../../../src/oidc/id-token.ts';
import type { SigningAlgorithm } from '../../../src/oidc/key-set.ts';
import { accessTokenHash } from '../../support/oidc-tokens.ts';

const now = new Date('2026-05-01T12:00:00Z');
const second = now.getTime() / 1_000;
const skew = 60;
const expected: IdTokenExpectation = {
  issuer: 'https://idp.example',
  clientId: 'client-1',
  nonce: 'nonce-1',
  accessToken: 'access-token-1',
  clockSkewSeconds: skew,
  now,
};
const good = { iss: 'https://idp.example', aud: 'client-1', exp: second + 300, iat: second, nonce: 'nonce-1', sub: 'user-1' };

function verdictOn(claims: Record<string, unknown>, algorithm: SigningAlgorithm = 'ES256'): unknown {
  try {
    checkIdToken({ algorithm, claims }, expected);
    return 'accepted';
  } catch (error) {
    return error;
  }
}

/** Each refused change with a twin that is accepted. */
const cases: readonly (readonly [string, Record<string, unknown>, string, Record<string, unknown>])[] = [
  ['issuer', { iss: 'https://idp.example/' }, 'issuer_mismatch', {}],
  ['issuer in other case', { iss: 'https://IDP.example' }, 'issuer_mismatch', {}],
  ['issuer as a list', { iss: ['https://idp.example'] }, 'issuer_mismatch', {}],
  ['audience', { aud: 'client-2' }, 'audience_mismatch', { aud: ['client-1'] }],
  ['audience that contains ours as a part', { aud: 'client-10' }, 'audience_mismatch', {}],
  ['missing audience', { aud: undefined }, 'audience_mismatch', {}],
  ['empty audience list', { aud: [] }, 'audience_mismatch', {}],
  [
    'second audience without azp',
    { aud: ['client-1', 'client-2'] },
    'azp_mismatch',
    { aud: ['client-1', 'client-2'], azp: 'client-1' },
  ],
  ['azp', { azp: 'client-2' }, 'azp_mismatch', { azp: 'client-1' }],
  ['expiry reached', { exp: second - skew }, 'token_expired', { exp: second - skew + 1 }],
  ['expiry missing', { exp: undefined }, 'expiry_invalid', {}],
  ['expiry as text', { exp: String(second + 300) }, 'expiry_invalid', {}],
  ['expiry beyond all dates', { exp: 1e300 }, 'expiry_invalid', { exp: 253_402_300_799 }],
  ['expiry without a number', { exp: Number.NaN }, 'expiry_invalid', {}],
  ['issue time in the future', { iat: second + skew + 1 }, 'token_issued_in_future', { iat: second + skew }],
  ['issue time missing', { iat: undefined }, 'issue_time_invalid', {}],
  ['not before', { nbf: second + skew + 1 }, 'token_not_yet_valid', { nbf: second + skew }],
  ['not before as text', { nbf: 'now' }, 'token_not_yet_valid', {}],
  ['nonce', { nonce: 'nonce-2' }, 'nonce_mismatch', {}],
  ['missing nonce', { nonce: undefined }, 'nonce_mismatch', {}],
  [
    'access token hash',
    { at_hash: 'AAAAAAAAAAAAAAAAAAAAAA' },
    'at_hash_mismatch',
    { at_hash: accessTokenHash('ES256', 'access-token-1') },
  ],
  ['access token hash of another token', { at_hash: accessTokenHash('ES256', 'access-token-2') }, 'at_hash_mismatch', {}],
  ['access token hash by another hash', { at_hash: accessTokenHash('ES384', 'access-token-1') }, 'at_hash_mismatch', {}],
  ['missing subject', { sub: undefined }, 'subject_invalid', {}],
  ['empty subject', { sub: '' }, 'subject_invalid', {}],
  ['overlong subject', { sub: 'x'.repeat(256) }, 'subject_invalid', { sub: 'x'.repeat(255) }],
  ['subject with a control character', { sub: 'user\u0000' }, 'subject_invalid', { sub: 'auth0|user@ä' }],
  ['subject with half a character', { sub: 'user\ud800' }, 'subject_invalid', { sub: 'user\u{1f600}' }],
];

describe('the checks of an ID token', () => {
  test('accept a good one', () => {
    expect(verdictOn(good)).toBe('accepted');
  });

  test.each(cases)('refuse: %s', (_, refused, reason, accepted) => {
    expect(verdictOn({ ...good, ...refused })).toMatchObject({ code: 'assertion_rejected', reason });
    expect(verdictOn({ ...good, ...accepted })).toBe('accepted');
  });

  test.each(['RS256', 'PS256', 'ES384', 'EdDSA'] as const)('know the hash of the access token under %s', (algorithm) => {
    const hash = accessTokenHash(algorithm === 'RS256' ? 'PS256' : algorithm, expected.accessToken);
    expect(verdictOn({ ...good, at_hash: hash }, algorithm)).toBe('accepted');
  });

  test('each name their section of the specification', () => {
    for (const { section } of idTokenChecks) expect(section).toMatch(/^(OIDC Core|RFC) \d/);
  });
});
