import type { AttackName } from './oidc-attacks.ts';

export interface OidcIdpUser {
  readonly sub: string;
  readonly email?: string;
  readonly emailVerified?: unknown;
  readonly name?: string;
  readonly groups?: unknown;
  /** Anything else for the ID token. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

export interface OidcIdpBehaviour {
  attack: AttackName | null;
  groupsIn: 'id_token' | 'userinfo' | 'access_token' | 'overage' | 'nowhere';
  emailIn: 'id_token' | 'userinfo' | 'nowhere';
  userinfo: 'json' | 'jwt' | 'error' | 'garbage' | 'challenge';
  accessToken: 'opaque' | 'jwt';
  /** Laid over the discovery document; `undefined` takes a member away. */
  metadata: Record<string, unknown>;
  /** Answers the authorization request with this error instead of a code. */
  authorizationError: { readonly error: string; readonly error_description?: string } | null;
  /** The user when the request carries no login_hint. */
  defaultUser: string | null;
  delayMilliseconds: Partial<Record<Endpoint, number>>;
  /** Answers with this HTTP status and body, whatever was asked. */
  instead: Partial<Record<Endpoint, { readonly status: number; readonly body: string }>>;
  /** Puts `kid` into JWS headers. */
  sendKeyId: boolean;
  /** More keys for the JWKS, before the one that signs. */
  otherKeys: readonly Record<string, unknown>[];
}

export type Endpoint = 'discovery' | 'jwks' | 'authorize' | 'token' | 'userinfo';

/** Behaviour without a flaw. */
export const correctBehaviour = (): OidcIdpBehaviour => ({
  attack: null,
  groupsIn: 'id_token',
  emailIn: 'id_token',
  userinfo: 'json',
  accessToken: 'opaque',
  metadata: {},
  authorizationError: null,
  defaultUser: null,
  delayMilliseconds: {},
  instead: {},
  sendKeyId: true,
  otherKeys: [],
});
