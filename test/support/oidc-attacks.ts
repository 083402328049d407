/**
 * What a hostile or broken OpenID Provider does, one deviation each: `startOidcIdp` applies the chosen one to an otherwise correct
 * answer, so that every attack has its accepted twin by construction.
 */
export interface TokenInMaking {
  readonly claims: Record<string, unknown>;
  readonly header: Record<string, unknown>;
  /** Which key signs: the published one, none at all, an HMAC over something that the attacker knows, or a key of his own. */
  signWith: 'published-key' | 'nothing' | 'public-key-as-hmac' | 'client-secret-as-hmac' | 'foreign-key';
}

export interface Attack {
  readonly idToken?: (token: TokenInMaking, nowSeconds: number) => void;
  /** The finished compact serialization. */
  readonly compact?: (jwt: string) => string;
  readonly callback?: (parameters: URLSearchParams) => void;
  readonly userinfo?: (claims: Record<string, unknown>) => void;
  readonly accessToken?: (token: TokenInMaking, nowSeconds: number) => void;
  readonly signedUserinfo?: (token: TokenInMaking, nowSeconds: number) => void;
  readonly tokenResponse?: (body: Record<string, unknown>) => void;
}

const claim =
  (name: string, value: unknown): NonNullable<Attack['idToken']> =>
  ({ claims }) => {
    if (value === undefined) delete claims[name];
    else claims[name] = value;
  };

const timed =
  (name: string, offsetSeconds: number): NonNullable<Attack['idToken']> =>
  ({ claims }, nowSeconds) => {
    claims[name] = nowSeconds + offsetSeconds;
  };

