import { ClientError, ResponseBodyError, WWWAuthenticateChallengeError } from 'openid-client';
import { BrokerError, type BrokerErrorCode } from '../domain/broker-error.ts';

export type UpstreamEndpoint = 'discovery document' | 'JWKS' | 'token endpoint' | 'userinfo endpoint';

/**
 * An OAuth error code of an IdP as a reason: the characters that registered codes use, and no more than a line of a log can bear.
 * Anything else becomes `unknown_error`. `error_description` is dropped: it is written for people and may name them.
 */
export function errorReason(code: unknown): string {
  return typeof code === 'string' && /^[A-Za-z0-9_.-]{1,64}$/.test(code) ? code : 'unknown_error';
}

/** RFC 6749 4.1.2.1, OIDC Core 3.1.2.6: errors that say that our request is at fault, not the person. */
const requestErrors = new Set([
  'invalid_request',
  'invalid_scope',
  'unauthorized_client',
  'unsupported_response_type',
  'request_not_supported',
  'request_uri_not_supported',
  'registration_not_supported',
]);
const temporaryErrors = new Set(['temporarily_unavailable', 'server_error']);

/** The error that an IdP sent to the callback instead of a code. */
export function authorizationError(code: string): BrokerError {
  const reason = errorReason(code);
  if (temporaryErrors.has(reason)) return new BrokerError('upstream_unavailable', `the IdP answered "${reason}"`, { reason });
  if (requestErrors.has(reason)) {
    const advice = reason === 'invalid_scope' ? '; set the scopes of the connection to those that the IdP knows' : '';
    return new BrokerError('upstream_misconfigured', `the IdP refused the authorization request: "${reason}"${advice}`, {
      reason,
    });
  }
  return new BrokerError('upstream_denied', `the IdP did not sign the user in: "${reason}"`, { reason });
}

/** An HTTP status that is not the expected one. */
export function statusError(endpoint: UpstreamEndpoint, status: number, cause?: Error): BrokerError {
  const temporary = status >= 500 || status === 429;
  const code = temporary ? 'upstream_unavailable' : 'upstream_misconfigured';
  return error(code, `the IdP's ${endpoint} answered with status ${status}`, `http_${status}`, cause);
}

/** Whatever our outbound client or openid-client threw while `endpoint` was asked. */
export function upstreamError(endpoint: UpstreamEndpoint, thrown: unknown): BrokerError {
  const ours = brokerErrorIn(thrown);
  if (ours)
    return noWaitingMends(ours) ? error('upstream_misconfigured', ours.message, ours.reason ?? 'outbound_refused', ours) : ours;
  const cause = withoutContent(thrown);
  if (thrown instanceof ResponseBodyError) return tokenError(errorReason(thrown.error), thrown.status, cause);
  if (thrown instanceof WWWAuthenticateChallengeError) return challengeError(endpoint, cause);
  if (!(thrown instanceof ClientError)) return error('internal', `the IdP's ${endpoint} could not be asked`, 'internal', cause);
  switch (thrown.code) {
    case 'OAUTH_TIMEOUT':
    case 'OAUTH_ABORT':
      return error('upstream_unavailable', `the IdP's ${endpoint} did not answer in time`, 'timeout', cause);
    case 'OAUTH_RESPONSE_IS_NOT_CONFORM':
      return statusError(endpoint, thrown.cause instanceof Response ? thrown.cause.status : 0, cause);
    case 'OAUTH_JWT_CLAIM_COMPARISON_FAILED':
    case 'OAUTH_JWT_TIMESTAMP_CHECK_FAILED':
      return error('assertion_rejected', `the ID token does not fit this login: ${cause.message}`, claimReason(thrown), cause);
    default:
      return contentError(endpoint, thrown.code, cause);
  }
}

/** RFC 6749 5.2: wrong client credentials; RFC 6750 3.1: an access token that does not open userinfo. */
function challengeError(endpoint: UpstreamEndpoint, cause: Error): BrokerError {
  if (endpoint === 'userinfo endpoint') {
    return error(
      'upstream_misconfigured',
      "the IdP's userinfo endpoint does not accept its own access token",
      'userinfo_refused',
      cause,
    );
  }
  return error(
    'upstream_misconfigured',
    'the IdP does not accept the client id and secret of the connection',
    'invalid_client',
    cause,
  );
}

function contentError(endpoint: UpstreamEndpoint, code: string | undefined, cause: Error): BrokerError {
  // The envelope was JSON, so that what stands in it is the answer to this login.
  if (endpoint === 'token endpoint' && code !== 'OAUTH_RESPONSE_IS_NOT_JSON' && code !== 'OAUTH_PARSE_ERROR') {
    return error('assertion_rejected', `the token response is not acceptable: ${cause.message}`, 'id_token_invalid', cause);
  }
  const reason = `${endpoint.replaceAll(' ', '_').toLowerCase()}_invalid`;
  return error('upstream_misconfigured', `the IdP's ${endpoint} answers with something else: ${cause.message}`, reason, cause);
}

/** RFC 6749 5.2. */
function tokenError(reason: string, status: number, cause: Error): BrokerError {
  if (status >= 500 || status === 429 || temporaryErrors.has(reason)) {
    return error('upstream_unavailable', `the IdP's token endpoint answered ${status} "${reason}"`, reason, cause);
  }
  // The code was used before, is too old, or belongs to another request (PKCE).
  if (reason === 'invalid_grant') return error('upstream_denied', 'the IdP refused the authorization code', reason, cause);
  const advice = 'check client id, client secret and redirect URI at the IdP';
  return error('upstream_misconfigured', `the IdP refused the token request: "${reason}"; ${advice}`, reason, cause);
}

const claimReasons: Readonly<Record<string, string>> = {
  iss: 'issuer_mismatch',
  aud: 'audience_mismatch',
  azp: 'azp_mismatch',
  nonce: 'nonce_mismatch',
  exp: 'token_expired',
  nbf: 'token_not_yet_valid',
};

/** openid-client keeps the name of the claim two causes down. */
function claimReason({ cause }: ClientError): string {
  const inner = cause instanceof Error ? cause.cause : undefined;
  const claim = typeof inner === 'object' && inner !== null && 'claim' in inner ? String(inner.claim) : '';
  return claimReasons[claim] ?? 'id_token_invalid';
}

function noWaitingMends({ reason }: BrokerError): boolean {
  return reason === 'blocked_address' || reason === 'http_not_allowed' || reason === 'redirect' || reason === 'too_large';
}

function brokerErrorIn(thrown: unknown): BrokerError | null {
  for (let at = thrown; at instanceof Error; at = at.cause) if (at instanceof BrokerError) return at;
  return null;
}

/**
 * The library's errors carry responses, claims and parameters, and a JSON parser quotes what it could not read: only the library's own
 * fixed words may reach a log (law 9).
 */
function withoutContent(thrown: unknown): Error {
  if (!(thrown instanceof Error)) return new Error('no further detail');
  const inner = thrown.cause;
  const fixedWords = inner instanceof Error && 'code' in inner && String(inner.code).startsWith('OAUTH_');
  const bare = new Error(fixedWords ? inner.message : thrown.message);
  bare.name = thrown.name;
  if (thrown.stack !== undefined) bare.stack = thrown.stack;
  return bare;
}

function error(code: BrokerErrorCode, detail: string, reason: string, cause?: Error): BrokerError {
  return new BrokerError(code, detail, { reason, ...(cause && { cause }) });
}
