/** What `saml/` and `oidc/` return after they verified an IdP's answer; nothing else leaves those folders. */
export interface FederatedIdentity {
  /** SAML entityID or OIDC issuer. */
  readonly issuer: string;
  /** SAML NameID or OIDC `sub`; unique within the connection. */
  readonly subject: string;
  readonly profile: Profile;
  /** Where a group claim may stand, in the order in which it is looked up (R14). */
  readonly claims: readonly ClaimSource[];
  /**
   * The IdP's single-use identifier of this answer (SAML assertion ID; OIDC: the pending login's id) and until when, as the
   * answer itself says, it could be presented again.
   */
  readonly answerId: string;
  readonly answerExpiresAt: Date;
  /** When the IdP authenticated the user, if it says so. */
  readonly authenticatedAt: Date | null;
  /** SAML SessionIndex or OIDC `sid`, for a later logout. */
  readonly sessionId: string | null;
}

export interface Profile {
  /** Lower-cased domain, local part as sent; null when the IdP sent none. */
  readonly email: string | null;
  readonly emailVerified: boolean;
  readonly name: string | null;
  readonly givenName: string | null;
  readonly familyName: string | null;
}

export interface ClaimSource {
  readonly source: 'saml_attributes' | 'id_token' | 'userinfo' | 'access_token';
  /** Own properties only: look up with `Object.hasOwn`, a claim may be called `__proto__`. SAML values are arrays of strings. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** R25: unknown is not empty. */
export type Groups =
  | { readonly state: 'known'; readonly names: readonly string[]; readonly source: ClaimSource['source'] }
  | { readonly state: 'unknown'; readonly reason: UnknownGroupsReason; readonly detail: string };

/** `malformed`: the claim is there but in none of the shapes of R24. */
export type UnknownGroupsReason = 'absent' | 'overage' | 'truncated' | 'malformed';