export const attacks = {
  wrong_nonce: { idToken: claim('nonce', 'nonce-of-another-login') },
  missing_nonce: { idToken: claim('nonce', undefined) },
  wrong_audience: { idToken: claim('aud', 'another-client') },
  audience_list_without_us: { idToken: claim('aud', ['another-client', 'a-third-client']) },
  missing_audience: { idToken: claim('aud', undefined) },
  second_audience_without_azp: {
    idToken: ({ claims }) => {
      claims.aud = [claims.aud, 'another-client'];
    },
  },
  wrong_azp: { idToken: claim('azp', 'another-client') },
  wrong_issuer: { idToken: claim('iss', 'https://evil.example') },
  issuer_with_trailing_slash: {
    idToken: ({ claims }) => {
      claims.iss = `${claims.iss}/`;
    },
  },
  missing_issuer: { idToken: claim('iss', undefined) },
  expired: { idToken: timed('exp', -3_600) },
  missing_expiry: { idToken: claim('exp', undefined) },
  expiry_as_text: { idToken: claim('exp', '9999999999') },
  absurd_expiry: { idToken: claim('exp', 1e300) },
  issued_in_the_future: { idToken: timed('iat', 3_600) },
  missing_issue_time: { idToken: claim('iat', undefined) },
  not_yet_valid: { idToken: timed('nbf', 3_600) },
  missing_subject: { idToken: claim('sub', undefined) },
  empty_subject: { idToken: claim('sub', '') },
  subject_as_number: { idToken: claim('sub', 42) },
  overlong_subject: { idToken: claim('sub', 'x'.repeat(256)) },
  subject_with_nul: { idToken: claim('sub', 'user\u0000') },
  wrong_at_hash: { idToken: claim('at_hash', 'AAAAAAAAAAAAAAAAAAAAAA') },
  algorithm_none: {
    idToken: (token) => {
      token.header.alg = 'none';
      token.signWith = 'nothing';
    },
  },
  hmac_with_public_key: {
    idToken: (token) => {
      token.header.alg = 'HS256';
      token.signWith = 'public-key-as-hmac';
    },
  },
  hmac_with_client_secret: {
    idToken: (token) => {
      token.header.alg = 'HS256';
      token.signWith = 'client-secret-as-hmac';
    },
  },
  foreign_key: {
    idToken: (token) => {
      token.signWith = 'foreign-key';
    },
  },
  foreign_key_with_embedded_jwk: {
    idToken: (token) => {
      token.signWith = 'foreign-key';
      token.header.jwk = 'foreign';
    },
  },
  unknown_kid: {
    idToken: (token) => {
      token.header.kid = `unknown-${Math.random()}`;
      token.signWith = 'foreign-key';
    },
  },
  unknown_critical_header: {
    idToken: ({ header }) => {
      header.crit = ['exotic'];
      header.exotic = true;
    },
  },
  unencoded_payload_header: {
    idToken: ({ header }) => {
      header.crit = ['b64'];
      header.b64 = false;
    },
  },
  changed_payload: {
    compact: (jwt) => {
      const [header = '', payload = '', signature = ''] = jwt.split('.');
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
      const changed = Buffer.from(JSON.stringify({ ...claims, sub: 'admin' })).toString('base64url');
      return `${header}.${changed}.${signature}`;
    },
  },
  stripped_signature: { compact: (jwt) => jwt.slice(0, jwt.lastIndexOf('.') + 1) },
  garbage_token: { compact: () => 'not-a-jwt' },
  encrypted_token: { compact: (jwt) => `${jwt}.AAAA.AAAA` },
  oversized_token: { compact: (jwt) => `${jwt}${'A'.repeat(200_000)}` },
  payload_not_an_object: { compact: (jwt) => jwt.replace(/\.[^.]+\./, `.${Buffer.from('[1]').toString('base64url')}.`) },
  no_id_token: {
    tokenResponse: (body) => {
      delete body.id_token;
    },
  },
  no_access_token: {
    tokenResponse: (body) => {
      delete body.access_token;
    },
  },
  wrong_token_type: {
    tokenResponse: (body) => {
      body.token_type = 'mac';
    },
  },
  missing_iss_parameter: { callback: (parameters) => parameters.delete('iss') },
  wrong_iss_parameter: { callback: (parameters) => parameters.set('iss', 'https://evil.example') },
  doubled_iss_parameter: { callback: (parameters) => parameters.append('iss', 'https://evil.example') },
  wrong_state: { callback: (parameters) => parameters.set('state', 'state-of-another-login') },
  missing_state: { callback: (parameters) => parameters.delete('state') },
  doubled_state: { callback: (parameters) => parameters.append('state', 'state-of-another-login') },
  missing_code: { callback: (parameters) => parameters.delete('code') },
  doubled_code: { callback: (parameters) => parameters.append('code', 'code-of-another-login') },
  foreign_code: { callback: (parameters) => parameters.set('code', 'code-of-another-login') },
  id_token_in_callback: { callback: (parameters) => parameters.set('id_token', 'eyJhbGciOiJub25lIn0.e30.') },
  jarm_response: { callback: (parameters) => parameters.set('response', 'eyJhbGciOiJub25lIn0.e30.') },
  userinfo_of_another_subject: {
    userinfo: (claims) => {
      claims.sub = 'another-subject';
    },
  },
  userinfo_without_subject: {
    userinfo: (claims) => {
      delete claims.sub;
    },
  },
  access_token_by_foreign_key: {
    accessToken: (token) => {
      token.signWith = 'foreign-key';
    },
  },
  access_token_unsigned: {
    accessToken: (token) => {
      token.header.alg = 'none';
      token.signWith = 'nothing';
    },
  },
  access_token_of_another_issuer: { accessToken: claim('iss', 'https://evil.example') },
  access_token_of_another_subject: { accessToken: claim('sub', 'another-subject') },
  signed_userinfo_by_foreign_key: {
    signedUserinfo: (token) => {
      token.signWith = 'foreign-key';
    },
  },
  signed_userinfo_without_signature: {
    signedUserinfo: (token) => {
      token.header.alg = 'none';
      token.signWith = 'nothing';
    },
  },
  signed_userinfo_for_another_client: { signedUserinfo: claim('aud', 'another-client') },
  signed_userinfo_of_another_issuer: { signedUserinfo: claim('iss', 'https://evil.example') },
  access_token_expired: { accessToken: timed('exp', -3_600) },
} as const satisfies Record<string, Attack>;

export type AttackName = keyof typeof attacks;
