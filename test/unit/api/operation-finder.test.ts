import { describe, expect, it } from 'vitest';
import { createOperationFinder, declareOperations } from '../../../src/http/api-schema.ts';

const operations = declareOperations('Things', [
  { method: 'get', path: '/things/{thing_id}', summary: 'Read', answers: { 200: null } },
  { method: 'get', path: '/things/newest', summary: 'Read the newest', answers: { 200: null } },
  { method: 'post', path: '/things/{thing_id}/parts/{part}', summary: 'Act', answers: { 200: null } },
]);
const find = createOperationFinder(operations);
const found = (method: string, path: string) => find(method, path)?.operation.summary;

describe('the operation of a request', () => {
  it('is found by method and path, a literal segment before a parameter', () => {
    expect(found('GET', '/things/1')).toBe('Read');
    expect(found('GET', '/things/newest')).toBe('Read the newest');
    expect(found('GET', '/things/1/')).toBe('Read');
    expect(find('POST', '/things/1/parts/a%2Fb')?.params).toEqual({ thing_id: '1', part: 'a/b' });
  });

  it('is none for another method, another case, more or fewer segments', () => {
    for (const [method, path] of [
      ['PUT', '/things/1'],
      ['GET', '/Things/1'],
      ['GET', '/things/1/2'],
      ['GET', '/things/'],
      ['GET', '/'],
      ['GET', '/things/%'],
    ]) {
      expect(found(method as string, path as string)).toBeUndefined();
    }
  });
});
