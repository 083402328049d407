import { createHash, createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import type { TokenInMaking } from './oidc-attacks.ts';

export type Algorithm = 'ES256' | 'ES384' | 'RS256' | 'PS256' | 'EdDSA';

export interface SigningKey {
  readonly keyId: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export function generateKey(algorithm: Algorithm, rsaBits = 2048): SigningKey {
  const keyId = randomBytes(8).toString('hex');
  switch (algorithm) {
    case 'ES256':
      return { keyId, ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) };
    case 'ES384':
      return { keyId, ...generateKeyPairSync('ec', { namedCurve: 'P-384' }) };
    case 'EdDSA':
      return { keyId, ...generateKeyPairSync('ed25519') };
    case 'RS256':
    case 'PS256':
      return { keyId, ...generateKeyPairSync('rsa', { modulusLength: rsaBits }) };
    default:
      return algorithm satisfies never;
  }
}

export function publicJwk({ keyId, publicKey }: SigningKey, algorithm: Algorithm): Record<string, unknown> {
  return { ...publicKey.export({ format: 'jwk' }), kid: keyId, use: 'sig', alg: algorithm };
}

/** Signs as the token asks: with the published key, or as an attacker would. */
export function createTokenFinisher(options: {
  readonly algorithm: Algorithm;
  readonly clientSecret: string;
  readonly signingKey: () => SigningKey;
}): (token: TokenInMaking) => string {
  const { algorithm, clientSecret, signingKey } = options;
  const foreignKey = generateKey(algorithm);

  return ({ header, claims, signWith }) => {
    const fullHeader = header.jwk === 'foreign' ? { ...header, jwk: foreignKey.publicKey.export({ format: 'jwk' }) } : header;
    const input = `${encode(fullHeader)}.${encode(claims)}`;
    switch (signWith) {
      case 'nothing':
        return `${input}.`;
      case 'public-key-as-hmac':
        return `${input}.${hmac(signingKey().publicKey.export({ format: 'pem', type: 'spki' }), input)}`;
      case 'client-secret-as-hmac':
        return `${input}.${hmac(clientSecret, input)}`;
      case 'foreign-key':
        return `${input}.${signature(algorithm, foreignKey.privateKey, input)}`;
      case 'published-key':
        return `${input}.${signature(algorithm, signingKey().privateKey, input)}`;
      default:
        return signWith satisfies never;
    }
  };
}

/** OIDC Core 3.1.3.6: the left half of the hash that the algorithm names; Ed25519 goes with SHA-512. */
export function accessTokenHash(algorithm: Algorithm, accessToken: string): string {
  const hash = createHash(algorithm === 'EdDSA' ? 'sha512' : `sha${algorithm.slice(2)}`)
    .update(accessToken)
    .digest();
  return hash.subarray(0, hash.length / 2).toString('base64url');
}

function signature(algorithm: Algorithm, key: KeyObject, input: string): string {
  const hash = algorithm === 'EdDSA' ? null : `sha${algorithm.slice(2)}`;
  const padding = algorithm === 'PS256' ? { padding: 6, saltLength: 32 } : {};
  return sign(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363', ...padding }).toString('base64url');
}

function hmac(secret: string | Buffer, input: string): string {
  return createHmac('sha256', secret).update(input).digest('base64url');
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
