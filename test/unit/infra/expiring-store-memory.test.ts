import { expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/infra/expiring-store-memory.ts';

function build(maxEntries: number) {
  let milliseconds = Date.parse('2026-01-01T00:00:00Z');
  const store = createMemoryStore({ now: () => new Date(milliseconds), maxEntries });
  return { store, pass: (seconds: number) => (milliseconds += seconds * 1_000) };
}

test('a value lives to the millisecond before its time is over', async () => {
  const { store, pass } = build(10);
  await store.set('a', 'x', 60);
  pass(59.999);
  expect(await store.get('a')).toBe('x');
  pass(0.001);
  expect(await store.get('a')).toBeNull();
});

test('beyond the limit the value written longest ago goes', async () => {
  const { store } = build(3);
  for (const key of ['a', 'b', 'c']) await store.set(key, key, 60);
  await store.set('a', 'again', 60);
  await store.set('d', 'd', 60);
  expect(await Promise.all(['a', 'b', 'c', 'd'].map((key) => store.get(key)))).toEqual(['again', null, 'c', 'd']);
});

test('expired values make room by themselves: live ones survive a flood of short ones', async () => {
  const { store, pass } = build(100);
  await store.set('pending', 'mine', 600);
  for (let round = 0; round < 50; round += 1) {
    for (let index = 0; index < 40; index += 1) await store.set(`short-${round}-${index}`, 'x', 1);
    pass(2);
  }
  expect(await store.get('pending')).toBe('mine');
});
