import { expect, test } from 'vitest';
import { createOrderedIds, isUniqueId, randomToken, uniqueId } from '../../../src/infra/unique-id.ts';

test('makes UUIDs of version 7 that carry the time and sort by it', () => {
  const at = new Date('2026-01-02T03:04:05.678Z');
  const id = uniqueId(at);
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(Number.parseInt(id.replace('-', '').slice(0, 12), 16)).toBe(at.getTime());
  expect(uniqueId(new Date(at.getTime() + 1)) > id).toBe(true);
});

test('makes no id and no token twice', () => {
  const at = new Date();
  expect(new Set(Array.from({ length: 1_000 }, () => uniqueId(at))).size).toBe(1_000);
  expect(new Set(Array.from({ length: 1_000 }, () => randomToken())).size).toBe(1_000);
  expect(randomToken()).toMatch(/^[\w-]{43}$/);
});

test('ordered ids sort in the order in which they were made, within a millisecond and when the clock steps back', () => {
  const next = createOrderedIds();
  const at = new Date('2026-01-02T03:04:05.678Z');
  const ids = [at, new Date(at.getTime() - 3_600_000), at].flatMap((time) => Array.from({ length: 6_000 }, () => next(time)));
  expect(ids.toSorted()).toEqual(ids);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.every((id) => isUniqueId(id) && id[14] === '7')).toBe(true);
  const later = next(new Date(at.getTime() + 60_000));
  expect(Number.parseInt(later.replace('-', '').slice(0, 12), 16)).toBe(at.getTime() + 60_000);
});
