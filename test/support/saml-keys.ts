import { generateKeyPair, type KeyObject, sign } from 'node:crypto';
import { promisify } from 'node:util';

/** A key pair with a self-signed certificate, made for one test run and worth nothing after it. */
export interface TestKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** Base64 DER, as in metadata and KeyInfo. */
  readonly certificate: string;
}

const generate = promisify(generateKeyPair);

export async function createTestKey(
  kind: 'rsa-2048' | 'rsa-1024' | 'P-256' | 'P-384' | 'P-521' | 'secp256k1' = 'rsa-2048',
): Promise<TestKey> {
  const { privateKey, publicKey } = kind.startsWith('rsa-')
    ? await generate('rsa', { modulusLength: Number(kind.slice(4)) })
    : await generate('ec', { namedCurve: kind });
  return { privateKey, publicKey, certificate: selfSigned(privateKey, publicKey).toString('base64') };
}

/** RFC 5280 4.1, version 1: a name, dates and the key are all that SAML looks for in a certificate. */
function selfSigned(privateKey: KeyObject, publicKey: KeyObject): Buffer {
  const algorithm =
    privateKey.asymmetricKeyType === 'rsa'
      ? der(0x30, der(0x06, Buffer.from('2a864886f70d01010b', 'hex')), der(0x05)) // sha256WithRSAEncryption
      : der(0x30, der(0x06, Buffer.from('2a8648ce3d040302', 'hex'))); // ecdsa-with-SHA256
  const name = der(0x30, der(0x31, der(0x30, der(0x06, Buffer.from('550403', 'hex')), der(0x0c, Buffer.from('Rollcall test')))));
  const validity = der(0x30, der(0x17, Buffer.from('240101000000Z')), der(0x17, Buffer.from('440101000000Z')));
  const toBeSigned = der(
    0x30,
    der(0x02, Buffer.of(1)),
    algorithm,
    name,
    validity,
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
  );
  return der(0x30, toBeSigned, algorithm, der(0x03, Buffer.of(0), sign('sha256', toBeSigned, privateKey)));
}

/** X.690 8.1: tag, length, content. */
function der(tag: number, ...contents: Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const head = length < 128 ? [tag, length] : length < 256 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}
