import { type KeyObject, X509Certificate } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { BrokerError } from '../domain/broker-error.ts';

/** Certificates are parsed once; a verifier keeps this many. */
const maxCachedCertificates = 1000;
/** Each is tried in turn: more than this would be work at every forged answer. */
const maxCertificates = 16;

export type CertificateKeys = (certificates: readonly string[]) => readonly KeyObject[];

/**
 * From the certificates of an IdP's metadata to the keys that may verify its signatures. A certificate stands for its key: its dates
 * are not looked at, as the SAML Metadata Interoperability Profile (2.6.1) has it (the connection's page warns before one expires).
 * @returns function of base64 DER certificates; throws BrokerError upstream_misconfigured when none can be used
 */
export function createCertificateKeys(): CertificateKeys {
  const cache = new LRUCache<string, { readonly key: KeyObject | null }>({ max: maxCachedCertificates });
  const keyOf = (certificate: string): KeyObject | null => {
    const cached = cache.get(certificate);
    if (cached !== undefined) return cached.key;
    const key = usableKey(certificate);
    cache.set(certificate, { key });
    return key;
  };
  return (certificates) => {
    if (certificates.length > maxCertificates) {
      throw new BrokerError('upstream_misconfigured', `the IdP has more than ${maxCertificates} signing certificates`, {
        reason: 'metadata_too_many_certificates',
      });
    }
    const keys = certificates.map(keyOf).filter((key) => key !== null);
    if (keys.length === 0) {
      throw new BrokerError(
        'upstream_misconfigured',
        'the IdP has no signing certificate with RSA of 2048 bits or more, or ECDSA',
        {
          reason: 'metadata_no_usable_certificate',
        },
      );
    }
    return keys;
  };
}

const curves: readonly (string | undefined)[] = ['prime256v1', 'secp384r1', 'secp521r1'];

/** The certificate's key, or null when it is unreadable or of a kind that is not accepted. */
function usableKey(certificate: string): KeyObject | null {
  let key: KeyObject;
  try {
    key = new X509Certificate(Buffer.from(certificate, 'base64')).publicKey;
  } catch {
    return null;
  }
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
  const usable =
    (key.asymmetricKeyType === 'rsa' && modulusLength >= 2048 && modulusLength <= 8192) ||
    (key.asymmetricKeyType === 'ec' && curves.includes(namedCurve));
  return usable ? key : null;
}
