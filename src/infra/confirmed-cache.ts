import { LRUCache } from 'lru-cache';
import type { RevisionFeed } from './revision-feed.ts';

export interface ConfirmedCacheOptions<V> {
  readonly feed: Pick<RevisionFeed, 'confirmedAt' | 'elapsed' | 'check' | 'maxStaleMilliseconds'>;
  readonly maxEntries: number;
  /** Bound of the sum of `bytesOf`, where that is given. */
  readonly maxBytes?: number;
  /** Memory that a value takes, about. */
  readonly bytesOf?: (value: V) => number;
  /** Called once for any number of callers who ask for a key at the same time. A failure is not kept. */
  readonly load: (key: string) => Promise<V>;
  /** Values that are not worth a place: what anybody can ask for must not push out what is needed. */
  readonly keep?: (value: V) => boolean;
  readonly onHit?: () => void;
}

export interface ConfirmedCache<V> {
  get(key: string): Promise<V>;
  /** The next `get` loads again, also when a load is under way. @param except leaves a value that is there and that this accepts */
  forget(key: string, except?: (value: V) => boolean): void;
  clear(): void;
  keys(): Iterable<string>;
}

/** However often an entry is confirmed: what a feed cannot tell, such as a row that was deleted by hand, counts after this time. */
const longestLifeMilliseconds = 10 * 60 * 1_000;

interface Entry<V> {
  readonly loadedAt: number;
  readonly promise: Promise<V>;
  /** Undefined while the load is under way. */
  readonly loaded?: { readonly value: V };
}

/** In process: answers from memory what a revision feed confirms, however long ago it was loaded. */
export function createConfirmedCache<V>(options: ConfirmedCacheOptions<V>): ConfirmedCache<V> {
  const { feed, maxEntries, maxBytes, bytesOf = () => 1, load, keep = () => true, onHit } = options;
  const entries = new LRUCache<string, Entry<V>>({
    max: maxEntries,
    ttl: longestLifeMilliseconds,
    ...(maxBytes !== undefined && {
      maxSize: maxBytes,
      // One that is larger than everything allowed together takes the whole place, rather than being loaded at each login.
      sizeCalculation: ({ loaded }: Entry<V>) => (loaded ? Math.max(1, Math.min(maxBytes, Math.ceil(bytesOf(loaded.value)))) : 1),
    }),
  });

  function start(key: string): Promise<V> {
    const loadedAt = feed.elapsed();
    const promise = load(key);
    const entry: Entry<V> = { loadedAt, promise };
    entries.set(key, entry);
    // Whoever asked gets the rejection; here it only must not stay.
    promise.then(
      (value) => {
        if (entries.peek(key) !== entry) return;
        if (keep(value)) entries.set(key, { loadedAt, promise, loaded: { value } });
        else entries.delete(key);
      },
      () => {
        if (entries.peek(key) === entry) entries.delete(key);
      },
    );
    return promise;
  }

  return {
    async get(key) {
      const askedAt = feed.elapsed();
      for (;;) {
        const entry = entries.get(key);
        if (!entry) return start(key);
        if (!entry.loaded) return entry.promise;
        if (Math.max(entry.loadedAt, feed.confirmedAt()) >= askedAt - feed.maxStaleMilliseconds) {
          onHit?.();
          return entry.loaded.value;
        }
        // A check that was under way may have begun too early; the next one begins after `askedAt`.
        await feed.check();
      }
    },
    forget(key, except) {
      const entry = entries.peek(key);
      if (entry?.loaded && except?.(entry.loaded.value)) return;
      entries.delete(key);
    },
    clear: () => entries.clear(),
    keys: () => entries.keys(),
  };
}
