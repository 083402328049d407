import { createDecipheriv, type KeyObject, randomBytes } from 'node:crypto';
import { checkBytes, decodeBase64 } from './limits.ts';
import { decryptOaep, type OaepHash, type OaepHashes } from './oaep.ts';
import { rejected } from './rejection.ts';
import { ns } from './vocabulary.ts';
import type { XmlElement, XmlLimits } from './xml-document.ts';
import { attribute, childNamed, childrenNamed, elementsOf, textOf } from './xml-reader.ts';

/** SAML Core 6 and XML Encryption, as far as an EncryptedAssertion goes. */
export interface DecryptionSettings {
  /** Private RSA keys; each is tried. */
  readonly keys: readonly KeyObject[];
  /** The EncryptedAssertion was read from the bytes of a Response whose signature verified. */
  readonly insideSignedResponse: boolean;
  readonly limits: XmlLimits;
}

/**
 * The text of an encrypted assertion, inside an element that declares the namespaces in scope at the EncryptedAssertion.
 *
 * What the algorithms are is no secret and has reasons of its own. Whatever goes wrong from there on, from a wrong key to text that is
 * not XML, gives one and the same error: a forger must not learn how far a changed ciphertext came.
 * @param scope elements around the EncryptedAssertion, outermost first
 * @throws BrokerError assertion_rejected
 */
export function decryptAssertion(
  encryptedAssertion: XmlElement,
  scope: readonly XmlElement[],
  { keys, insideSignedResponse, limits }: DecryptionSettings,
): Buffer {
  const encrypted = readEncryptedAssertion(encryptedAssertion);
  if (encrypted.cipher.mode === 'cbc' && !insideSignedResponse) {
    // AES-CBC does not notice changes; a forger could ask for the text bit by bit. A signature around it settles the text beforehand.
    throw rejected(
      'encryption_cbc_unsigned',
      'an assertion encrypted with AES-CBC must stand in a signed Response; better use AES-GCM',
    );
  }
  if (keys.length === 0)
    throw rejected('decryption_key_missing', 'the assertion is encrypted, but there is no key to decrypt it');

  for (const key of keys) {
    const text = decryptContent(encrypted, key, limits);
    if (text !== null) return Buffer.concat([openingTag([...scope, encryptedAssertion]), text, Buffer.from('</decrypted>')]);
  }
  throw decryptionFailed();
}

/** The one error of every failed decryption. */
export function decryptionFailed(cause?: unknown): Error {
  return rejected('decryption_failed', 'the encrypted assertion cannot be decrypted', cause);
}

interface Cipher {
  readonly mode: 'gcm' | 'cbc';
  readonly keyBytes: 16 | 32;
}

const ciphers: ReadonlyMap<string | null, Cipher> = new Map([
  [`${ns.xenc11}aes128-gcm`, { mode: 'gcm', keyBytes: 16 }],
  [`${ns.xenc11}aes256-gcm`, { mode: 'gcm', keyBytes: 32 }],
  [`${ns.xenc}aes128-cbc`, { mode: 'cbc', keyBytes: 16 }],
  [`${ns.xenc}aes256-cbc`, { mode: 'cbc', keyBytes: 32 }],
]);

const oaepDigests: ReadonlyMap<string | null, OaepHash> = new Map([
  [`${ns.ds}sha1`, 'sha1'],
  [`${ns.xenc}sha256`, 'sha256'],
  ['http://www.w3.org/2001/04/xmldsig-more#sha384', 'sha384'],
  [`${ns.xenc}sha512`, 'sha512'],
]);

const oaepMasks: ReadonlyMap<string | null, OaepHash> = new Map([
  [`${ns.xenc11}mgf1sha1`, 'sha1'],
  [`${ns.xenc11}mgf1sha256`, 'sha256'],
  [`${ns.xenc11}mgf1sha384`, 'sha384'],
  [`${ns.xenc11}mgf1sha512`, 'sha512'],
]);

interface Encrypted {
  readonly cipher: Cipher;
  readonly content: Buffer;
  readonly oaep: OaepHashes;
  readonly key: Buffer;
}

function readEncryptedAssertion(element: XmlElement): Encrypted {
  const data = childNamed(element, ns.xenc, 'EncryptedData');
  const keyInfo = data && childNamed(data, ns.ds, 'KeyInfo');
  // XML Encryption 1.1 3.5.1 puts the key inside; SAML Core 2.3.4 also allows it beside the data.
  const encryptedKeys = [
    ...(keyInfo ? childrenNamed(keyInfo, ns.xenc, 'EncryptedKey') : []),
    ...childrenNamed(element, ns.xenc, 'EncryptedKey'),
  ];
  const [encryptedKey] = encryptedKeys;
  if (!data || encryptedKey === undefined || encryptedKeys.length > 1) {
    throw rejected('unexpected_content', 'EncryptedAssertion must hold one EncryptedData and one EncryptedKey');
  }
  const cipher = ciphers.get(methodOf(data).algorithm);
  if (cipher === undefined) throw notAllowed('content must be encrypted with AES-GCM or AES-CBC of 128 or 256 bits');
  return { cipher, content: cipherValue(data), oaep: readOaep(encryptedKey), key: cipherValue(encryptedKey) };
}

