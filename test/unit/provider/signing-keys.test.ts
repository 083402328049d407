import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { CompactSign, compactVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { concatenatedSignature, providerKey } from '../../../src/provider/signing-keys.ts';
import { generateSigningKey } from '../../support/signing-key.ts';

describe('signing keys', () => {
  it.each(['ES256', 'RS256'] as const)('of %s make signatures that others accept, for this data only', async (algorithm) => {
    const key = await generateSigningKey(algorithm);
    const header = Buffer.from(JSON.stringify({ alg: algorithm })).toString('base64url');
    const data = `${header}.${Buffer.from('{"sub":"ada"}').toString('base64url')}`;
    const signature = Buffer.from(await providerKey(key).sign(Buffer.from(data))).toString('base64url');
    const publicKey = createPublicKey(key.privateKey);
    expect((await compactVerify(`${data}.${signature}`, publicKey)).protectedHeader.alg).toBe(algorithm);
    const other = `${header}.${Buffer.from('{"sub":"bob"}').toString('base64url')}.${signature}`;
    await expect(compactVerify(other, publicKey)).rejects.toMatchObject({ code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' });
  });

  it.each(['ES256', 'RS256'] as const)('of %s show their name and no private part', async (algorithm) => {
    const key = await generateSigningKey(algorithm);
    const jwk = createPublicKey(key.privateKey).export({ format: 'jwk' });
    const shown = providerKey(key);
    expect(shown).toMatchObject({ kid: key.keyId, alg: algorithm, use: 'sig', kty: jwk.kty });
    expect(shown).not.toHaveProperty('d');
    expect((await shown.keyObject()).type).toBe('public');
  });

  it('turn every DER signature into the form of JWS', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    // Enough for integers that are shorter than 32 bytes, about one in 128.
    for (let count = 0; count < 1_000; count += 1) {
      const data = Buffer.from(String(count));
      const signature = concatenatedSignature(sign('sha256', data, privateKey));
      expect(signature).toHaveLength(64);
      expect(verify('sha256', data, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)).toBe(true);
    }
  });

  it.each([
    ['of one byte', '3006020101020102', 1, 2],
    ['with a leading zero byte', '300a02030080ff020300ff01', 0x80ff, 0xff01],
  ])('pad integers %s', (_name, der, r, s) => {
    const joined = concatenatedSignature(Buffer.from(der, 'hex')).toString('hex');
    expect(BigInt(`0x${joined.slice(0, 64)}`)).toBe(BigInt(r));
    expect(BigInt(`0x${joined.slice(64)}`)).toBe(BigInt(s));
  });

  it('stand beside what jose signs: the same key verifies both', async () => {
    const { privateKey } = await generateSigningKey('ES256');
    const jws = await new CompactSign(Buffer.from('x')).setProtectedHeader({ alg: 'ES256' }).sign(privateKey);
    expect(Buffer.from((await compactVerify(jws, createPublicKey(privateKey))).payload).toString()).toBe('x');
  });
});
