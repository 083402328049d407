// The certificate library resolves its parts with decorators and wants this first.
import 'reflect-metadata';
import { createPrivateKey, randomBytes } from 'node:crypto';
import { BasicConstraintsExtension, KeyUsageFlags, KeyUsagesExtension, X509CertificateGenerator } from '@peculiar/x509';

/** RSA with 2048 bits, for WebCrypto's `generateKey`. */
export const rsaSigningKey = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
} as const;

export interface CertificateOptions {
  readonly commonName: string;
  readonly usage: 'signature' | 'encryption';
  readonly now: Date;
  readonly validDays: number;
}

/** PEM. Self-signed: SAML trusts the key that the metadata names, not who vouches for it. */
export async function selfSignedCertificate({
  commonName,
  keys,
  usage,
  now,
  validDays,
}: CertificateOptions & { readonly keys: CryptoKeyPair }): Promise<string> {
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      name: [{ CN: [commonName] }],
      keys,
      signingAlgorithm: rsaSigningKey,
      notBefore: now,
      notAfter: new Date(now.getTime() + validDays * 86_400_000),
      // RFC 5280 4.1.2.2: positive, at most 20 octets.
      serialNumber: `01${randomBytes(15).toString('hex')}`,
      extensions: [
        new BasicConstraintsExtension(false),
        new KeyUsagesExtension(usage === 'signature' ? KeyUsageFlags.digitalSignature : KeyUsageFlags.keyEncipherment, true),
      ],
    },
    crypto,
  );
  return certificate.toString('pem');
}

/** A new RSA key with its certificate, both PEM. */
export async function createCertifiedKey(options: CertificateOptions): Promise<{ privateKey: string; certificate: string }> {
  const keys = await crypto.subtle.generateKey(rsaSigningKey, true, ['sign', 'verify']);
  const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  return {
    privateKey: createPrivateKey({ key, format: 'der', type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: await selfSignedCertificate({ ...options, keys }),
  };
}
