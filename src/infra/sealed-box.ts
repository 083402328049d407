import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { BrokerError } from '../domain/broker-error.ts';

export interface SealedBoxOptions {
  /** `<id>:<32 bytes in base64>` each; the first seals, all open. To rotate, put a new one in front and keep the old. */
  readonly keys: readonly string[];
}

export interface SealedBox {
  /** @param context says what the value is and whose (`connection/<id>/client-secret`): it opens only under the same one */
  seal(plain: string, context: string): string;
  /** @throws BrokerError `internal` with the reason `sealed_value_malformed`, `sealing_key_unknown` or `sealed_value_tampered` */
  open(sealed: string, context: string): string;
}

const version = 'v1';
/** NIST SP 800-38D 5.2.1.1 and 8.2.2: a random 96-bit nonce is good for 2^32 values under one key. */
const nonceBytes = 12;
const tagBytes = 16;
const keyBytes = 32;

/** Seals secrets at rest with AES-256-GCM: `v1.<key id>.<nonce>.<ciphertext and tag>`, base64url (law 9). */
export function createSealedBox({ keys }: SealedBoxOptions): SealedBox {
  const byId = new Map<string, KeyObject>();
  for (const text of keys) addKey(byId, text);
  const [sealing] = byId;
  if (sealing === undefined) throw misconfigured('there is no sealing key');
  const [sealingId, sealingKey] = sealing;
  return {
    seal(plain, context) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', sealingKey, nonce, { authTagLength: tagBytes });
      cipher.setAAD(boundTo(sealingId, context));
      const body = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return `${version}.${sealingId}.${nonce.toString('base64url')}.${body.toString('base64url')}`;
    },
    open(sealed, context) {
      const { keyId, nonce, body } = parse(sealed);
      const key = byId.get(keyId);
      if (key === undefined) {
        throw refused(
          'sealing_key_unknown',
          `a value was sealed with the key "${keyId}"; put it back among the sealing keys (ROLLCALL_SEALING_KEYS)`,
        );
      }
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
      decipher.setAAD(boundTo(keyId, context));
      decipher.setAuthTag(body.subarray(body.length - tagBytes));
      try {
        return Buffer.concat([decipher.update(body.subarray(0, body.length - tagBytes)), decipher.final()]).toString('utf8');
      } catch (cause) {
        throw refused(
          'sealed_value_tampered',
          `a value sealed with the key "${keyId}" does not open: it was changed, moved here from elsewhere, or the key has the right id and the wrong bytes`,
          cause,
        );
      }
    },
  };
}

function addKey(byId: Map<string, KeyObject>, text: string): void {
  const separator = text.indexOf(':');
  const id = text.slice(0, Math.max(separator, 0));
  const bytes = Buffer.from(text.slice(separator + 1), 'base64');
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(id) || bytes.length !== keyBytes)
    throw misconfigured('a sealing key is not "<id>:<32 bytes in base64>"');
  if (byId.has(id)) throw misconfigured(`two sealing keys have the id "${id}"`);
  byId.set(id, createSecretKey(bytes));
}

/** Length first, so that no two pairs of key id and context read alike. */
function boundTo(keyId: string, context: string): Buffer {
  return Buffer.from(`rollcall/${version}/${keyId.length}/${keyId}/${context}`, 'utf8');
}

function parse(sealed: string): { keyId: string; nonce: Buffer; body: Buffer } {
  const [found, keyId = '', nonceText = '', bodyText = '', ...rest] = sealed.split('.');
  const nonce = Buffer.from(nonceText, 'base64url');
  const body = Buffer.from(bodyText, 'base64url');
  // Node's decoder passes over what is not base64url: one value has one form here.
  const canonical = nonce.toString('base64url') === nonceText && body.toString('base64url') === bodyText;
  if (found !== version || rest.length > 0 || !canonical || nonce.length !== nonceBytes || body.length < tagBytes) {
    throw refused('sealed_value_malformed', 'a value is not in the form of a sealed one');
  }
  return { keyId, nonce, body };
}

function refused(reason: string, detail: string, cause?: unknown): BrokerError {
  return new BrokerError('internal', detail, { reason, cause });
}

function misconfigured(detail: string): BrokerError {
  return new BrokerError('internal', `${detail}; see ROLLCALL_SEALING_KEYS`, { reason: 'sealing_keys' });
}
