import { createHash } from 'node:crypto';

const longestPlainCharacters = 200;

/**
 * A key as the stores can hold it. Keys may carry what a browser or the app sent: a NUL or half a surrogate pair, which Postgres
 * refuses and UTF-8 cannot tell apart, or more bytes than an index row takes. Those are replaced by their digest.
 */
export function storableKey(key: string): string {
  if (key.length <= longestPlainCharacters && key.isWellFormed() && !key.includes('\0')) return key;
  return `sha256:${createHash('sha256').update(JSON.stringify(key)).digest('base64url')}`;
}
