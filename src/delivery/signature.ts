import { createHmac, createSecretKey, type KeyObject, randomBytes, sign } from 'node:crypto';

const prefix = 'whsec_';

/** Standard Webhooks, "Symmetric signature scheme": 24 to 64 random bytes, base64, after `whsec_`. */
const minSecretBytes = 24;
const maxSecretBytes = 64;
const newSecretBytes = 32;

/** A new signing secret as receivers are shown it. */
export function generateSecret(): string {
  return prefix + randomBytes(newSecretBytes).toString('base64');
}

/** The key in a `whsec_…` secret; null when it is none, or of a length that the specification does not allow. */
export function secretKey(secret: string): KeyObject | null {
  if (!secret.startsWith(prefix)) return null;
  const text = secret.slice(prefix.length);
  const bytes = Buffer.from(text, 'base64');
  // Node skips what is not base64: only a text that is the encoding of its bytes means the same key to every receiver.
  if (bytes.toString('base64') !== text) return null;
  return bytes.length >= minSecretBytes && bytes.length <= maxSecretBytes ? createSecretKey(bytes) : null;
}

export interface SignedContent {
  /** `webhook-id`. */
  readonly id: string;
  /** `webhook-timestamp`: Unix seconds of the attempt. */
  readonly timestampSeconds: number;
  readonly body: string;
}

/**
 * The `webhook-signature` header: one signature for each key, so that a receiver verifies with the old and with the new one during a
 * rotation (Standard Webhooks, "Webhook metadata"). Secret keys sign with HMAC-SHA256 (`v1`), private keys with Ed25519 (`v1a`).
 * @param keys newest first of each kind
 */
export function signatureHeader({ id, timestampSeconds, body }: SignedContent, keys: readonly KeyObject[]): string {
  const content = `${id}.${timestampSeconds}.${body}`;
  return keys.map((key) => (key.type === 'secret' ? symmetric(key, content) : asymmetric(key, content))).join(' ');
}

/** Standard Webhooks, "Symmetric": HMAC-SHA256, base64. */
function symmetric(key: KeyObject, content: string): string {
  return `v1,${createHmac('sha256', key).update(content).digest('base64')}`;
}

/** Standard Webhooks, "Asymmetric": Ed25519 (RFC 8032 5.1: over the content itself, no digest before), base64. */
function asymmetric(key: KeyObject, content: string): string {
  return `v1a,${sign(null, Buffer.from(content), key).toString('base64')}`;
}
