import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import type { ExpiringStore } from '../../src/infra/expiring-store.ts';

const oddKeys: readonly (readonly [string, string])[] = [
  ['spaces and colons', 'a b:c{d}e'],
  ['letters outside ASCII', 'schlüssel-鍵-🔑'],
  ['a quote and a backslash', `'"\\`],
  ['a NUL', 'before\0after'],
  ['half a surrogate pair', 'half\ud800'],
  ['10,000 characters', 'k'.repeat(10_000)],
  ['nothing', ''],
  ['the name of a built-in property', '__proto__'],
];

const oddValues: readonly (readonly [string, string])[] = [
  ['nothing', ''],
  ['letters outside ASCII', 'grüße 你好 👋🏽 e\u0301'],
  ['JSON', JSON.stringify({ a: [1, '"', '\\', null], ß: '\u2028' })],
  ['a NUL', 'a\0b'],
  ['control characters', '\u0001=\u0002\r\n\t-'],
  ['256 KiB', 'ü'.repeat(128 * 1024)],
  ['what looks like a mark', '-'],
];

/** What every implementation of `ExpiringStore` must do; `open` is called once, before the first test. */
export function describeExpiringStore(title: string, open: () => Promise<ExpiringStore>): void {
  // Several tests wait for an expiry: all run at once.
  describe.concurrent(title, () => {
    let store: ExpiringStore;
    beforeAll(async () => {
      store = await open();
    });

    test('returns what was set, and null for what was not', async () => {
      const key = randomUUID();
      expect(await store.get(key)).toBeNull();
      await store.set(key, 'one', 60);
      expect(await store.get(key)).toBe('one');
      await store.set(key, 'two', 60);
      expect(await store.get(key)).toBe('two');
    });

    test('forgets a value when its time is over, and not before', async () => {
      const [short, long] = [randomUUID(), randomUUID()];
      await store.set(short, 'gone', 1);
      await store.set(long, 'here', 60);
      expect(await store.get(short)).toBe('gone');
      await sleep(1_150);
      expect(await store.get(short)).toBeNull();
      expect(await store.take(short)).toBeNull();
      expect(await store.get(long)).toBe('here');
    });

    test('a later set replaces the time to live too', async () => {
      const key = randomUUID();
      await store.set(key, 'short', 1);
      await store.set(key, 'long', 60);
      await sleep(1_150);
      expect(await store.get(key)).toBe('long');
    });

    test('take returns the value once', async () => {
      const key = randomUUID();
      await store.set(key, 'once', 60);
      expect(await store.take(key)).toBe('once');
      expect(await store.take(key)).toBeNull();
      expect(await store.get(key)).toBeNull();
    });

    test('of 50 simultaneous takers exactly one gets the value', async () => {
      const key = randomUUID();
      await store.set(key, 'prize', 60);
      const taken = await Promise.all(Array.from({ length: 50 }, () => store.take(key)));
      expect(taken.filter((value) => value === 'prize')).toHaveLength(1);
      expect(taken.filter((value) => value === null)).toHaveLength(49);
    });

    test('a key that was taken can be set and taken again', async () => {
      const key = randomUUID();
      for (const value of ['first', 'second', 'second']) {
        await store.set(key, value, 60);
        expect(await store.take(key)).toBe(value);
      }
    });

    test('add stores only what is absent', async () => {
      const key = randomUUID();
      expect(await store.add(key, 'mine', 60)).toBe(true);
      expect(await store.add(key, 'theirs', 60)).toBe(false);
      expect(await store.get(key)).toBe('mine');
    });

    test('of 50 simultaneous adders exactly one succeeds', async () => {
      const key = randomUUID();
      const added = await Promise.all(Array.from({ length: 50 }, (_, index) => store.add(key, String(index), 60)));
      expect(added.filter(Boolean)).toHaveLength(1);
      expect(await store.get(key)).toBe(String(added.indexOf(true)));
    });

    test('add succeeds again after expiry, after take and after delete', async () => {
      const [expired, taken, deleted] = [randomUUID(), randomUUID(), randomUUID()];
      await store.add(expired, 'a', 1);
      await store.add(taken, 'a', 60);
      await store.add(deleted, 'a', 60);
      await store.take(taken);
      await store.delete(deleted);
      await sleep(1_150);
      for (const key of [expired, taken, deleted]) {
        expect(await store.add(key, 'b', 60)).toBe(true);
        expect(await store.get(key)).toBe('b');
      }
    });

    test('delete removes, and says nothing about what is absent', async () => {
      const key = randomUUID();
      await store.set(key, 'value', 60);
      await store.delete(key);
      expect(await store.get(key)).toBeNull();
      await store.delete(key);
    });

    test.each(oddKeys)('keeps a value under a key with %s', async (_, odd) => {
      const [key, other] = [`${randomUUID()}${odd}`, `${randomUUID()}${odd}`];
      await store.set(key, 'value', 60);
      expect(await store.get(key)).toBe('value');
      expect(await store.get(other)).toBeNull();
      expect(await store.take(key)).toBe('value');
    });

    test.each(oddValues)('returns a value of %s as it was', async (_, value) => {
      const key = randomUUID();
      await store.set(key, value, 60);
      expect(await store.get(key)).toBe(value);
      expect(await store.take(key)).toBe(value);
    });

    test('two keys that differ in half a surrogate pair are two', async () => {
      const key = randomUUID();
      await store.set(`${key}\ud800`, 'high', 60);
      await store.set(`${key}\udc00`, 'low', 60);
      expect(await store.get(`${key}\ud800`)).toBe('high');
      expect(await store.get(`${key}\udc00`)).toBe('low');
    });
  });
}
