import type { ClaimSource, FederatedIdentity, Profile } from '../domain/federated-identity.ts';

/** A federated identity with what an operator should find in the login's trace besides. */
export interface OidcIdentity extends FederatedIdentity {
  /** The checks that the ID token passed, with their sections. */
  readonly checks: readonly { readonly name: string; readonly section: string }[];
  /** Sources that were asked and gave nothing, for example `userinfo_failed:timeout`. */
  readonly notes: readonly string[];
}

type Claims = ClaimSource['claims'];

/** Name, e-mail and the rest of the profile: each from the first source that has it. */
export function profileOf(sources: readonly ClaimSource[]): Profile {
  const trusted = sources.filter(({ source }) => source !== 'access_token').map(({ claims }) => claims);
  const first = (name: string) => trusted.map((claims) => text(claims, name)).find((value) => value !== null) ?? null;
  return { ...emailOf(trusted), name: first('name'), givenName: first('given_name'), familyName: first('family_name') };
}

/** The address and its `email_verified` come from one source: a verdict on another address must not be taken for this one's. */
function emailOf(sources: readonly Claims[]): Pick<Profile, 'email' | 'emailVerified'> {
  for (const claims of sources) {
    const email = withLowerCaseDomain(text(claims, 'email'));
    if (email !== null) return { email, emailVerified: isTrue(own(claims, 'email_verified')) };
  }
  return { email: null, emailVerified: false };
}

/** Some IdPs (Amazon Cognito) send the boolean as a string; nothing else counts as true. */
function isTrue(value: unknown): boolean {
  return value === true || value === 'true';
}

/** RFC 5321 2.4: the local part belongs to its host and stays as sent; the domain does not tell cases apart. */
function withLowerCaseDomain(address: string | null): string | null {
  const parts = /^([^\s@]+)@([^\s@]+)$/.exec(address ?? '');
  return parts ? `${parts[1]}@${parts[2]?.toLowerCase()}` : null;
}

/** OIDC Core 2: seconds since the epoch; what is not a sensible time is not an answer. */
export function authenticationTime(claims: Claims): Date | null {
  const value = own(claims, 'auth_time');
  return typeof value === 'number' && value > 0 && value < 253_402_300_800 ? new Date(value * 1000) : null;
}

/** OIDC Front-Channel Logout 3. */
export function sessionIdOf(claims: Claims): string | null {
  return text(claims, 'sid');
}

/** A line of text fit for a page and a database, or nothing. */
function text(claims: Claims, name: string): string | null {
  const value = own(claims, name);
  if (typeof value !== 'string' || !value.isWellFormed() || /\p{Cc}/u.test(value)) return null;
  const trimmed = value.trim();
  return trimmed.length > 0 && trimmed.length <= 320 ? trimmed : null;
}

function own(claims: Claims, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}
