import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';

type KeyText = string | Readonly<Record<string, unknown>>;

/**
 * Public keys in every form in which people have them: PEM blocks, JWKs, a JWK Set (RFC 7517 5); one text with several, or a list.
 * What comes out is one PEM for each.
 */
export const licencePublicKeys = z
  .union([z.array(z.union([z.string(), z.record(z.string(), z.unknown())])), z.string()])
  .transform((given, context): string[] => {
    try {
      return (typeof given === 'string' ? [given] : given).flatMap(keysIn).map(pemOf);
    } catch (error) {
      const why = error instanceof KeyError ? error.message : 'it cannot be read';
      context.addIssue({ code: 'custom', message: `give public keys (Ed25519 or P-256) as PEM or JWK: ${why}` });
      return z.NEVER;
    }
  });

/** Its message is safe to show: it quotes nothing of the key. */
class KeyError extends Error {}

function keysIn(given: KeyText): KeyText[] {
  if (typeof given !== 'string') return Array.isArray(given.keys) ? given.keys.flatMap(keysIn) : [given];
  const text = given.trim();
  if (text.startsWith('{') || text.startsWith('[')) {
    const json: unknown = JSON.parse(text);
    return (Array.isArray(json) ? json : [json]).flatMap(keysIn);
  }
  const blocks = text.match(/-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----/g);
  if (!blocks) throw new KeyError('there is neither a PEM block nor a JWK in it');
  return blocks;
}

function pemOf(given: KeyText): string {
  const isPrivate = typeof given === 'string' ? given.includes('PRIVATE KEY') : 'd' in given;
  if (isPrivate) throw new KeyError('this is a private key, which belongs to whoever signs licences');
  const key = typeof given === 'string' ? createPublicKey(given) : createPublicKey({ key: given as JsonWebKey, format: 'jwk' });
  if (!fits(key)) throw new KeyError('a key is of another type');
  return key.export({ type: 'spki', format: 'pem' }) as string;
}

function fits(key: KeyObject): boolean {
  return (
    key.asymmetricKeyType === 'ed25519' ||
    (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1')
  );
}
