import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { CompactSign } from 'jose';

export interface LicenceClaims {
  readonly exp?: unknown;
  readonly features?: unknown;
  readonly maxUsers?: unknown;
  readonly jti?: unknown;
  readonly sub?: unknown;
}

export interface LicenceSigner {
  /** SPKI PEM. */
  readonly publicKey: string;
  readonly publicJwk: Readonly<Record<string, unknown>>;
  readonly privateKey: string;
  /** A licence of one hour with all features, unless told otherwise. */
  sign(claims?: LicenceClaims): Promise<string>;
}

/** Whoever sells licences. */
export function createLicenceSigner(kind: 'ed25519' | 'p256' = 'ed25519'): LicenceSigner {
  const pair = kind === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const privateKey = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  return {
    publicKey: pair.publicKey.export({ type: 'spki', format: 'pem' }) as string,
    publicJwk: pair.publicKey.export({ format: 'jwk' }) as Record<string, unknown>,
    privateKey,
    sign(claims = {}) {
      const payload = { exp: inSeconds(3_600), features: ['sso', 'group_sync'], ...claims };
      return new CompactSign(new TextEncoder().encode(JSON.stringify(payload)))
        .setProtectedHeader({ alg: kind === 'ed25519' ? 'EdDSA' : 'ES256' })
        .sign(createPrivateKey(privateKey));
    },
  };
}

export function inSeconds(seconds: number): number {
  return Math.floor(Date.now() / 1_000) + seconds;
}
