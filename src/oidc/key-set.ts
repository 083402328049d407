import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { compactVerify, decodeProtectedHeader, errors } from 'jose';
import { BrokerError } from '../domain/broker-error.ts';
import { createRefreshedValue } from './refreshed-value.ts';

export interface VerifiedJws {
  readonly algorithm: SigningAlgorithm;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** The keys by which one IdP signs. */
export interface KeySet {
  /**
   * Verifies a JWS in compact serialization and reads its payload from the bytes that were verified.
   * @throws BrokerError `assertion_rejected` with the reasons `<what>_too_large`, `<what>_malformed`, `algorithm_not_allowed`, `key_unknown`,
   *   `key_ambiguous`, `signature_invalid`; `upstream_unavailable` or `upstream_misconfigured` when the keys cannot be had
   */
  verify(jws: string, what: 'id_token' | 'userinfo' | 'access_token'): Promise<VerifiedJws>;
}

/** Asymmetric only: `none` and HS* never (RFC 8725 3.1, 3.2). The curve of ES* is bound to the algorithm (RFC 7518 3.4). */
const keyTypes = {
  RS256: { kty: 'RSA' },
  RS384: { kty: 'RSA' },
  RS512: { kty: 'RSA' },
  PS256: { kty: 'RSA' },
  PS384: { kty: 'RSA' },
  PS512: { kty: 'RSA' },
  ES256: { kty: 'EC', crv: 'P-256' },
  ES384: { kty: 'EC', crv: 'P-384' },
  ES512: { kty: 'EC', crv: 'P-521' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
  Ed25519: { kty: 'OKP', crv: 'Ed25519' },
} as const satisfies Record<string, { kty: string; crv?: string }>;

export type SigningAlgorithm = keyof typeof keyTypes;

/** Hard budgets for what an IdP sends. */
const maxJwsCharacters = 128 * 1024;
const maxKeys = 100;

/** One JWK as published; its key is imported when it is first needed, and once. */
interface PublishedKey {
  readonly jwk: JsonWebKey & {
    readonly kid?: unknown;
    readonly alg?: unknown;
    readonly use?: unknown;
    readonly key_ops?: unknown;
  };
  readonly key: () => KeyObject | null;
}

/**
 * Keeps the IdP's JWKS. An unknown key id, or a signature that a known one does not verify (some IdPs reuse key ids), has the JWKS fetched
 * again at once, so that a rotation at the IdP costs no login; further such fetches wait for the cool-down, so that a flood of unknown key
 * ids does not become a flood at the IdP.
 *
 * openid-client's own cache is not used: it fetches anew only when its copy is older than a minute, which refuses logins right after a
 * rotation.
 */
export function createKeySet(options: {
  /** The members of `keys` of the JWKS document. */
  readonly fetchKeys: () => Promise<readonly JsonWebKey[]>;
  readonly now: () => Date;
  readonly refreshSeconds: number;
  readonly cooldownSeconds: number;
  readonly retrySeconds: number;
}): KeySet {
  const { fetchKeys, now, refreshSeconds, cooldownSeconds, retrySeconds } = options;
  const published = createRefreshedValue({
    load: async () => publish(await fetchKeys()),
    now,
    refreshSeconds,
    // A key that the IdP withdrew must not live on because its server was unreachable at the right moment.
    graceSeconds: refreshSeconds,
    retrySeconds,
    renewCooldownSeconds: cooldownSeconds,
  });

  return {
    async verify(jws, what) {
      const header = readHeader(jws, what);
      const before = select(await published.get(), header);
      const first = await attempt(before, jws, what);
      if (first !== null) return first;
      const after = select(await published.renew(), header);
      const second = after?.jwk === before?.jwk ? null : await attempt(after, jws, what);
      if (second !== null) return second;
      if (after === null) throw rejected(`the IdP publishes no key that fits the ${words[what]}`, 'key_unknown');
      throw rejected(`the signature of the ${words[what]} is wrong`, 'signature_invalid');
    },
  };

  /** Null: there is no key, or it does not verify. */
  async function attempt(candidate: PublishedKey | null, jws: string, what: TokenKind): Promise<VerifiedJws | null> {
    const key = candidate?.key();
    if (!key) return null;
    try {
      const { payload, protectedHeader } = await compactVerify(jws, key, { algorithms: Object.keys(keyTypes) });
      return { algorithm: protectedHeader.alg as SigningAlgorithm, claims: readPayload(payload, what) };
    } catch (error) {
      if (error instanceof errors.JWSSignatureVerificationFailed) return null;
      if (error instanceof BrokerError) throw error;
      // Wrong shape, an extension marked critical (RFC 7515 4.1.11), or a key below 2048 bits (RFC 7518 3.3).
      throw rejected(`the ${words[what]} cannot be verified`, `${what}_malformed`, error);
    }
  }
}

type TokenKind = Parameters<KeySet['verify']>[1];
const words: Record<TokenKind, string> = { id_token: 'ID token', userinfo: 'userinfo response', access_token: 'access token' };

interface Header {
  readonly algorithm: SigningAlgorithm;
  readonly keyId: string | undefined;
}

function readHeader(jws: string, what: TokenKind): Header {
  if (jws.length > maxJwsCharacters)
    throw rejected(`the ${words[what]} is longer than ${maxJwsCharacters} characters`, `${what}_too_large`);
  if (!/^[\w-]+\.[\w-]+\.[\w-]*$/.test(jws))
    throw rejected(`the ${words[what]} is not a JWS in compact form`, `${what}_malformed`);
  const { alg, kid } = decodeHeader(jws, what);
  if (typeof alg !== 'string' || !Object.hasOwn(keyTypes, alg)) {
    throw rejected(`the ${words[what]} is signed with an algorithm that is not allowed`, 'algorithm_not_allowed');
  }
  return { algorithm: alg as SigningAlgorithm, keyId: typeof kid === 'string' ? kid : undefined };
}

function decodeHeader(jws: string, what: TokenKind) {
  try {
    return decodeProtectedHeader(jws);
  } catch (error) {
    throw rejected(`the header of the ${words[what]} is not JSON`, `${what}_malformed`, error);
  }
}

function readPayload(payload: Uint8Array, what: TokenKind): Readonly<Record<string, unknown>> {
  const claims = parseJson(payload);
  if (typeof claims === 'object' && claims !== null && !Array.isArray(claims)) return claims as Record<string, unknown>;
  throw rejected(`the payload of the ${words[what]} is not a JSON object`, `${what}_malformed`);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch {
    return undefined;
  }
}

function publish(keys: readonly JsonWebKey[]): readonly PublishedKey[] {
  if (keys.length > maxKeys) {
    throw new BrokerError('upstream_misconfigured', `the IdP publishes more than ${maxKeys} keys`, { reason: 'jwks_invalid' });
  }
  return keys.map((jwk) => {
    let imported: KeyObject | null | undefined;
    const key = () => {
      if (imported === undefined) imported = importKey(jwk);
      return imported;
    };
    return { jwk, key };
  });
}

function importKey(jwk: JsonWebKey): KeyObject | null {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    // A broken key beside good ones is no reason to refuse all logins.
    return null;
  }
}

/** OIDC Core 10.1: with several keys of the kind in the set, the header has to name one. */
function select(published: readonly PublishedKey[], { algorithm, keyId }: Header): PublishedKey | null {
  const candidates = published.filter(({ jwk }) => fits(jwk, algorithm) && (keyId === undefined || jwk.kid === keyId));
  if (candidates.length > 1) {
    throw rejected('several keys of the IdP fit the token; its header has to name one of them (kid)', 'key_ambiguous');
  }
  return candidates[0] ?? null;
}

function fits(jwk: PublishedKey['jwk'], algorithm: SigningAlgorithm): boolean {
  const expected: { kty: string; crv?: string } = keyTypes[algorithm];
  if (jwk.kty !== expected.kty || (expected.crv !== undefined && jwk.crv !== expected.crv)) return false;
  if (jwk.use !== undefined && jwk.use !== 'sig') return false;
  if (Array.isArray(jwk.key_ops) && !jwk.key_ops.includes('verify')) return false;
  const sameFamily = expected.kty === 'OKP' && (jwk.alg === 'EdDSA' || jwk.alg === 'Ed25519');
  return jwk.alg === undefined || jwk.alg === algorithm || sameFamily;
}

function rejected(detail: string, reason: string, cause?: unknown): BrokerError {
  return new BrokerError('assertion_rejected', detail, { reason, ...(cause !== undefined && { cause }) });
}
