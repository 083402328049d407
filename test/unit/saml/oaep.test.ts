import { publicEncrypt } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { decryptOaep, type OaepHash } from '../../../src/saml/oaep.ts';
import { encryptOaep } from '../../support/saml-encryption.ts';
import { createTestKey, type TestKey } from '../../support/saml-keys.ts';

let key: TestKey;
let strangerKey: TestKey;
beforeAll(async () => {
  [key, strangerKey] = await Promise.all([createTestKey(), createTestKey()]);
});

const hashes: readonly OaepHash[] = ['sha1', 'sha256', 'sha512'];
const pairs = hashes.flatMap((digest) => hashes.map((mgf) => ({ digest, mgf })));

describe.each(pairs)('RSA-OAEP with $digest and MGF1 with $mgf', ({ digest, mgf }) => {
  const sizes = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 };

  it('gives back what was encrypted, from nothing to as much as fits', () => {
    const most = 256 - 2 * sizes[digest] - 2;
    for (const message of [Buffer.alloc(0), Buffer.of(1), Buffer.alloc(16), Buffer.alloc(32, 1), Buffer.alloc(most, 0xff)]) {
      expect(decryptOaep(encryptOaep(message, key.publicKey, digest, mgf), key.privateKey, { digest, mgf })).toEqual(message);
    }
  });

  it('throws for other hashes, another key, a changed or cut ciphertext', () => {
    const encrypted = encryptOaep(Buffer.alloc(32, 7), key.publicKey, digest, mgf);
    const changed = Buffer.from(encrypted);
    changed[100] = (changed[100] ?? 0) ^ 1;
    const other = digest === 'sha256' ? 'sha512' : 'sha256';
    expect(() => decryptOaep(encrypted, key.privateKey, { digest: other, mgf })).toThrow();
    expect(() => decryptOaep(encrypted, key.privateKey, { digest, mgf: mgf === 'sha256' ? 'sha512' : 'sha256' })).toThrow();
    expect(() => decryptOaep(changed, key.privateKey, { digest, mgf })).toThrow();
    expect(() => decryptOaep(encrypted.subarray(1), key.privateKey, { digest, mgf })).toThrow();
    expect(() => decryptOaep(encrypted, strangerKey.privateKey, { digest, mgf })).toThrow();
  });
});

it('reads what Node encrypts', () => {
  const message = Buffer.from('sixteen bytes ok');
  const encrypted = publicEncrypt({ key: key.publicKey, oaepHash: 'sha256' }, message);
  expect(decryptOaep(encrypted, key.privateKey, { digest: 'sha256', mgf: 'sha256' })).toEqual(message);
});

it('throws for every block whose padding is wrong in one place', () => {
  const { digest, mgf } = { digest: 'sha256', mgf: 'sha1' } as const;
  const encrypt = (edit: Parameters<typeof encryptOaep>[4]) => encryptOaep(Buffer.alloc(16, 9), key.publicKey, digest, mgf, edit);
  const decrypt = (ciphertext: Buffer) => decryptOaep(ciphertext, key.privateKey, { digest, mgf });
  expect(decrypt(encrypt({}))).toEqual(Buffer.alloc(16, 9));
  const wrongs: Parameters<typeof encrypt>[0][] = [
    { data: (data) => data.writeUInt8(data.readUInt8(0) ^ 1, 0) }, // the hash of the label, at its beginning
    { data: (data) => data.writeUInt8(data.readUInt8(31) ^ 0x80, 31) }, // and at its end
    { data: (data) => data.writeUInt8(2, 32) }, // the zeros
    { data: (data) => data.writeUInt8(0, data.length - 17) }, // the one that ends them
    { data: (data) => data.fill(0, 32) }, // nothing but zeros
    { block: (block) => block.writeUInt8(1, 0) }, // the first byte
  ];
  for (const wrong of wrongs) expect(() => decrypt(encrypt(wrong))).toThrow();
});
