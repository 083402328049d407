import { createPrivateKey, createPublicKey } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import type { SealedBox } from './sealed-box.ts';
import { rsaSigningKey, selfSignedCertificate } from './self-signed-certificate.ts';

export const keyPurposes = ['token-signing', 'saml-signing', 'saml-decryption', 'webhook-signing'] as const;

export type KeyPurpose = (typeof keyPurposes)[number];
export type KeyAlgorithm = 'ES256' | 'RS256' | 'RSA-2048' | 'Ed25519';

export interface KeyKind {
  readonly purpose: KeyPurpose;
  readonly algorithm: KeyAlgorithm;
  /** Subject of the self-signed certificate that SAML metadata shows; null: none is needed. */
  readonly certificateName: string | null;
}

/** Of each of these the instance has one key pair in force at least. */
export const keyKinds: readonly KeyKind[] = [
  { purpose: 'token-signing', algorithm: 'ES256', certificateName: null },
  { purpose: 'token-signing', algorithm: 'RS256', certificateName: null },
  { purpose: 'saml-signing', algorithm: 'RSA-2048', certificateName: 'Rollcall SAML signing' },
  { purpose: 'saml-decryption', algorithm: 'RSA-2048', certificateName: 'Rollcall SAML encryption' },
  { purpose: 'webhook-signing', algorithm: 'Ed25519', certificateName: null },
];

const certificateDays = 3_650;

/** A new key pair as its row in `instance_keys`. Takes up to a second for RSA: outside of any transaction. */
export async function generateKey(
  { purpose, algorithm, certificateName }: KeyKind,
  { sealedBox, now }: { readonly sealedBox: Pick<SealedBox, 'seal'>; readonly now: Date },
) {
  const { pair, privateKey, keyId } = await generatePair(algorithm);
  const usage = purpose === 'saml-decryption' ? 'encryption' : 'signature';
  return {
    key_id: keyId,
    purpose,
    algorithm,
    sealed_private_key: sealedBox.seal(privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(), sealingContext(keyId)),
    certificate:
      certificateName === null
        ? null
        : await selfSignedCertificate({ commonName: certificateName, keys: pair, usage, now, validDays: certificateDays }),
    created_at: now,
  };
}

/** The id is the RFC 7638 thumbprint. One in 64 begins with a dash, and would be an option to `rollcall keys retire`: another is made. */
async function generatePair(algorithm: KeyAlgorithm) {
  for (;;) {
    const pair = (await crypto.subtle.generateKey(generation[algorithm], true, ['sign', 'verify'])) as CryptoKeyPair;
    const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', pair.privateKey));
    const privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
    const keyId = await calculateJwkThumbprint(createPublicKey(privateKey).export({ format: 'jwk' }));
    if (!keyId.startsWith('-')) return { pair, privateKey, keyId };
  }
}

const generation = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  RS256: rsaSigningKey,
  'RSA-2048': rsaSigningKey,
  Ed25519: { name: 'Ed25519' },
} as const;

/** Binds the sealed key to its row: copied into another one, it does not open. */
export function sealingContext(keyId: string): string {
  return `instance_keys/${keyId}`;
}

/**
 * Token keys of one algorithm, the one that signs first. Clients cache the JWKS, so that a new key is published for so long before it
 * signs; the first key of an instance has nobody to wait for. Pure.
 */
export function inSigningOrder<Key extends { readonly createdAt: Date }>(
  keys: readonly Key[],
  { publishSeconds, now }: { readonly publishSeconds: number; readonly now: Date },
): readonly Key[] {
  const newestFirst = keys.toSorted((one, other) => other.createdAt.getTime() - one.createdAt.getTime());
  const isKnown = ({ createdAt }: Key) => now.getTime() - createdAt.getTime() >= publishSeconds * 1_000;
  // Of those that are not, the oldest has been published longest.
  return [...newestFirst.filter(isKnown), ...newestFirst.toReversed().filter((key) => !isKnown(key))];
}
