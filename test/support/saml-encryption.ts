import { type CipherGCM, constants, createCipheriv, hash, type KeyObject, publicEncrypt, randomBytes } from 'node:crypto';

/** How a test encrypts an assertion (XML Encryption 1.1). Defaults: RSA-OAEP with SHA-1, AES-256-GCM. */
export interface EncryptionOptions {
  readonly publicKey: KeyObject;
  readonly content?: 'aes128-gcm' | 'aes256-gcm' | 'aes128-cbc' | 'aes256-cbc' | 'tripledes-cbc';
  readonly transport?: 'rsa-oaep-mgf1p' | 'rsa-oaep' | 'rsa-1_5';
  readonly digest?: 'sha1' | 'sha256' | 'sha512';
  /** For `rsa-oaep` only. */
  readonly mgf?: 'sha1' | 'sha256' | 'sha512';
  readonly keyPlace?: 'inside' | 'beside';
  /** Changes the ciphertext, IV included. */
  readonly editContent?: (bytes: Buffer) => Buffer;
  readonly edit?: (xml: string) => string;
}

const xenc = 'http://www.w3.org/2001/04/xmlenc#';
const xenc11 = 'http://www.w3.org/2009/xmlenc11#';
const dsig = 'http://www.w3.org/2000/09/xmldsig#';

/** An EncryptedAssertion, as canonical text. */
export function encryptAssertion(assertion: string, options: EncryptionOptions): string {
  const { content = 'aes256-gcm', keyPlace = 'inside', edit = (xml) => xml, editContent = (bytes) => bytes } = options;
  const { key, bytes } = encryptContent(Buffer.from(assertion), content);
  const encryptedKey = encryptKey(key, options);
  const namespace = content.endsWith('gcm') ? xenc11 : xenc;
  const keyInfo = keyPlace === 'inside' ? `<ds:KeyInfo xmlns:ds="${dsig}">${encryptedKey}</ds:KeyInfo>` : '';
  return edit(
    `<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><xenc:EncryptedData xmlns:xenc="${xenc}" Type="${xenc}Element">` +
      `<xenc:EncryptionMethod Algorithm="${namespace}${content}"></xenc:EncryptionMethod>${keyInfo}` +
      `<xenc:CipherData><xenc:CipherValue>${editContent(bytes).toString('base64')}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>` +
      `${keyPlace === 'beside' ? encryptedKey.replace('<xenc:EncryptedKey>', `<xenc:EncryptedKey xmlns:xenc="${xenc}">`) : ''}</saml:EncryptedAssertion>`,
  );
}

function encryptContent(plain: Buffer, content: NonNullable<EncryptionOptions['content']>): { key: Buffer; bytes: Buffer } {
  const gcm = content.endsWith('gcm');
  const key = randomBytes(content === 'tripledes-cbc' ? 24 : content.startsWith('aes128') ? 16 : 32);
  const iv = randomBytes(gcm ? 12 : content === 'tripledes-cbc' ? 8 : 16);
  const cipher = createCipheriv(content === 'tripledes-cbc' ? 'des-ede3-cbc' : content.replace('aes', 'aes-'), key, iv);
  const bytes = Buffer.concat([iv, cipher.update(plain), cipher.final()]);
  return { key, bytes: gcm ? Buffer.concat([bytes, (cipher as CipherGCM).getAuthTag()]) : bytes };
}

function encryptKey(
  key: Buffer,
  { publicKey, transport = 'rsa-oaep-mgf1p', digest = 'sha1', mgf = 'sha1', keyPlace }: EncryptionOptions,
): string {
  const oaep = transport !== 'rsa-1_5';
  const value = oaep
    ? encryptOaep(key, publicKey, digest, transport === 'rsa-oaep' ? mgf : 'sha1')
    : publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_PADDING }, key);
  // KeyInfo declares the prefix for an EncryptedKey inside it; canonical text does not declare it twice.
  const declaration = keyPlace === 'beside' ? ` xmlns:ds="${dsig}"` : '';
  const digestMethod = `<ds:DigestMethod${declaration} Algorithm="${digest === 'sha1' ? dsig : xenc}${digest}"></ds:DigestMethod>`;
  const mask =
    transport === 'rsa-oaep' ? `<xenc11:MGF xmlns:xenc11="${xenc11}" Algorithm="${xenc11}mgf1${mgf}"></xenc11:MGF>` : '';
  return (
    `<xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="${transport === 'rsa-oaep' ? xenc11 : xenc}${transport}">${oaep ? digestMethod + mask : ''}` +
    `</xenc:EncryptionMethod><xenc:CipherData><xenc:CipherValue>${value.toString('base64')}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey>`
  );
}

/**
 * RSAES-OAEP (RFC 8017 7.1.1) with two hashes, which Node cannot set apart; written here anew, so that it also proves the decoder.
 * @param edit spoils the data block before it is masked, or the whole block after
 */
export function encryptOaep(
  message: Buffer,
  publicKey: KeyObject,
  digest: string,
  mgf: string,
  edit: { readonly data?: (data: Buffer) => void; readonly block?: (block: Buffer) => void } = {},
): Buffer {
  const modulusBytes = (publicKey.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
  const labelHash = hash(digest, '', 'buffer');
  const data = Buffer.alloc(modulusBytes - labelHash.length - 1);
  labelHash.copy(data);
  data[data.length - message.length - 1] = 1;
  message.copy(data, data.length - message.length);
  edit.data?.(data);
  const seed = randomBytes(labelHash.length);
  const maskedData = xor(data, mask(seed, data.length, mgf));
  const maskedSeed = xor(seed, mask(maskedData, seed.length, mgf));
  const block = Buffer.concat([Buffer.of(0), maskedSeed, maskedData]);
  edit.block?.(block);
  return publicEncrypt({ key: publicKey, padding: constants.RSA_NO_PADDING }, block);
}

function mask(seed: Buffer, length: number, name: string): Buffer {
  let made = Buffer.alloc(0);
  for (let counter = 0; made.length < length; counter += 1) {
    made = Buffer.concat([made, hash(name, Buffer.concat([seed, Buffer.from([0, 0, 0, counter])]), 'buffer')]);
  }
  return made.subarray(0, length);
}

function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, at) => byte ^ (b[at] ?? 0)));
}
