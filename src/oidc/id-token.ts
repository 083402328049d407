import { hash } from 'node:crypto';
import { BrokerError } from '../domain/broker-error.ts';
import type { SigningAlgorithm, VerifiedJws } from './key-set.ts';

export interface IdTokenExpectation {
  readonly issuer: string;
  readonly clientId: string;
  readonly nonce: string;
  readonly accessToken: string;
  readonly clockSkewSeconds: number;
  readonly now: Date;
}

interface IdTokenCheck {
  readonly name: string;
  readonly section: string;
  /** The reason of the refusal; null: passed. */
  readonly refuse: (idToken: VerifiedJws, expected: IdTokenExpectation) => string | null;
}

/** OIDC Core 3.1.3.7 in its order, after the signature. */
export const idTokenChecks: readonly IdTokenCheck[] = [
  { name: 'issuer', section: 'OIDC Core 3.1.3.7 (2)', refuse: refuseIssuer },
  { name: 'audience', section: 'OIDC Core 3.1.3.7 (3)', refuse: refuseAudience },
  { name: 'authorized party', section: 'OIDC Core 3.1.3.7 (4), (5)', refuse: refuseAuthorizedParty },
  { name: 'expiry', section: 'OIDC Core 3.1.3.7 (9)', refuse: refuseExpiry },
  { name: 'issue time', section: 'OIDC Core 3.1.3.7 (10)', refuse: refuseIssueTime },
  { name: 'not before', section: 'RFC 7519 4.1.5', refuse: refuseNotBefore },
  { name: 'nonce', section: 'OIDC Core 3.1.3.7 (11)', refuse: refuseNonce },
  { name: 'access token hash', section: 'OIDC Core 3.1.3.8', refuse: refuseAccessTokenHash },
  { name: 'subject', section: 'OIDC Core 2', refuse: refuseSubject },
];

/** @throws BrokerError `assertion_rejected` with the reason of the first check that fails */
export function checkIdToken(idToken: VerifiedJws, expected: IdTokenExpectation): void {
  for (const { name, section, refuse } of idTokenChecks) {
    const reason = refuse(idToken, expected);
    if (reason)
      throw new BrokerError('assertion_rejected', `the ID token fails the check of its ${name} (${section})`, { reason });
  }
}

function refuseIssuer({ claims }: VerifiedJws, { issuer }: IdTokenExpectation): string | null {
  return claims.iss === issuer ? null : 'issuer_mismatch';
}

function refuseAudience({ claims }: VerifiedJws, { clientId }: IdTokenExpectation): string | null {
  return audiencesOf(claims).includes(clientId) ? null : 'audience_mismatch';
}

/** With several audiences the token must say for whom it was issued; if it says so, it must be us. */
function refuseAuthorizedParty({ claims }: VerifiedJws, { clientId }: IdTokenExpectation): string | null {
  const needed = audiencesOf(claims).length > 1;
  if (claims.azp === undefined) return needed ? 'azp_mismatch' : null;
  return claims.azp === clientId ? null : 'azp_mismatch';
}

function audiencesOf({ aud }: VerifiedJws['claims']): readonly unknown[] {
  return Array.isArray(aud) ? aud : [aud];
}

/** The last second that a JavaScript date and a Postgres timestamp can both hold with room to spare: the year 9999. */
const latestSecond = 253_402_300_799;

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value > 0 && value <= latestSecond;
}

function refuseExpiry({ claims: { exp } }: VerifiedJws, expected: IdTokenExpectation): string | null {
  if (!isTime(exp)) return 'expiry_invalid';
  return exp > seconds(expected) - expected.clockSkewSeconds ? null : 'token_expired';
}

/** How old the token may be is bounded by the nonce, which lives as long as the pending login. */
function refuseIssueTime({ claims: { iat } }: VerifiedJws, expected: IdTokenExpectation): string | null {
  if (!isTime(iat)) return 'issue_time_invalid';
  return iat <= seconds(expected) + expected.clockSkewSeconds ? null : 'token_issued_in_future';
}

function refuseNotBefore({ claims: { nbf } }: VerifiedJws, expected: IdTokenExpectation): string | null {
  if (nbf === undefined) return null;
  return isTime(nbf) && nbf <= seconds(expected) + expected.clockSkewSeconds ? null : 'token_not_yet_valid';
}

function refuseNonce({ claims }: VerifiedJws, { nonce }: IdTokenExpectation): string | null {
  return claims.nonce === nonce ? null : 'nonce_mismatch';
}

function refuseAccessTokenHash({ claims, algorithm }: VerifiedJws, { accessToken }: IdTokenExpectation): string | null {
  if (claims.at_hash === undefined) return null;
  return claims.at_hash === accessTokenHash(algorithm, accessToken) ? null : 'at_hash_mismatch';
}

/** The left half of the hash that the algorithm is built on; Ed25519 is built on SHA-512. */
function accessTokenHash(algorithm: SigningAlgorithm, accessToken: string): string {
  const bits = algorithm === 'EdDSA' || algorithm === 'Ed25519' ? '512' : algorithm.slice(2);
  const digest = hash(`sha${bits}`, accessToken, 'buffer');
  return digest.subarray(0, digest.length / 2).toString('base64url');
}

/** At most 255 characters; none that a database or a log could take for something else. */
function refuseSubject({ claims: { sub } }: VerifiedJws): string | null {
  const acceptable =
    typeof sub === 'string' && sub.length >= 1 && sub.length <= 255 && sub.isWellFormed() && !/\p{Cc}/u.test(sub);
  return acceptable ? null : 'subject_invalid';
}

function seconds({ now }: IdTokenExpectation): number {
  return now.getTime() / 1000;
}
