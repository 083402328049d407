import { describe, expect, test } from 'vitest';
import { createShortLived } from '../../../src/demo/short-lived.ts';

function store({ maxEntries = 10 } = {}) {
  let time = 0;
  const values = createShortLived<string>({ seconds: 60, maxEntries, now: () => new Date(time) });
  return { values, wait: (seconds: number) => (time += seconds * 1000) };
}

describe('short-lived values', () => {
  test('are there until their time is over', () => {
    const { values, wait } = store();
    const key = values.keep('a');
    wait(59);
    expect(values.get(key)).toBe('a');
    wait(1);
    expect(values.get(key)).toBeNull();
    expect(values.take(key)).toBeNull();
  });

  test('are taken once', () => {
    const { values } = store();
    const key = values.keep('a');
    expect(values.take(key)).toBe('a');
    expect(values.take(key)).toBeNull();
  });

  test('make room for newer ones, oldest first', () => {
    const { values } = store({ maxEntries: 2 });
    const keys = ['a', 'b', 'c'].map((value) => values.keep(value));
    expect(keys.map((key) => values.get(key))).toEqual([null, 'b', 'c']);
  });

  test('have keys that nobody guesses', () => {
    const { values } = store();
    expect(values.keep('a')).toMatch(/^[\w-]{43}$/);
    expect(values.get('')).toBeNull();
  });
});
