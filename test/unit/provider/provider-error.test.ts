import { errors } from 'oidc-provider';
import { describe, expect, it } from 'vitest';
import { BrokerError, type BrokerErrorCode, errorFaces } from '../../../src/domain/broker-error.ts';
import { oauthError, toLibraryError, toPageError } from '../../../src/provider/provider-error.ts';

describe('errors towards the app', () => {
  const codes = Object.keys(errorFaces) as BrokerErrorCode[];

  it.each(codes)('%s has the code of the table, plain words and the reference, in the characters of RFC 6749 4.1.2.1', (code) => {
    const told = oauthError(new BrokerError(code, 'detail "for" the log\n', { reason: 'some_reason' }), '0190d000');
    expect(told.error).toBe(errorFaces[code].oauth);
    expect(told.error_description).toBe(`${errorFaces[code].title} (${code}, some_reason; reference 0190d000)`);
    expect(told.error_description).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
    expect(told.error_description).not.toContain('detail');
  });

  it('leave out the reason where there is none, and characters that the RFC does not allow', () => {
    expect(oauthError(new BrokerError('internal', ''), 'a"b\\c\r\nd').error_description).toBe(
      'Something went wrong on our side (internal; reference abcd)',
    );
  });
});

describe('errors of ours on their way through the library', () => {
  it('keep status, code and cause', () => {
    const ours = new BrokerError('unavailable', 'Postgres is away');
    expect(toLibraryError(ours)).toMatchObject({
      status: 503,
      statusCode: 503,
      error: 'temporarily_unavailable',
      error_description: 'Signing in is not possible at the moment',
      cause: ours,
    });
    expect(toPageError(toLibraryError(ours) as Error)).toBe(ours);
  });

  it('know a database that is away by its own words', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    expect(toLibraryError(refused)).toMatchObject({ error: 'temporarily_unavailable', cause: { code: 'unavailable' } });
    const bug = new TypeError('x is not a function');
    expect(toLibraryError(bug)).toBe(bug);
  });

  it.each([
    [new errors.SessionNotFound('interaction session not found'), 'login_expired', 'interaction_gone'],
    [new errors.InvalidRedirectUri(), 'invalid_request', 'invalid_redirect_uri'],
    [new errors.InvalidClient('client is invalid', 'client not found'), 'invalid_request', 'invalid_client'],
    [new TypeError('x is not a function'), 'internal', undefined],
  ])('become a page: %s', (error, code, reason) => {
    expect(toPageError(error)).toMatchObject({ code, reason, cause: error });
  });
});
