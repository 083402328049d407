import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import { mergePatch } from '../../../src/http/merge-patch.ts';
import { pageOf, parseInput } from '../../../src/http/request-input.ts';
import { inSnakeCase } from '../../../src/http/snake-case.ts';

const schema = z.strictObject({ name: z.string(), inner: z.strictObject({ count: z.int().optional() }).optional() });

function fieldsOf(run: () => unknown) {
  try {
    run();
  } catch (error) {
    if (error instanceof BrokerError) return error.fields;
    throw error;
  }
  return [];
}

describe('parsing what came from outside', () => {
  it('gives the value back when it fits', () => {
    expect(parseInput(schema, { name: 'a', inner: { count: 1 } })).toEqual({ name: 'a', inner: { count: 1 } });
  });

  it('names every unknown field, wherever it stands, and every wrong one', () => {
    const fields = fieldsOf(() => parseInput(schema, { name: 1, colour: 'red', size: 2, inner: { depth: 3 } }, 'connections.0'));
    expect(fields.map(({ path }) => path).sort()).toEqual([
      'connections.0.colour',
      'connections.0.inner.depth',
      'connections.0.name',
      'connections.0.size',
    ]);
  });

  it('takes __proto__ and constructor for the unknown fields that they are', () => {
    const fields = fieldsOf(() => parseInput(schema, JSON.parse('{"name":"a","__proto__":{"admin":true},"constructor":1}')));
    expect(fields.map(({ path }) => path).sort()).toEqual(['__proto__', 'constructor']);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  it.each([
    ['a NUL character', 'a\0b'],
    ['half a surrogate pair', 'a\ud800'],
  ])('refuses %s, which Postgres cannot store, in values and in names of fields', (_case, text) => {
    expect(fieldsOf(() => parseInput(schema, { name: text }))).toMatchObject([{ path: 'name' }]);
    expect(fieldsOf(() => parseInput(z.unknown(), { list: [{ deep: text }] }))).toMatchObject([{ path: 'list.0.deep' }]);
    expect(fieldsOf(() => parseInput(z.unknown(), { list: { [text]: 1 } }))).toMatchObject([{ path: 'list' }]);
    expect(fieldsOf(() => parseInput(schema, { name: 'emoji 😀 and both halves' }))).toEqual([]);
  });

  it('does not fall over values nested 100,000 deep', () => {
    const deep = JSON.parse('['.repeat(100_000) + ']'.repeat(100_000)) as unknown;
    expect(fieldsOf(() => parseInput(schema, deep)).length).toBeGreaterThan(0);
  });

  it('takes fields in snake_case for a schema in camelCase, and names errors so', () => {
    const snake = inSnakeCase(z.strictObject({ eventTypes: z.array(z.string()), url: z.string().default('x') }), [
      'event_types',
      'url',
    ]);
    expect(parseInput(snake, { event_types: ['a'] })).toEqual({ eventTypes: ['a'], url: 'x' });
    expect(fieldsOf(() => parseInput(snake, { event_types: [1] }))).toMatchObject([{ path: 'event_types.0' }]);
    expect(fieldsOf(() => parseInput(snake, { eventTypes: ['a'] })).map(({ path }) => path)).toContain('eventTypes');
  });
});

describe('a merge patch (RFC 7396)', () => {
  it.each([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('of %j by %j is %j', (target, patch, result) => {
    expect(mergePatch(target, patch)).toEqual(result);
  });

  it('makes __proto__ an own member instead of a prototype', () => {
    const merged = mergePatch({}, JSON.parse('{"__proto__":{"admin":true}}')) as { admin?: boolean };
    expect(Object.keys(merged)).toEqual(['__proto__']);
    expect(merged.admin).toBeUndefined();
  });
});

describe('a page', () => {
  const options = { cursor: (row: number) => `c${row}`, view: (row: number) => ({ row }) };

  it('has a cursor if one more row was read, and none at the end', () => {
    expect(pageOf([1, 2, 3], 2, options)).toEqual({ data: [{ row: 1 }, { row: 2 }], next_cursor: 'c2' });
    expect(pageOf([1, 2], 2, options)).toEqual({ data: [{ row: 1 }, { row: 2 }], next_cursor: null });
    expect(pageOf([], 2, options)).toEqual({ data: [], next_cursor: null });
  });
});
