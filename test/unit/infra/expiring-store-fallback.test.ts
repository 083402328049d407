import { describe, expect, test } from 'vitest';
import type { ExpiringStore } from '../../../src/infra/expiring-store.ts';
import { createFallbackStore } from '../../../src/infra/expiring-store-fallback.ts';
import { createMemoryStore } from '../../../src/infra/expiring-store-memory.ts';
import type { PostgresStore } from '../../../src/infra/expiring-store-postgres.ts';
import { recordingLog } from '../../support/quiet-log.ts';

type Mode = 'works' | 'refuses' | 'does it and loses the answer';

/** Two stores in memory on one clock: the first one fails on demand, the second does what the one on Postgres does. */
function build() {
  let milliseconds = Date.parse('2026-01-01T00:00:00Z');
  const clock = { now: () => new Date(milliseconds), elapsedMilliseconds: () => milliseconds };
  let mode: Mode = 'works';
  let asked = 0;
  const inFirst = createMemoryStore({ ...clock, maxEntries: 1_000 });
  const failing =
    <A extends unknown[], T>(run: (...args: A) => Promise<T>) =>
    async (...args: A): Promise<T> => {
      asked += 1;
      if (mode === 'refuses') throw new Error('away');
      const result = await run(...args);
      if (mode === 'does it and loses the answer') throw new Error('Command timed out');
      return result;
    };
  const first: ExpiringStore = {
    set: failing(inFirst.set),
    add: failing(inFirst.add),
    get: failing(inFirst.get),
    take: failing(inFirst.take),
    delete: failing(inFirst.delete),
  };
  const second = standIn(clock.now);
  const { log, lines } = recordingLog();
  const fallbacks: string[] = [];
  const open = () =>
    createFallbackStore({
      first,
      second,
      log,
      elapsedMilliseconds: clock.elapsedMilliseconds,
      onFallback: (operation) => fallbacks.push(operation),
    });
  return {
    store: open(),
    open,
    second,
    lines,
    fallbacks,
    asked: () => asked,
    setMode: (next: Mode) => (mode = next),
    pass: (seconds: number) => (milliseconds += seconds * 1_000),
  };
}

function standIn(now: () => Date): PostgresStore {
  const rows = new Map<string, { value: string; expiresAt: number }>();
  const live = (key: string) => {
    const row = rows.get(key);
    return row !== undefined && row.expiresAt > now().getTime() ? row : null;
  };
  const put = (key: string, value: string, ttlSeconds: number) =>
    rows.set(key, { value, expiresAt: now().getTime() + ttlSeconds * 1_000 });
  return {
    set: async (key, value, ttl) => void put(key, value, ttl),
    add: async (key, value, ttl) => live(key) === null && put(key, value, ttl) !== undefined,
    get: async (key) => live(key)?.value ?? null,
    take: async (key) => {
      const found = live(key)?.value ?? null;
      rows.delete(key);
      return found;
    },
    delete: async (key) => void rows.delete(key),
    bury: async (key, mark, extraSeconds) => {
      const row = live(key);
      if (row === null) return null;
      rows.set(key, { value: mark, expiresAt: row.expiresAt + extraSeconds * 1_000 });
      return row.value;
    },
    replace: async (key, expected, value, ttl) => live(key)?.value === expected && put(key, value, ttl) !== undefined,
    holdsAnything: async () => [...rows.keys()].some((key) => live(key) !== null),
  };
}

describe('while the first store works', () => {
  test('the second is not written to', async () => {
    const { store, second, fallbacks } = build();
    await store.set('a', 'x', 60);
    expect(await store.take('a')).toBe('x');
    expect(await second.holdsAnything()).toBe(false);
    expect(fallbacks).toEqual([]);
  });

  test('a miss is looked for in the second: another process may have put it there a moment ago', async () => {
    const { store, second } = build();
    expect(await store.get('other')).toBeNull();
    await second.set('a', '=x', 60);
    expect(await store.get('a')).toBe('x');
    expect(await store.take('a')).toBe('x');
    expect(await store.take('a')).toBeNull();
  });

  test('its own failure to look at the second does not matter', async () => {
    const { store, second } = build();
    second.holdsAnything = async () => {
      throw new Error('Postgres is away');
    };
    await store.set('a', 'x', 60);
    expect(await store.take('a')).toBe('x');
  });
});

