import { generateKeyPair, type KeyPairKeyObjectResult, randomBytes, sign } from 'node:crypto';
import { promisify } from 'node:util';

/** A private key and a certificate for it, both PEM. */
export interface CertifiedKey {
  readonly privateKey: string;
  readonly certificate: string;
}

/**
 * A new RSA key of 2048 bits with a self-signed certificate (RFC 5280, version 1: a name, a key and dates are all that SAML metadata needs).
 * @param commonName ASCII; for people who look at the certificate, nobody verifies it
 */
export async function createSelfSignedCertificate(options: {
  readonly commonName: string;
  readonly now: Date;
  readonly validDays: number;
}): Promise<CertifiedKey> {
  const pair = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  return {
    privateKey: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: toPem(certify(pair, options)),
  };
}

/** The certificate as XML signatures and metadata carry it: base64 of the DER, without the PEM lines. */
export function certificateContent(pem: string): string {
  return pem.replace(/-----[A-Z ]+-----|\s/g, '');
}

function certify(pair: KeyPairKeyObjectResult, options: { commonName: string; now: Date; validDays: number }): Buffer {
  const name = sequence(set(sequence(oid(2, 5, 4, 3), value(0x0c, Buffer.from(options.commonName)))));
  const until = new Date(options.now.getTime() + options.validDays * 86_400_000);
  // Version 1 (no [0] element), because there are no extensions: RFC 5280 4.1.2.1.
  const toBeSigned = sequence(
    value(0x02, serialNumber()),
    sha256WithRsa(),
    name,
    sequence(time(options.now), time(until)),
    name,
    pair.publicKey.export({ type: 'spki', format: 'der' }),
  );
  const signature = sign('sha256', toBeSigned, pair.privateKey);
  return sequence(toBeSigned, sha256WithRsa(), value(0x03, Buffer.concat([Buffer.of(0), signature])));
}

// RFC 5280 4.1.2.2: positive, not zero, at most 20 octets.
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

// RFC 4055 5: sha256WithRSAEncryption carries NULL parameters.
function sha256WithRsa(): Buffer {
  return sequence(oid(1, 2, 840, 113549, 1, 1, 11), value(0x05, Buffer.alloc(0)));
}

// RFC 5280 4.1.2.5: UTCTime until 2049, GeneralizedTime from 2050 on.
function time(date: Date): Buffer {
  const digits = `${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;
  return date.getUTCFullYear() < 2050 ? value(0x17, Buffer.from(digits.slice(2))) : value(0x18, Buffer.from(digits));
}

function oid(first: number, second: number, ...rest: readonly number[]): Buffer {
  return value(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function base128(arc: number): number[] {
  const digits = [arc & 0x7f];
  for (let rest = arc >>> 7; rest > 0; rest >>>= 7) digits.unshift((rest & 0x7f) | 0x80);
  return digits;
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return value(0x30, Buffer.concat(parts));
}

function set(...parts: readonly Buffer[]): Buffer {
  return value(0x31, Buffer.concat(parts));
}

/** One DER element: tag, length, content (X.690 8.1). */
function value(tag: number, content: Buffer): Buffer {
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content]);
  const length = base256(content.length);
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length, ...length), content]);
}

function base256(size: number): number[] {
  const digits = [size & 0xff];
  for (let rest = size >>> 8; rest > 0; rest >>>= 8) digits.unshift(rest & 0xff);
  return digits;
}

function toPem(der: Buffer): string {
  return `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{64}/g, '$&\n').trimEnd()}\n-----END CERTIFICATE-----\n`;
}
