import type { User } from '../domain/user.ts';

/** A person as the app sees them after a login by one connection. */
export interface Account extends Omit<User, 'status'> {
  /** Only those that the connection of this login serves: a customer's own IdP never vouches for another workspace. */
  readonly memberships: readonly AccountMembership[];
}

export interface AccountMembership {
  readonly workspaceId: string;
  readonly workspaceSlug: string;
  readonly role: string;
  /** Names, in code point order. */
  readonly groups: readonly string[];
  readonly version: number;
}

/**
 * Claims by scope, the same in the ID token and in userinfo (R29). Memberships are what an app integrates Rollcall for, so they
 * come with `openid` and need no scope of their own; `sid` and `auth_time` stand in the ID token only.
 */
export const claimsByScope = {
  openid: ['sub', 'sid', 'auth_time', 'memberships'],
  email: ['email', 'email_verified'],
  profile: ['name', 'given_name', 'family_name'],
} as const;

/** Every claim about the account; oidc-provider leaves out what the granted scopes do not cover. */
export function claimsOf({ userId, email, emailVerified, name, givenName, familyName, memberships }: Account) {
  return {
    sub: userId,
    // OpenID Connect Core 5.3.2: a claim without a value is left out, not sent as null.
    ...(email !== null && { email, email_verified: emailVerified }),
    ...(name !== null && { name }),
    ...(givenName !== null && { given_name: givenName }),
    ...(familyName !== null && { family_name: familyName }),
    memberships: memberships.map(membershipClaim),
  };
}

function membershipClaim({ workspaceId, workspaceSlug, role, groups, version }: AccountMembership) {
  return {
    workspace_id: workspaceId,
    workspace: workspaceSlug,
    role,
    groups,
    membership_version: version,
  };
}
