import { createConfirmedCache } from './confirmed-cache.ts';
import type { RevisionFeed } from './revision-feed.ts';
import type { SharedTexts } from './shared-texts.ts';

export type CacheLevel = 'process' | 'redis' | 'postgres';

export interface VersionedCacheOptions<V> {
  readonly feed: RevisionFeed;
  readonly maxEntries: number;
  readonly maxBytes: number;
  /**
   * The current revision, and the text that belongs to it unless `known` is that revision; null: there is no such thing. One statement,
   * so that text and revision belong together.
   */
  readonly read: (
    id: string,
    known: string | null,
  ) => Promise<{ readonly revision: string; readonly text: string | null } | null>;
  /** Where the text may be found without asking Postgres for all of it; null: nowhere. */
  readonly shared: SharedTexts | null;
  /** Whether a text of Redis has the form that `compile` expects, as JSON: another version may have written it. */
  readonly accepts: (document: unknown) => boolean;
  /** What callers want of the text, as JSON. */
  readonly compile: (document: unknown) => V;
  readonly onLookup?: (level: CacheLevel) => void;
}

export interface VersionedCache<V> {
  get(id: string): Promise<V | null>;
  /** @param revision the one that is current now; null: not known */
  forget(id: string, revision?: string | null): void;
  clear(): void;
  ids(): Iterable<string>;
}

/** Parsed forms take about this much more memory than the texts that they were made from. */
const bytesPerCharacter = 4;

/**
 * Process, then Redis, then Postgres. Postgres alone says which revision is current, with one light statement that carries the content
 * only when Redis could not: whatever stands in Redis, nothing old is served as new. In process the revision feed confirms it.
 */
export function createVersionedCache<V>(options: VersionedCacheOptions<V>): VersionedCache<V> {
  const { feed, maxEntries, maxBytes, read, shared, accepts, compile, onLookup } = options;

  async function load(id: string): Promise<Loaded<V> | null> {
    const held = await readShared(id);
    const found = await read(id, held?.revision ?? null);
    if (!found) return null;
    const { revision, text } = found;
    if (text === null) {
      // Only the revision that was named is answered without its text.
      if (held?.revision !== revision) throw new Error(`revision ${revision} came without its text`);
      onLookup?.('redis');
      return { revision, value: compile(held.document), characters: held.characters };
    }
    onLookup?.('postgres');
    shared?.put(id, { revision, text });
    return { revision, value: compile(JSON.parse(text)), characters: text.length };
  }

  async function readShared(id: string) {
    const held = await shared?.get(id);
    const document = held ? parsed(held.text) : undefined;
    return held && accepts(document) ? { revision: held.revision, document, characters: held.text.length } : null;
  }

  const entries = createConfirmedCache<Loaded<V> | null>({
    feed,
    maxEntries,
    maxBytes,
    bytesOf: (loaded) => (loaded?.characters ?? 0) * bytesPerCharacter,
    load,
    keep: (loaded) => loaded !== null,
    onHit: () => onLookup?.('process'),
  });

  return {
    async get(id) {
      return (await entries.get(id))?.value ?? null;
    },
    forget(id, revision = null) {
      entries.forget(id, (loaded) => revision !== null && loaded?.revision === revision);
    },
    clear: entries.clear,
    ids: entries.keys,
  };
}

interface Loaded<V> {
  readonly revision: string;
  readonly value: V;
  readonly characters: number;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
