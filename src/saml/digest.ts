import { hash, timingSafeEqual } from 'node:crypto';
import { rejected } from './rejection.ts';
import type { SignatureParts } from './signature.ts';

/**
 * XML Signature 3.2.1: compares the Reference's digest with that of the canonical bytes. From here on these bytes, and nothing else,
 * are what the IdP signed.
 * @throws BrokerError assertion_rejected `digest_mismatch`
 */
export function verifyDigest({ digestHash, digestValue }: SignatureParts, canonical: Buffer): void {
  const computed = hash(digestHash, canonical, 'buffer');
  if (computed.length !== digestValue.length || !timingSafeEqual(computed, digestValue)) {
    throw rejected('digest_mismatch', 'what was signed has been changed');
  }
}
