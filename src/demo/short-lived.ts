import { randomToken } from '../infra/unique-id.ts';

/** Values under random keys, for a while, in memory. */
export interface ShortLived<Value> {
  /** Returns the new key: 256 random bits, base64url. */
  keep(value: Value): string;
  get(key: string): Value | null;
  /** Reads and deletes. */
  take(key: string): Value | null;
}

/** @param maxEntries above it the oldest is dropped */
export function createShortLived<Value>(options: {
  readonly seconds: number;
  readonly maxEntries: number;
  readonly now: () => Date;
}): ShortLived<Value> {
  const { seconds, maxEntries, now } = options;
  const entries = new Map<string, { readonly value: Value; readonly expiresAt: number }>();

  const get = (key: string): Value | null => {
    const entry = entries.get(key);
    return entry !== undefined && entry.expiresAt > now().getTime() ? entry.value : null;
  };
  return {
    get,
    keep: (value) => {
      const key = randomToken();
      entries.set(key, { value, expiresAt: now().getTime() + seconds * 1000 });
      // A Map keeps the order in which its keys came.
      for (const oldest of entries.keys()) {
        if (entries.size <= maxEntries) break;
        entries.delete(oldest);
      }
      return key;
    },
    take: (key) => {
      const value = get(key);
      entries.delete(key);
      return value;
    },
  };
}
