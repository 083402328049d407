import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Attack, attacks, type TokenInMaking } from './oidc-attacks.ts';
import { correctBehaviour, type Endpoint, type OidcIdpBehaviour, type OidcIdpUser } from './oidc-behaviour.ts';
import { type Answer, bodyOf, clientCredentials, json, text } from './oidc-http.ts';

import { type Algorithm, accessTokenHash, createTokenFinisher, generateKey, publicJwk } from './oidc-tokens.ts';

export type { OidcIdpBehaviour, OidcIdpUser } from './oidc-behaviour.ts';

/** A small, correct OpenID Provider on loopback http that can be told to deviate; for tests and the benchmark. */
export interface OidcIdp {
  readonly issuer: string;
  readonly client: { readonly id: string; readonly secret: string };
  readonly users: Map<string, OidcIdpUser>;
  readonly behaviour: OidcIdpBehaviour;
  /** Requests served so far, by endpoint. */
  readonly served: Record<Endpoint, number>;
  /** The last authorization request. */
  readonly lastAuthorization: () => URLSearchParams;
  /**
   * Publishes a new key only, and signs with it from now on. `sameKeyId`: the new key bears the old one's name. `signOn`: as if the old
   * one were stolen and still used.
   */
  rotateKeys(options?: { readonly sameKeyId?: boolean; readonly signOn?: boolean }): void;
  /** Back to correct behaviour. */
  behave(): void;
  stop(): Promise<void>;
}

export interface OidcIdpOptions {
  readonly algorithm?: Algorithm;
  readonly users?: Readonly<Record<string, OidcIdpUser>>;
  readonly rsaBits?: number;
  readonly port?: number;
  /** Path of the issuer, for example `/realms/acme`. */
  readonly path?: string;
  readonly client?: { readonly id: string; readonly secret: string };
}

interface Grant {
  readonly user: OidcIdpUser;
  readonly nonce: string | null;
  readonly redirectUri: string;
  readonly codeChallenge: string;
}

