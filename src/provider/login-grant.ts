/**
 * What one login allows one client: oidc-provider's *grant*. Its id carries all of it, so a grant is never stored by itself: it lies
 * inside the code, the access token and the session, and travels with them to `loadAccount`. Such ids stay in the store; no request
 * brings one in and no answer shows one, so they need no signature.
 */
export interface LoginGrant {
  /** Names the grant where it is revoked, and to the app as the `sid` claim. */
  readonly grantKey: string;
  readonly userId: string;
  readonly clientId: string;
  readonly scope: string;
  /** The connection that vouched for the user: the answer to the app carries only memberships which it serves. */
  readonly connectionId: string;
  readonly loginId: string;
  /** Milliseconds since 1970; the moment the login ended, by our clock. */
  readonly signedInAt: number;
  /** Seconds since 1970. */
  readonly expiresAt: number;
  /** Stands for the workspace, connection and login hint that the app asked for; empty without sessions. */
  readonly selector: string;
}

export function formatGrantId(grant: LoginGrant): string {
  const { grantKey, userId, clientId, scope, connectionId, loginId, signedInAt, expiresAt, selector } = grant;
  return JSON.stringify([grantKey, userId, clientId, scope, connectionId, loginId, signedInAt, expiresAt, selector]);
}

/** @returns null if this is no id of ours, as after a change of its form */
export function parseGrantId(grantId: string): LoginGrant | null {
  const parts = parseJson(grantId);
  if (!isGrantParts(parts)) return null;
  const [grantKey, userId, clientId, scope, connectionId, loginId, signedInAt, expiresAt, selector] = parts;
  return { grantKey, userId, clientId, scope, connectionId, loginId, signedInAt, expiresAt, selector };
}

type GrantParts = [string, string, string, string, string, string, number, number, string];
const partTypes = ['string', 'string', 'string', 'string', 'string', 'string', 'number', 'number', 'string'] as const;

function isGrantParts(parts: unknown): parts is GrantParts {
  return (
    Array.isArray(parts) && parts.length === partTypes.length && partTypes.every((type, index) => typeof parts[index] === type)
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
