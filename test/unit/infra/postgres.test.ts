import { expect, test } from 'vitest';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import { isDatabaseUnavailable } from '../../../src/infra/postgres.ts';

const withCode = (code: string) => Object.assign(new Error('x'), { code });

test.each([
  'ECONNREFUSED',
  'ECONNRESET',
  'ETIMEDOUT',
  'ENOTFOUND',
  '08006',
  '08P01',
  '57P01',
  '57P03',
  '53300',
  '57014',
  '25P03',
  '25006',
])('the code %s says that the database is unavailable', (code) => expect(isDatabaseUnavailable(withCode(code))).toBe(true));

test.each(['23505', '42P01', '22P02', '28P01', '3D000', '40001', 'ENOENT'])('the code %s does not', (code) => {
  expect(isDatabaseUnavailable(withCode(code))).toBe(false);
});

test('looks behind errors that wrap another', () => {
  expect(isDatabaseUnavailable(new Error('outer', { cause: withCode('ECONNREFUSED') }))).toBe(true);
  expect(isDatabaseUnavailable(new Error('outer', { cause: withCode('23505') }))).toBe(false);
});

test('leaves alone what was judged already, such as a connection that an IdP refused', () => {
  const refused = new BrokerError('upstream_unavailable', 'the IdP refuses connections', { cause: withCode('ECONNREFUSED') });
  expect(isDatabaseUnavailable(refused)).toBe(false);
  expect(isDatabaseUnavailable(new Error('outer', { cause: refused }))).toBe(false);
});

test.each([
  'Connection terminated unexpectedly',
  'timeout expired',
  'Knex: Timeout acquiring a connection. The pool is probably full.',
])('knows the message "%s", which has no code', (message) => expect(isDatabaseUnavailable(new Error(message))).toBe(true));

test.each([undefined, null, 'ECONNREFUSED', { code: 'ECONNREFUSED' }])('%j is not an error of the database', (thrown) => {
  expect(isDatabaseUnavailable(thrown)).toBe(false);
});
