import type { ExpiringStore } from './expiring-store.ts';

export interface MemoryStoreOptions {
  readonly now: () => Date;
  /** Beyond it the value written longest ago goes. */
  readonly maxEntries: number;
}

interface Entry {
  readonly value: string;
  readonly expiresAt: number;
}

/** How many entries each write looks at for expired ones, so that the whole map is seen again and again without a timer. */
const inspectedPerWrite = 2;

/** For one process: stands in for Redis where none is configured. */
export function createMemoryStore({ now, maxEntries }: MemoryStoreOptions): ExpiringStore {
  // A map keeps the order of writing.
  const entries = new Map<string, Entry>();
  let inspection = entries.entries();

  const live = (key: string): string | null => {
    const entry = entries.get(key);
    if (entry === undefined) return null;
    if (entry.expiresAt > now().getTime()) return entry.value;
    entries.delete(key);
    return null;
  };

  const inspect = (): void => {
    for (let count = 0; count < inspectedPerWrite; count += 1) {
      const next = inspection.next();
      if (next.done) {
        inspection = entries.entries();
        return;
      }
      const [key, { expiresAt }] = next.value;
      if (expiresAt <= now().getTime()) entries.delete(key);
    }
  };

  const put = (key: string, value: string, ttlSeconds: number): void => {
    entries.delete(key);
    entries.set(key, { value, expiresAt: now().getTime() + ttlSeconds * 1_000 });
    inspect();
    if (entries.size <= maxEntries) return;
    const [oldest] = entries.keys();
    if (oldest !== undefined) entries.delete(oldest);
  };

  return {
    async set(key, value, ttlSeconds) {
      put(key, value, ttlSeconds);
    },
    async add(key, value, ttlSeconds) {
      if (live(key) !== null) return false;
      put(key, value, ttlSeconds);
      return true;
    },
    async get(key) {
      return live(key);
    },
    async take(key) {
      const value = live(key);
      entries.delete(key);
      return value;
    },
    async delete(key) {
      entries.delete(key);
    },
  };
}
