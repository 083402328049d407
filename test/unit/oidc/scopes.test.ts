import { describe, expect, test } from 'vitest';
import { scopesFor } from '../../../src/oidc/scopes.ts';

describe('R14 scopes', () => {
  test.each([
    [[], undefined, ['openid', 'email', 'profile', 'groups']],
    [[], ['openid', 'groups'], ['openid', 'email', 'profile', 'groups']],
    [[], ['openid', 'email', 'profile', 'offline_access'], ['openid', 'email', 'profile']],
    [['openid', 'groups'], ['openid'], ['openid', 'groups']],
    [['email', 'email'], undefined, ['openid', 'email']],
  ])('R14 %j at an IdP that publishes %j are %j', (configured, supported, expected) => {
    expect(scopesFor(configured, supported)).toEqual(expected);
  });
});
