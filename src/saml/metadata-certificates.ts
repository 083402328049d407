import { type KeyObject, X509Certificate } from 'node:crypto';
import { BrokerError } from '../domain/broker-error.ts';

/** Something that an administrator should know about an IdP's metadata; the connection works all the same. */
export interface MetadataWarning {
  readonly kind:
    | 'certificate_expired'
    | 'certificate_not_yet_valid'
    | 'certificate_unreadable'
    | 'key_not_accepted'
    | 'sso_over_http';
  readonly detail: string;
}

/** Each is tried in turn: more would be work at every forged answer. */
const maxCertificates = 16;
const maxCertificateCharacters = 16_384;

/**
 * The signing certificates that can verify anything, as base64 DER without line breaks, and what to say about the others. Dates do not
 * decide: a certificate in metadata stands for its key (SAML Metadata Interoperability 2.6), and many IdPs let theirs expire.
 * @throws BrokerError `upstream_misconfigured` when none can be used
 */
export function readCertificates(
  texts: readonly string[],
  now: Date,
): { certificates: readonly string[]; warnings: readonly MetadataWarning[] } {
  const distinct = [...new Set(texts.map((text) => text.replaceAll(/\s/g, '')))];
  if (distinct.length === 0) {
    const advice = 'take the complete metadata document of the IdP';
    throw misconfigured(`the metadata has no signing certificate; ${advice}`, 'metadata_without_certificate');
  }
  if (distinct.length > maxCertificates) {
    throw misconfigured(`the metadata has more than ${maxCertificates} signing certificates`, 'metadata_too_many_certificates');
  }
  const read = distinct.map((base64) => ({ base64, ...judge(base64, now) }));
  const certificates = read.filter(({ usable }) => usable).map(({ base64 }) => base64);
  const warnings = read.flatMap(({ warning }) => (warning ? [warning] : []));
  if (certificates.length > 0) return { certificates, warnings };
  const detail = warnings.map((warning) => warning.detail).join('; ');
  const unreadable = warnings.every(({ kind }) => kind === 'certificate_unreadable');
  throw misconfigured(
    `no signing certificate can be used: ${detail}`,
    unreadable ? 'metadata_certificate_invalid' : 'metadata_key_not_accepted',
  );
}

function judge(base64: string, now: Date): { usable: boolean; warning: MetadataWarning | null } {
  const certificate = parse(base64);
  if (certificate === null) {
    return {
      usable: false,
      warning: { kind: 'certificate_unreadable', detail: 'a signing certificate is not a base64 X.509 certificate' },
    };
  }
  const name = `the signing certificate with SHA-256 fingerprint ${certificate.fingerprint256.slice(0, 23)}…`;
  const problem = keyProblem(certificate.publicKey);
  if (problem !== null) return { usable: false, warning: { kind: 'key_not_accepted', detail: `${name} ${problem}` } };
  const { validFromDate, validToDate } = certificate;
  if (validToDate < now) {
    return { usable: true, warning: { kind: 'certificate_expired', detail: `${name} expired at ${validToDate.toISOString()}` } };
  }
  if (validFromDate > now) {
    return {
      usable: true,
      warning: { kind: 'certificate_not_yet_valid', detail: `${name} is valid from ${validFromDate.toISOString()}` },
    };
  }
  return { usable: true, warning: null };
}

function parse(base64: string): X509Certificate | null {
  if (base64.length > maxCertificateCharacters || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return null;
  try {
    return new X509Certificate(Buffer.from(base64, 'base64'));
  } catch {
    return null;
  }
}

const curves: readonly (string | undefined)[] = ['prime256v1', 'secp384r1', 'secp521r1'];

/** What the verification of responses will not take; said here, where somebody can still do something about it. */
function keyProblem(key: KeyObject): string | null {
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'rsa':
      if (modulusLength < 2048) return `has an RSA key of ${modulusLength} bits; at least 2048 are needed`;
      return modulusLength > 8192 ? `has an RSA key of ${modulusLength} bits; at most 8192 are accepted` : null;
    case 'ec':
      return curves.includes(namedCurve) ? null : 'has a key on a curve other than P-256, P-384 and P-521';
    default:
      return 'has a key that is neither RSA nor ECDSA';
  }
}

function misconfigured(detail: string, reason: string): BrokerError {
  return new BrokerError('upstream_misconfigured', detail, { reason });
}
