import { createPrivateKey, X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createCertifiedKey } from '../../../src/infra/self-signed-certificate.ts';

describe('createCertifiedKey', () => {
  test('makes a certificate for its own key, signed by itself, valid from now on', async () => {
    const { privateKey, certificate } = await createCertifiedKey({
      usage: 'signature',
      commonName: 'Demo identity provider',
      now: new Date('2026-03-01T12:00:00Z'),
      validDays: 365,
    });
    const parsed = new X509Certificate(certificate);
    expect(parsed.subject).toBe('CN=Demo identity provider');
    expect(parsed.issuer).toBe(parsed.subject);
    expect(parsed.verify(parsed.publicKey)).toBe(true);
    expect(parsed.checkPrivateKey(createPrivateKey(privateKey))).toBe(true);
    expect(parsed.validFromDate.toISOString()).toBe('2026-03-01T12:00:00.000Z');
    expect(parsed.validToDate.toISOString()).toBe('2027-03-01T12:00:00.000Z');
    expect(parsed.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
  });

  test('writes dates from 2050 on in their own form', async () => {
    const { certificate } = await createCertifiedKey({
      usage: 'signature',
      commonName: 'x',
      now: new Date('2049-12-31T00:00:00Z'),
      validDays: 2,
    });
    expect(new X509Certificate(certificate).validToDate.toISOString()).toBe('2050-01-02T00:00:00.000Z');
  });
});