describe('while the first store is away', () => {
  test('every operation works on the second, and is counted', async () => {
    const { store, setMode, fallbacks } = build();
    setMode('refuses');
    await store.set('a', 'x', 60);
    expect(await store.get('a')).toBe('x');
    expect(await store.add('a', 'y', 60)).toBe(false);
    expect(await store.add('b', 'y', 60)).toBe(true);
    expect(await store.take('a')).toBe('x');
    expect(await store.take('a')).toBeNull();
    await store.delete('b');
    expect(await store.get('b')).toBeNull();
    expect(fallbacks).toEqual(expect.arrayContaining(['set', 'add', 'delete']));
  });

  test('it is not asked again for a second, and then by one caller', async () => {
    const { store, setMode, asked, pass } = build();
    setMode('refuses');
    await store.set('a', 'x', 60);
    await Promise.all(Array.from({ length: 20 }, (_, index) => store.set(`k${index}`, 'x', 60)));
    expect(asked()).toBe(1);
    pass(1);
    await Promise.all(Array.from({ length: 20 }, (_, index) => store.set(`k${index}`, 'x', 60)));
    expect(asked()).toBe(2);
  });

  test('the log says once that it went and once that it came back', async () => {
    const { store, setMode, pass, lines } = build();
    setMode('refuses');
    for (let index = 0; index < 5; index += 1) {
      await store.set('a', 'x', 60);
      pass(2);
    }
    setMode('works');
    for (let index = 0; index < 5; index += 1) {
      await store.set('a', 'x', 60);
      pass(2);
    }
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'info']);
  });
});

describe('after an outage', () => {
  /** Opens the store, does something during an outage, and brings the first store back. */
  async function outage(
    before: (store: ExpiringStore) => Promise<unknown>,
    during: (store: ExpiringStore) => Promise<unknown>,
    mode: Mode = 'refuses',
  ) {
    const world = build();
    await before(world.store);
    world.setMode(mode);
    await during(world.store);
    world.setMode('works');
    world.pass(2);
    return world;
  }
  const nothing = async () => {};

  test('what was written during it is found', async () => {
    const { store } = await outage(nothing, (store) => store.set('a', 'x', 60));
    expect(await store.get('a')).toBe('x');
    expect(await store.take('a')).toBe('x');
    expect(await store.take('a')).toBeNull();
  });

  test('what was overwritten during it does not come back', async () => {
    const { store } = await outage(
      (store) => store.set('a', 'old', 60),
      (store) => store.set('a', 'new', 60),
    );
    expect(await store.get('a')).toBe('new');
    await store.set('a', 'newer', 60);
    expect(await store.get('a')).toBe('newer');
  });

  test('what was deleted during it does not come back', async () => {
    const { store } = await outage(
      (store) => store.set('a', 'x', 600),
      (store) => store.delete('a'),
    );
    expect(await store.get('a')).toBeNull();
    expect(await store.take('a')).toBeNull();
    expect(await store.add('a', 'again', 60)).toBe(true);
    expect(await store.get('a')).toBe('again');
  });

  test('a value whose write was done without an answer stands in both, and is taken once', async () => {
    const { store, open } = await outage(nothing, (store) => store.set('a', 'x', 60), 'does it and loses the answer');
    const other = open();
    const taken = await Promise.all([store.take('a'), other.take('a'), store.take('a'), other.take('a')]);
    expect(taken.filter((value) => value !== null)).toEqual(['x']);
    expect(await store.get('a')).toBeNull();
  });

  test('a value taken during it, of which the first store has a copy, is not taken again', async () => {
    const { store, open } = await outage(
      nothing,
      async (store) => {
        await store.set('a', 'x', 60);
        expect(await store.take('a')).toBe('x');
      },
      'does it and loses the answer',
    );
    expect(await store.take('a')).toBeNull();
    expect(await open().take('a')).toBeNull();
  });

  test('a value whose take was done without an answer is gone, not doubled', async () => {
    const { store } = await outage(
      (store) => store.set('a', 'x', 60),
      (store) => store.take('a'),
      'does it and loses the answer',
    );
    expect(await store.take('a')).toBeNull();
  });

  test('a key added during it cannot be added again', async () => {
    const { store, open } = await outage(nothing, (store) => store.add('a', 'x', 60));
    expect(await store.add('a', 'y', 60)).toBe(false);
    expect(await open().add('a', 'y', 60)).toBe(false);
    expect(await store.get('a')).toBe('x');
  });

  test('a value that only the first store had is back with it', async () => {
    const { store } = await outage(
      (store) => store.set('a', 'x', 60),
      async (store) => expect(await store.get('a')).toBeNull(),
    );
    expect(await store.take('a')).toBe('x');
    expect(await store.take('a')).toBeNull();
  });

  test('when all that was written during it has expired, the second store is left alone again', async () => {
    const { store, second, pass } = await outage(nothing, (store) => store.set('a', 'x', 60));
    await store.take('a');
    pass(60 + 300 + 2);
    expect(await second.holdsAnything()).toBe(false);
    const get = second.get;
    let reads = 0;
    second.get = (key) => {
      reads += 1;
      return get(key);
    };
    await store.set('b', 'y', 60);
    expect(await store.get('b')).toBe('y');
    expect(reads).toBe(0);
  });
});
