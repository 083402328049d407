import { LRUCache } from 'lru-cache';

export interface CacheOptions<V> {
  readonly maxEntries: number;
  /** Counted from the start of the load. */
  readonly ttlSeconds: number;
  /** Called once for any number of callers who ask for a key at the same time. A failure is not kept. */
  readonly load: (key: string) => Promise<V>;
  /** A clock that never goes back. */
  readonly elapsedMilliseconds?: () => number;
}

export interface Cache<V> {
  get(key: string): Promise<V>;
  /** The next `get` loads again, also when a load is under way. */
  forget(key: string): void;
  clear(): void;
}

/** In process: makes what stands in Postgres fast, and may be up to `ttlSeconds` old. */
export function createCache<V>({ maxEntries, ttlSeconds, load, elapsedMilliseconds }: CacheOptions<V>): Cache<V> {
  const entries = new LRUCache<string, Promise<V>>({
    max: maxEntries,
    ttl: ttlSeconds * 1_000,
    ...(elapsedMilliseconds === undefined ? {} : { perf: { now: elapsedMilliseconds }, ttlResolution: 0 }),
  });
  const start = (key: string): Promise<V> => {
    const loading = load(key);
    entries.set(key, loading);
    // Whoever asked gets the rejection; here it only must not stay.
    loading.catch(() => {
      if (entries.peek(key) === loading) entries.delete(key);
    });
    return loading;
  };
  return {
    get: (key) => entries.get(key) ?? start(key),
    forget(key) {
      entries.delete(key);
    },
    clear() {
      entries.clear();
    },
  };
}
