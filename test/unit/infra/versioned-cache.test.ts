import { describe, expect, test } from 'vitest';
import type { SharedText, SharedTexts } from '../../../src/infra/shared-texts.ts';
import { createVersionedCache } from '../../../src/infra/versioned-cache.ts';

/** Postgres as a map of revisions and texts, Redis as a map that a test may write to. */
function build() {
  const postgres = new Map<string, SharedText>();
  const redis = new Map<string, SharedText>();
  const reads: { id: string; known: string | null; sent: boolean }[] = [];
  const levels: string[] = [];
  const shared: SharedTexts = {
    get: async (id) => redis.get(id) ?? null,
    put: (id, text) => void redis.set(id, text),
  };
  const processOf = () =>
    createVersionedCache<string[]>({
      feed: {
        confirmedAt: () => 1,
        elapsed: () => 1,
        maxStaleMilliseconds: 2_000,
        check: async () => {},
        start: () => {},
        stop: async () => {},
      },
      maxEntries: 10,
      maxBytes: 10_000,
      async read(id, known) {
        const found = postgres.get(id);
        if (!found) return null;
        const sent = found.revision !== known;
        reads.push({ id, known, sent });
        return { revision: found.revision, text: sent ? found.text : null };
      },
      shared,
      accepts: Array.isArray,
      compile: (document) => (document as string[]).map((each) => each.toUpperCase()),
      onLookup: (level) => levels.push(level),
    });
  return { postgres, redis, reads, levels, processOf };
}

describe('versioned cache', () => {
  test('process, then Redis, then Postgres, which is asked for the content once in all', async () => {
    const { postgres, processOf, reads, levels } = build();
    postgres.set('a', { revision: '1', text: '["x"]' });
    const [one, two] = [processOf(), processOf()];
    expect(await one.get('a')).toEqual(['X']);
    expect(await one.get('a')).toEqual(['X']);
    expect(await two.get('a')).toEqual(['X']);
    expect(levels).toEqual(['postgres', 'process', 'redis']);
    expect(reads).toEqual([
      { id: 'a', known: null, sent: true },
      { id: 'a', known: '1', sent: false },
    ]);
  });

  test('an older text in Redis is never served: Postgres says that there is a newer one, and sends it', async () => {
    const { postgres, redis, processOf, levels } = build();
    postgres.set('a', { revision: '2', text: '["new"]' });
    redis.set('a', { revision: '1', text: '["old"]' });
    expect(await processOf().get('a')).toEqual(['NEW']);
    expect(redis.get('a')).toEqual({ revision: '2', text: '["new"]' });
    expect(levels).toEqual(['postgres']);
  });

  test.each(['{}', 'null', 'not JSON', ''])('a text of another form in Redis (%j) counts as none', async (text) => {
    const { postgres, redis, processOf, levels, reads } = build();
    postgres.set('a', { revision: '1', text: '["x"]' });
    redis.set('a', { revision: '1', text });
    expect(await processOf().get('a')).toEqual(['X']);
    expect([levels, reads[0]?.known]).toEqual([['postgres'], null]);
  });

  test('what does not exist is null, is not kept, and is found once it exists', async () => {
    const { postgres, redis, processOf } = build();
    const one = processOf();
    redis.set('a', { revision: '1', text: '["ghost"]' });
    expect(await one.get('a')).toBeNull();
    postgres.set('a', { revision: '2', text: '["x"]' });
    expect(await one.get('a')).toEqual(['X']);
  });

  test('forgotten by revision: another one is read anew, the same one is kept, an unknown one is read anew', async () => {
    const { postgres, processOf, reads } = build();
    const one = processOf();
    postgres.set('a', { revision: '1', text: '["x"]' });
    await one.get('a');
    one.forget('a', '1');
    await one.get('a');
    expect(reads).toHaveLength(1);
    postgres.set('a', { revision: '2', text: '["y"]' });
    one.forget('a', '2');
    expect(await one.get('a')).toEqual(['Y']);
    one.forget('a');
    await one.get('a');
    expect(reads).toHaveLength(3);
  });
});
