import { describe, expect, test } from 'vitest';
import { createConfirmedCache } from '../../../src/infra/confirmed-cache.ts';

/** A cache over loads that a test counts, delays and fails, and a feed whose checks it answers. */
function build({ maxEntries = 10, maxBytes }: { maxEntries?: number; maxBytes?: number } = {}) {
  const loads: { key: string; resolve: (value: string) => void; reject: (error: Error) => void }[] = [];
  let elapsed = 10_000;
  let confirmedAt = Number.NEGATIVE_INFINITY;
  let checks = 0;
  let onCheck: () => unknown = () => {};
  let hits = 0;
  const feed = {
    maxStaleMilliseconds: 2_000,
    confirmedAt: () => confirmedAt,
    elapsed: () => elapsed,
    async check() {
      checks += 1;
      const startedAt = elapsed;
      const earlier = await onCheck();
      confirmedAt = typeof earlier === 'number' ? earlier : startedAt;
    },
  };
  const cache = createConfirmedCache<string>({
    feed,
    maxEntries,
    ...(maxBytes !== undefined && { maxBytes, bytesOf: (value: string) => value.length }),
    load: (key) => new Promise((resolve, reject) => loads.push({ key, resolve, reject })),
    keep: (value) => value !== 'nothing',
    onHit: () => (hits += 1),
  });
  const get = async (key: string, value: string) => {
    const pending = cache.get(key);
    const before = loads.length;
    await Promise.resolve();
    loads.at(-1)?.resolve(value);
    const got = await pending;
    if (loads.length > before) loads.at(-1)?.resolve(value);
    return got;
  };
  return {
    cache,
    loads,
    get,
    hits: () => hits,
    checks: () => checks,
    pass: (milliseconds: number) => (elapsed += milliseconds),
    confirm: () => (confirmedAt = elapsed),
    /** @param action a number that it returns is when the check had begun */
    whenChecked: (action: () => unknown) => (onCheck = action),
  };
}

describe('confirmed cache', () => {
  test('loads a key once, then answers from memory for as long as the feed confirms it', async () => {
    const { get, loads, pass, confirm, checks, hits } = build();
    expect(await get('a', 'one')).toBe('one');
    for (let round = 0; round < 10; round += 1) {
      pass(1_000);
      confirm();
      expect(await get('a', 'two')).toBe('one');
    }
    expect([loads.length, checks(), hits()]).toEqual([1, 0, 10]);
  });

  test('an entry that nobody confirmed in time is answered only after a check', async () => {
    const { get, loads, pass, checks } = build();
    await get('a', 'one');
    pass(2_000);
    await get('a', 'two');
    expect(checks()).toBe(0);
    pass(1);
    expect(await get('a', 'two')).toBe('one');
    expect([checks(), loads.length]).toEqual([1, 1]);
  });

  test('what a check finds changed is loaded again before it is answered', async () => {
    const { cache, loads, get, pass, whenChecked } = build();
    await get('a', 'one');
    whenChecked(() => cache.forget('a'));
    pass(5_000);
    const pending = cache.get('a');
    await new Promise(setImmediate);
    expect(loads).toHaveLength(2);
    loads[1]?.resolve('two');
    expect(await pending).toBe('two');
  });

  test('a check that was under way and had begun too early does not count: the next one does', async () => {
    const { get, pass, checks, whenChecked } = build();
    await get('a', 'one');
    pass(2_001);
    whenChecked(() => {
      whenChecked(() => {});
      return 10_000;
    });
    expect(await get('a', 'two')).toBe('one');
    expect(checks()).toBe(2);
  });

  test('a check that fails reaches the caller: nothing old is answered instead', async () => {
    const { get, pass, whenChecked } = build();
    await get('a', 'one');
    whenChecked(() => Promise.reject(new Error('away')));
    pass(2_001);
    await expect(get('a', 'two')).rejects.toThrow('away');
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

  test('forgetting during a load: who asked before gets that load, who asks after gets a new one', async () => {
    const { cache, loads, get } = build();
    const before = cache.get('a');
    cache.forget('a', () => true);
    const after = cache.get('a');
    loads[1]?.resolve('new');
    loads[0]?.resolve('old');
    expect([await before, await after]).toEqual(['old', 'new']);
    expect(await get('a', 'later')).toBe('new');
  });

  test('forgetting leaves a value that is the current one already', async () => {
    const { cache, get } = build();
    await get('a', 'current');
    cache.forget('a', (value) => value === 'current');
    expect(await get('a', 'later')).toBe('current');
    cache.forget('a', (value) => value === 'another');
    expect(await get('a', 'later')).toBe('later');
  });

  test('values that are not worth a place push nothing out', async () => {
    const { get, loads } = build({ maxEntries: 2 });
    await get('a', 'one');
    for (const key of ['x', 'y', 'z']) await get(key, 'nothing');
    expect(await get('a', 'two')).toBe('one');
    await get('x', 'nothing');
    expect(loads.map(({ key }) => key)).toEqual(['a', 'x', 'y', 'z', 'x']);
  });

  test('the bound on memory pushes out the least recently used, and one that is larger than all of it is kept alone', async () => {
    const { get, cache } = build({ maxBytes: 10 });
    await get('a', 'aaaa');
    await get('b', 'bbbb');
    await get('c', 'cccc');
    expect([...cache.keys()].sort()).toEqual(['b', 'c']);
    await get('d', 'd'.repeat(100));
    expect([...cache.keys()]).toEqual(['d']);
  });
});
