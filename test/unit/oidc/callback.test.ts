import { describe, expect, test } from 'vitest';
import { type CallbackExpectation, checkCallback } from '../../../src/oidc/callback.ts';

const issuer = 'https://idp.example';
const expected: CallbackExpectation = { state: 'state-1', issuer, issuerRequired: true };
const good = { code: 'code-1', state: 'state-1', iss: issuer };

function verdictOn(query: string, changes: Partial<CallbackExpectation> = {}): unknown {
  try {
    checkCallback(new URLSearchParams(query), { ...expected, ...changes });
    return 'accepted';
  } catch (error) {
    return error;
  }
}
const query = (changes: Record<string, string | undefined> = {}) => {
  const entries = Object.entries({ ...good, ...changes }).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return new URLSearchParams(entries).toString();
};

describe('the parameters of a callback', () => {
  test('are accepted when they belong to this login and IdP', () => {
    expect(verdictOn(query())).toBe('accepted');
    expect(verdictOn(query({ iss: undefined }), { issuerRequired: false })).toBe('accepted');
    expect(verdictOn(query({ session_state: 'anything else' }))).toBe('accepted');
  });

  test.each([
    ['another state', query({ state: 'state-2' }), 'state_mismatch'],
    ['no state', query({ state: undefined }), 'state_mismatch'],
    ['an empty state', query({ state: '' }), 'state_mismatch'],
    ['another issuer', query({ iss: 'https://evil.example' }), 'iss_mismatch'],
    ['an issuer that differs by a slash', query({ iss: `${issuer}/` }), 'iss_mismatch'],
    ['no issuer', query({ iss: undefined }), 'iss_missing'],
    ['two states', `${query()}&state=state-2`, 'parameter_repeated'],
    ['two equal codes', `${query()}&code=code-1`, 'parameter_repeated'],
    ['two errors', `${query()}&error=a&error=b`, 'parameter_repeated'],
    ['no code', query({ code: undefined }), 'code_missing'],
    ['an empty code', query({ code: '' }), 'code_missing'],
    ['an ID token in the address', query({ id_token: 'x' }), 'response_type_mismatch'],
    ['an access token in the address', query({ access_token: 'x' }), 'response_type_mismatch'],
    ['a signed response in the address', query({ response: 'x' }), 'response_type_mismatch'],
  ])('with %s are refused', (_, parameters, reason) => {
    expect(verdictOn(parameters)).toMatchObject({ code: 'assertion_rejected', reason });
  });

  test('that do not belong to this login are refused for that, whatever error they carry', () => {
    expect(verdictOn(query({ error: 'access_denied', state: 'state-2' }))).toMatchObject({ reason: 'state_mismatch' });
    expect(verdictOn(query({ error: 'access_denied', iss: 'https://evil.example' }))).toMatchObject({ reason: 'iss_mismatch' });
    expect(verdictOn(query({ error: 'access_denied' }))).toMatchObject({ code: 'upstream_denied', reason: 'access_denied' });
  });
});
