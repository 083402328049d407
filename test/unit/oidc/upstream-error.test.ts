import { describe, expect, test } from 'vitest';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import { authorizationError, errorReason, statusError, upstreamError } from '../../../src/oidc/upstream-error.ts';

describe('an error code of an IdP', () => {
  test('is kept as a reason when it looks like one', () => {
    expect(errorReason('access_denied')).toBe('access_denied');
    expect(errorReason('AADSTS50105')).toBe('AADSTS50105');
  });

  test.each([['line\nbreak'], ['\u001b[31mred'], ['x'.repeat(65)], [''], ['a b'], ['<script>'], [undefined]])(
    'is replaced when it does not: %j',
    (code) => {
      expect(errorReason(code)).toBe('unknown_error');
    },
  );

  test.each([
    ['access_denied', 'upstream_denied'],
    ['account_selection_required', 'upstream_denied'],
    ['something_new', 'upstream_denied'],
    ['invalid_scope', 'upstream_misconfigured'],
    ['server_error', 'upstream_unavailable'],
  ])('%s tells who has to act: %s', (code, expected) => {
    expect(authorizationError(code)).toMatchObject({ code: expected, reason: code });
  });
});

describe('a failed request to an IdP', () => {
  test('keeps the refusal of our own client, however deep the library wrapped it', () => {
    const ours = new BrokerError('upstream_unavailable', 'https://idp.example: no complete answer', { reason: 'timeout' });
    const wrapped = new Error('something went wrong', { cause: new Error('wrapped', { cause: ours }) });
    expect(upstreamError('token endpoint', wrapped)).toBe(ours);
  });

  test.each(['blocked_address', 'http_not_allowed', 'redirect', 'too_large'])(
    'that no waiting mends is a misconfiguration: %s',
    (reason) => {
      const ours = new BrokerError('upstream_unavailable', 'https://idp.example: refused', { reason });
      expect(upstreamError('discovery document', ours)).toMatchObject({ code: 'upstream_misconfigured', reason });
    },
  );

  test('by an error of ours is internal', () => {
    expect(upstreamError('token endpoint', new TypeError('x is not a function'))).toMatchObject({ code: 'internal' });
  });

  test.each([
    [500, 'upstream_unavailable'],
    [429, 'upstream_unavailable'],
    [404, 'upstream_misconfigured'],
    [302, 'upstream_misconfigured'],
  ])('with status %i is %s', (status, code) => {
    expect(statusError('JWKS', status)).toMatchObject({ code, reason: `http_${status}` });
  });
});
