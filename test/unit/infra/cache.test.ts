import { describe, expect, test } from 'vitest';
import { createCache } from '../../../src/infra/cache.ts';

/** A cache over loads that a test counts, delays and fails; `elapsed` is its clock in milliseconds. */
function build({ maxEntries = 10, ttlSeconds = 60 } = {}) {
  const loads: { key: string; resolve: (value: string) => void; reject: (error: Error) => void }[] = [];
  let elapsed = 1;
  const cache = createCache<string>({
    maxEntries,
    ttlSeconds,
    load: (key) => new Promise((resolve, reject) => loads.push({ key, resolve, reject })),
    elapsedMilliseconds: () => elapsed,
  });
  const get = async (key: string, value: string) => {
    const pending = cache.get(key);
    loads.at(-1)?.resolve(value);
    return pending;
  };
  return { cache, loads, get, pass: (milliseconds: number) => (elapsed += milliseconds) };
}

describe('cache', () => {
  test('loads a key once and then answers from memory', async () => {
    const { get, loads } = build();
    expect(await get('a', 'one')).toBe('one');
    expect(await get('a', 'two')).toBe('one');
    expect(await get('b', 'three')).toBe('three');
    expect(loads.map(({ key }) => key)).toEqual(['a', 'b']);
  });

  test('callers who ask at the same time share one load', async () => {
    const { cache, loads } = build();
    const pending = [cache.get('a'), cache.get('a'), cache.get('a')];
    expect(loads).toHaveLength(1);
    loads[0]?.resolve('one');
    expect(await Promise.all(pending)).toEqual(['one', 'one', 'one']);
  });

  test('a failed load reaches everybody who waited and is not kept', async () => {
    const { cache, loads, get } = build();
    const pending = [cache.get('a'), cache.get('a')];
    loads[0]?.reject(new Error('away'));
    expect((await Promise.allSettled(pending)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await get('a', 'back')).toBe('back');
  });

  test('loads again when the time to live is over, and not before', async () => {
    const { get, pass } = build({ ttlSeconds: 10 });
    await get('a', 'one');
    pass(9_999);
    expect(await get('a', 'two')).toBe('one');
    pass(2);
    expect(await get('a', 'two')).toBe('two');
  });

  test('the least recently used entry gives way', async () => {
    const { get } = build({ maxEntries: 2 });
    await get('a', 'a1');
    await get('b', 'b1');
    await get('a', 'a2');
    await get('c', 'c1');
    expect(await get('a', 'a3')).toBe('a1');
    expect(await get('b', 'b2')).toBe('b2');
  });

  test('forget during a load: who asked before gets that load, who asks after gets a new one', async () => {
    const { cache, loads } = build();
    const before = cache.get('a');
    cache.forget('a');
    const after = cache.get('a');
    loads[1]?.resolve('new');
    loads[0]?.resolve('old');
    expect([await before, await after]).toEqual(['old', 'new']);
    expect(await cache.get('a')).toBe('new');
  });

  test('a load that fails late does not remove what a later one brought', async () => {
    const { cache, loads } = build();
    const before = cache.get('a').catch(() => 'failed');
    cache.forget('a');
    const after = cache.get('a');
    loads[1]?.resolve('new');
    loads[0]?.reject(new Error('late'));
    expect([await before, await after]).toEqual(['failed', 'new']);
    expect(await cache.get('a')).toBe('new');
    expect(loads).toHaveLength(2);
  });

  test('clear forgets everything', async () => {
    const { cache, get } = build();
    await get('a', 'one');
    cache.clear();
    expect(await get('a', 'two')).toBe('two');
  });
});
