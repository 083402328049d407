import { describe, expect, it } from 'vitest';
import { claimsByScope, claimsOf } from '../../../src/provider/claims.ts';
import { ada } from '../../support/provider-world.ts';

describe('claims about an account', () => {
  it('R29 name per workspace the role, the groups and the version', () => {
    expect(claimsOf(ada).memberships).toEqual([
      {
        workspace_id: ada.memberships[0]?.workspaceId,
        workspace: 'acme',
        role: 'builder',
        groups: ['design', 'ops'],
        membership_version: 7,
      },
    ]);
    expect(claimsOf({ ...ada, memberships: [] }).memberships).toEqual([]);
  });

  it('R29 say nothing about the verification of an e-mail address that there is not', () => {
    const claims = claimsOf({ ...ada, email: null, emailVerified: true });
    expect(claims).not.toHaveProperty('email');
    expect(claims).not.toHaveProperty('email_verified');
    expect(claimsOf({ ...ada, emailVerified: false })).toMatchObject({ email: 'ada@example.com', email_verified: false });
  });

  it('R29 belong to a scope each, so that none is left out', () => {
    const scoped: readonly string[] = Object.values(claimsByScope).flat();
    expect(Object.keys(claimsOf(ada)).filter((claim) => !scoped.includes(claim))).toEqual([]);
  });
});
