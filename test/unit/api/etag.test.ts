import type { Request } from 'express';
import { describe, expect, it } from 'vitest';
import { checkIfMatch, etagOf } from '../../../src/http/etag.ts';

const view = { id: '1', name: 'a' };
const withHeaders = (headers: Record<string, string>) => ({ headers }) as unknown as Request;
const outcome = (headers: Record<string, string>, current: unknown = view) => {
  try {
    checkIfMatch(withHeaders(headers), current);
    return 'allowed';
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe('entity tags', () => {
  it('are strong, and the same for the same content only', () => {
    expect(etagOf(view)).toMatch(/^"[\w-]{27}"$/);
    expect(etagOf({ ...view })).toBe(etagOf(view));
    expect(etagOf({ ...view, name: 'b' })).not.toBe(etagOf(view));
  });

  it.each([
    ['no precondition', {}, 'allowed'],
    ['the tag', { 'if-match': etagOf(view) }, 'allowed'],
    ['the tag among others', { 'if-match': `"x, y", ${etagOf(view)}` }, 'allowed'],
    ['any tag', { 'if-match': '*' }, 'allowed'],
    ['another tag', { 'if-match': '"x"' }, 'precondition_failed'],
    ['the tag marked weak, which If-Match does not take', { 'if-match': `W/${etagOf(view)}` }, 'precondition_failed'],
    ['the tag without quotes', { 'if-match': etagOf(view).replaceAll('"', '') }, 'precondition_failed'],
    ['nothing', { 'if-match': '' }, 'precondition_failed'],
    ['If-None-Match with any tag', { 'if-none-match': '*' }, 'precondition_failed'],
  ])('of a change with %s', (_, headers, expected) => {
    expect(outcome(headers as Record<string, string>)).toBe(expected);
  });

  it('of what is not there match nothing', () => {
    expect(outcome({ 'if-match': '*' }, null)).toBe('precondition_failed');
    expect(outcome({ 'if-none-match': '*' }, null)).toBe('allowed');
    expect(outcome({}, null)).toBe('allowed');
  });
});