/** XML Encryption 1.1 5.5.2. PKCS#1 v1.5 is refused: it cannot be decrypted without telling a patient forger the text. */
function readOaep(encryptedKey: XmlElement): OaepHashes {
  const { algorithm, parameters } = methodOf(encryptedKey);
  if (algorithm !== `${ns.xenc}rsa-oaep-mgf1p` && algorithm !== `${ns.xenc11}rsa-oaep`)
    throw notAllowed('the key must be encrypted with RSA-OAEP');
  const digestMethod = parameters && childNamed(parameters, ns.ds, 'DigestMethod');
  const maskMethod = parameters && childNamed(parameters, ns.xenc11, 'MGF');
  if (
    parameters !== null &&
    elementsOf(parameters).length !== [digestMethod, maskMethod].filter((method) => method !== null).length
  ) {
    throw notAllowed('RSA-OAEP takes a digest and a mask generation function, nothing else');
  }
  const digest = digestMethod === null ? 'sha1' : oaepDigests.get(attribute(digestMethod, 'Algorithm'));
  const mgf = maskMethod === null ? 'sha1' : oaepMasks.get(attribute(maskMethod, 'Algorithm'));
  if (digest === undefined || mgf === undefined) throw notAllowed('RSA-OAEP must use SHA-1, SHA-256, SHA-384 or SHA-512');
  return { digest, mgf };
}

function methodOf(element: XmlElement): { readonly algorithm: string | null; readonly parameters: XmlElement | null } {
  const method = childNamed(element, ns.xenc, 'EncryptionMethod');
  return { algorithm: method && attribute(method, 'Algorithm'), parameters: method };
}

function cipherValue(element: XmlElement): Buffer {
  const data = childNamed(element, ns.xenc, 'CipherData');
  // A CipherReference would have to be fetched from somewhere.
  const value = data && childNamed(data, ns.xenc, 'CipherValue');
  const bytes = value && decodeBase64(textOf(value).replaceAll(/[ \t\r\n]/g, ''));
  if (!bytes) throw rejected('unexpected_content', `${element.name} holds no CipherValue in base64`);
  return bytes;
}

/** The text, or null when it is not what bytes of a message may be (AES-CBC makes some text out of any key). */
function decryptContent({ cipher, content, oaep, key }: Encrypted, privateKey: KeyObject, limits: XmlLimits): Buffer | null {
  const contentKey = unwrapKey(key, privateKey, oaep, cipher.keyBytes);
  try {
    const text = cipher.mode === 'gcm' ? decryptGcm(content, contentKey) : decryptCbc(content, contentKey);
    checkBytes(text, limits);
    return text;
  } catch {
    return null;
  }
}

/** A key that does not unwrap is replaced by a random one, so that the content fails just like content under the wrong key. */
function unwrapKey(wrapped: Buffer, privateKey: KeyObject, oaep: OaepHashes, keyBytes: number): Buffer {
  const random = randomBytes(keyBytes);
  try {
    const key = decryptOaep(wrapped, privateKey, oaep);
    return key.length === keyBytes ? key : random;
  } catch {
    return random;
  }
}

/** XML Encryption 1.1 5.2.4: 12 bytes of IV, ciphertext, 16 bytes of tag. */
function decryptGcm(content: Buffer, key: Buffer): Buffer {
  const decipher = createDecipheriv(`aes-${(key.length * 8) as 128 | 256}-gcm`, key, content.subarray(0, 12), {
    authTagLength: 16,
  });
  decipher.setAuthTag(content.subarray(-16));
  return Buffer.concat([decipher.update(content.subarray(12, -16)), decipher.final()]);
}

/** XML Encryption 1.1 5.2.1 and 5.2.3: 16 bytes of IV, ciphertext; the last byte tells how many to cut, the others of the padding may be anything. */
function decryptCbc(content: Buffer, key: Buffer): Buffer {
  const decipher = createDecipheriv(`aes-${key.length * 8}-cbc`, key, content.subarray(0, 16)).setAutoPadding(false);
  const padded = Buffer.concat([decipher.update(content.subarray(16)), decipher.final()]);
  const padding = padded.at(-1) ?? 0;
  if (padding < 1 || padding > 16) throw new Error('decryption failed');
  return padded.subarray(0, -padding);
}

function openingTag(scope: readonly XmlElement[]): Buffer {
  const inScope = new Map(scope.flatMap(({ declarations }) => declarations));
  const declarations = [...inScope].map(
    ([prefix, uri]) => ` xmlns${prefix === '' ? '' : `:${prefix}`}="${escapeAttribute(uri)}"`,
  );
  return Buffer.from(`<decrypted${declarations.join('')}>`);
}

function escapeAttribute(value: string): string {
  return value.replaceAll(/[&<"\t\r\n]/g, (character) => `&#${character.codePointAt(0)};`);
}

function notAllowed(detail: string): Error {
  return rejected('encryption_algorithm_not_allowed', detail);
}