export async function startOidcIdp(options: OidcIdpOptions = {}): Promise<OidcIdp> {
  const { algorithm = 'ES256', path = '', client = { id: 'rollcall', secret: 'secret with spaces: & % +' } } = options;
  const users = new Map(Object.entries(options.users ?? {}));
  const behaviour = correctBehaviour();
  const served: Record<Endpoint, number> = { discovery: 0, jwks: 0, authorize: 0, token: 0, userinfo: 0 };
  const grants = new Map<string, Grant>();
  const accessTokens = new Map<string, OidcIdpUser>();
  let signingKey = generateKey(algorithm, options.rsaBits);
  let publishedKey = signingKey;
  let lastAuthorization = new URLSearchParams();
  let issuer = '';
  const finish = createTokenFinisher({ algorithm, clientSecret: client.secret, signingKey: () => signingKey });

  const attack = (): Attack => (behaviour.attack === null ? {} : attacks[behaviour.attack]);
  const nowSeconds = () => Math.floor(Date.now() / 1000);
  const tokenHeader = () => ({ alg: algorithm, typ: 'JWT', ...(behaviour.sendKeyId ? { kid: signingKey.keyId } : {}) });

  function metadata(): Record<string, unknown> {
    return {
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: `${issuer}/token`,
      userinfo_endpoint: `${issuer}/userinfo`,
      jwks_uri: `${issuer}/jwks`,
      response_types_supported: ['code'],
      response_modes_supported: ['query', 'fragment'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: [algorithm],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
      code_challenge_methods_supported: ['S256'],
      scopes_supported: ['openid', 'email', 'profile', 'groups'],
      authorization_response_iss_parameter_supported: true,
      ...behaviour.metadata,
    };
  }

  function authorize(request: URLSearchParams): Answer {
    lastAuthorization = request;
    const redirectUri = request.get('redirect_uri');
    if (request.get('client_id') !== client.id || redirectUri === null) return text(400, 'unknown client or redirect_uri');
    const user = users.get(request.get('login_hint') ?? behaviour.defaultUser ?? '');
    const answer = new URLSearchParams({ state: request.get('state') ?? '', iss: issuer });
    const error = behaviour.authorizationError ?? authorizationError(request, metadata(), user);
    for (const [name, value] of Object.entries(error ?? {})) answer.set(name, value);
    if (user !== undefined && error === null) {
      const code = randomBytes(24).toString('base64url');
      const codeChallenge = request.get('code_challenge') ?? '';
      grants.set(code, { user, nonce: request.get('nonce'), redirectUri, codeChallenge });
      answer.set('code', code);
    }
    attack().callback?.(answer);
    const location = `${redirectUri}${redirectUri.includes('?') ? '&' : '?'}${answer}`;
    return { status: 302, headers: { location }, body: '' };
  }

  function token(request: IncomingMessage, form: URLSearchParams): Answer {
    const credentials = clientCredentials(request, form);
    const supported = metadata().token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
    const methodAllowed = Array.isArray(supported) && supported.includes(credentials.method);
    if (
      credentials.id !== client.id ||
      !methodAllowed ||
      (credentials.method !== 'none' && credentials.secret !== client.secret)
    ) {
      return json({ error: 'invalid_client' }, 401);
    }
    const grant = grants.get(form.get('code') ?? '');
    grants.delete(form.get('code') ?? '');
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    if (!grant || grant.codeChallenge !== challenge || grant.redirectUri !== form.get('redirect_uri')) {
      return json({ error: 'invalid_grant', error_description: 'code, verifier or redirect_uri is wrong' }, 400);
    }
    const accessToken = issueAccessToken(grant.user);
    const idToken = issueIdToken(grant, accessToken);
    const answer = { access_token: accessToken, token_type: 'Bearer', expires_in: 300, id_token: idToken };
    attack().tokenResponse?.(answer);
    return json(answer);
  }

  function issueIdToken({ user, nonce }: Grant, accessToken: string): string {
    const now = nowSeconds();
    const times = { iat: now, exp: now + 300, auth_time: now - 5 };
    const claims: Record<string, unknown> = { iss: issuer, sub: user.sub, aud: client.id, ...times, sid: `sid-${user.sub}` };
    if (nonce !== null) claims.nonce = nonce;
    claims.at_hash = accessTokenHash(algorithm, accessToken);
    if (behaviour.emailIn === 'id_token') Object.assign(claims, emailClaims(user));
    if (user.name !== undefined) claims.name = user.name;
    if (behaviour.groupsIn === 'id_token' && user.groups !== undefined) claims.groups = user.groups;
    if (behaviour.groupsIn === 'overage') claims._claim_names = { groups: 'src1' };
    // Not Object.assign: a claim may be called `__proto__`.
    for (const [name, value] of Object.entries(user.claims ?? {})) {
      Object.defineProperty(claims, name, { value, enumerable: true, configurable: true, writable: true });
    }
    const making: TokenInMaking = { claims, header: tokenHeader(), signWith: 'published-key' };
    attack().idToken?.(making, now);
    const jwt = finish(making);
    return attack().compact?.(jwt) ?? jwt;
  }

  function issueAccessToken(user: OidcIdpUser): string {
    const now = nowSeconds();
    const claims: Record<string, unknown> = { iss: issuer, sub: user.sub, aud: 'api', iat: now, exp: now + 300 };
    claims.jti = randomBytes(8).toString('hex');
    if (behaviour.groupsIn === 'access_token' && user.groups !== undefined) claims.groups = user.groups;
    const making: TokenInMaking = { claims, header: { ...tokenHeader(), typ: 'at+jwt' }, signWith: 'published-key' };
    attack().accessToken?.(making, now);
    const issued = behaviour.accessToken === 'jwt' ? finish(making) : randomBytes(24).toString('base64url');
    accessTokens.set(issued, user);
    const [oldest] = accessTokens.keys();
    if (accessTokens.size > 10_000 && oldest !== undefined) accessTokens.delete(oldest);
    return issued;
  }

  function userinfo(request: IncomingMessage): Answer {
    const user = accessTokens.get((request.headers.authorization ?? '').replace(/^Bearer /, ''));
    if (user === undefined || behaviour.userinfo === 'challenge') {
      return { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' }, body: '' };
    }
    const claims: Record<string, unknown> = { sub: user.sub };
    if (behaviour.emailIn === 'userinfo') Object.assign(claims, emailClaims(user));
    if (behaviour.groupsIn === 'userinfo' && user.groups !== undefined) claims.groups = user.groups;
    attack().userinfo?.(claims);
    switch (behaviour.userinfo) {
      case 'json':
        return json(claims);
      case 'jwt': {
        const now = nowSeconds();
        const making: TokenInMaking = {
          claims: { iss: issuer, aud: client.id, ...claims },
          header: tokenHeader(),
          signWith: 'published-key',
        };
        attack().signedUserinfo?.(making, now);
        return { status: 200, headers: { 'content-type': 'application/jwt' }, body: finish(making) };
      }
      case 'garbage':
        return text(200, '<html>');
      case 'error':
        return json({ error: 'server_error' }, 500);
      default:
        return behaviour.userinfo satisfies never;
    }
  }

  async function answerTo(request: IncomingMessage): Promise<Answer> {
    const url = new URL(request.url ?? '/', issuer);
    const name = endpointOf(url.pathname.slice(path.length));
    if (name === null) return text(404, 'not found');
    served[name]++;
    const delay = behaviour.delayMilliseconds[name];
    if (delay !== undefined) await new Promise((resolve) => setTimeout(resolve, delay));
    const form = new URLSearchParams(await bodyOf(request));
    const instead = behaviour.instead[name];
    if (instead) return { status: instead.status, headers: { 'content-type': 'application/json' }, body: instead.body };
    switch (name) {
      case 'discovery':
        return json(metadata());
      case 'jwks':
        return json({ keys: [...behaviour.otherKeys, publicJwk(publishedKey, algorithm)] });
      case 'authorize':
        return authorize(url.searchParams);
      case 'token':
        return token(request, form);
      case 'userinfo':
        return userinfo(request);
      default:
        return name satisfies never;
    }
  }

  const server = createServer((request, response) => {
    answerTo(request).then(
      ({ status, headers, body }) =>
        response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body),
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;

  return {
    issuer,
    client,
    users,
    behaviour,
    served,
    lastAuthorization: () => lastAuthorization,
    rotateKeys({ sameKeyId = false, signOn = false } = {}) {
      const next = generateKey(algorithm, options.rsaBits);
      publishedKey = sameKeyId ? { ...next, keyId: signingKey.keyId } : next;
      if (!signOn) signingKey = publishedKey;
    },
    behave() {
      Object.assign(behaviour, correctBehaviour());
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The browser's part: opens the authorization URL, is signed in at once, and returns where the IdP sends it back to. */
export async function answerOf(authorizationUrl: string): Promise<URL> {
  const response = await fetch(authorizationUrl, { redirect: 'manual' });
  const location = response.headers.get('location');
  if (location === null) throw new Error(`the IdP answered ${response.status}: ${await response.text()}`);
  return new URL(location);
}

function authorizationError(
  request: URLSearchParams,
  { scopes_supported: supported }: Record<string, unknown>,
  user: OidcIdpUser | undefined,
): { error: string } | null {
  if (request.get('response_type') !== 'code' || request.get('code_challenge_method') !== 'S256')
    return { error: 'invalid_request' };
  const scopes = (request.get('scope') ?? '').split(' ');
  const unknownScope = Array.isArray(supported) && scopes.some((scope) => !supported.includes(scope));
  if (unknownScope || !scopes.includes('openid')) return { error: 'invalid_scope' };
  return user === undefined ? { error: 'login_required' } : null;
}

function endpointOf(path: string): Endpoint | null {
  if (path === '/.well-known/openid-configuration') return 'discovery';
  const name = path.slice(1);
  return name === 'jwks' || name === 'authorize' || name === 'token' || name === 'userinfo' ? name : null;
}

function emailClaims(user: OidcIdpUser): Record<string, unknown> {
  return user.email === undefined ? {} : { email: user.email, email_verified: user.emailVerified ?? true };
}
