import { fetchProtectedResource } from 'openid-client';
import { BrokerError } from '../domain/broker-error.ts';
import type { ClaimSource } from '../domain/federated-identity.ts';
import { hasClaim } from '../domain/group-claim.ts';
import type { Idp } from './idp.ts';
import { statusError, upstreamError } from './upstream-error.ts';

export interface FurtherClaims {
  /** Userinfo and access token, as far as they were needed and can be trusted. */
  readonly sources: readonly ClaimSource[];
  /** What an operator should find in the trace: `userinfo_failed:<reason>`, `access_token_ignored:<reason>`. */
  readonly notes: readonly string[];
}

export interface FurtherClaimsRequest {
  readonly idToken: ClaimSource;
  readonly accessToken: string;
  /** R14: the names that the connection's workspaces look for. */
  readonly groupClaimNames: readonly string[];
  readonly clientId: string;
  readonly clockSkewSeconds: number;
  readonly now: Date;
}

/**
 * R14: what the ID token lacks is looked up in userinfo, then in the access token if that is a JWT of this IdP; neither is touched when the
 * ID token says everything.
 *
 * A userinfo that cannot be read makes missing groups *unknown* (R25), and the login goes on: the access token is then not asked, for it
 * might hold fewer groups than userinfo does, and access must not be lost to a passing failure. If the e-mail is missing too, the login
 * stops: carrying on would store a user without one.
 *
 * @throws BrokerError `assertion_rejected` with `userinfo_subject_mismatch`; the userinfo endpoint's failure if it was to give the e-mail
 */
export async function lookFurther(idp: Idp, request: FurtherClaimsRequest): Promise<FurtherClaims> {
  const { idToken, groupClaimNames } = request;
  const missing = groupClaimNames.filter((name) => !hasClaim(idToken, name));
  const emailMissing = !hasClaim(idToken, 'email');
  if (missing.length === 0 && !emailMissing) return { sources: [], notes: [] };

  const userinfo = await userinfoOf(idp, request).catch((error: unknown) => {
    if (emailMissing || !(error instanceof BrokerError) || !isPassing(error)) throw error;
    return error;
  });
  if (userinfo instanceof BrokerError) return { sources: [], notes: [`userinfo_failed:${userinfo.reason ?? userinfo.code}`] };
  const sources = userinfo ? [userinfo] : [];
  if (missing.every((name) => userinfo && hasClaim(userinfo, name))) return { sources, notes: [] };

  const accessToken = await accessTokenOf(idp, request);
  if (accessToken === null) return { sources, notes: [] };
  if (typeof accessToken === 'string') return { sources, notes: [`access_token_ignored:${accessToken}`] };
  return { sources: [...sources, accessToken], notes: [] };
}

/** The endpoint's failure; what was signed wrongly or speaks of somebody else is none. */
function isPassing({ code }: BrokerError): boolean {
  return code === 'upstream_unavailable' || code === 'upstream_misconfigured';
}

/** OIDC Core 5.3. Null: the IdP has no userinfo endpoint. */
async function userinfoOf(idp: Idp, request: FurtherClaimsRequest): Promise<ClaimSource | null> {
  const { userinfo_endpoint: endpoint } = idp.metadata;
  if (endpoint === undefined) return null;
  const headers = new Headers({ accept: 'application/json, application/jwt' });
  const { status, contentType, text } = await fetchProtectedResource(
    idp.configuration,
    request.accessToken,
    new URL(endpoint),
    'GET',
    null,
    headers,
  )
    .then(async (response) => ({
      status: response.status,
      contentType: response.headers.get('content-type') ?? '',
      text: await response.text(),
    }))
    .catch((thrown: unknown) => {
      throw upstreamError('userinfo endpoint', thrown);
    });
  if (status !== 200) throw statusError('userinfo endpoint', status);
  const claims = await userinfoClaims(idp, request, contentType, text);
  // OIDC Core 5.3.2: otherwise the answer speaks of somebody else (token substitution).
  if (claims.sub !== request.idToken.claims.sub) {
    const detail = 'the userinfo response is about another subject than the ID token';
    throw new BrokerError('assertion_rejected', detail, { reason: 'userinfo_subject_mismatch' });
  }
  return { source: 'userinfo', claims };
}

/** OIDC Core 5.3.4: signed only if the client was registered so; then the signature, `iss` and `aud` are checked. */
async function userinfoClaims(
  idp: Idp,
  { clientId }: FurtherClaimsRequest,
  contentType: string,
  text: string,
): Promise<ClaimSource['claims']> {
  if (/^application\/jwt\b/i.test(contentType)) {
    const { claims } = await idp.keys.verify(text, 'userinfo');
    const forUs = claims.aud === undefined || [claims.aud].flat().includes(clientId);
    if ((claims.iss === undefined || claims.iss === idp.issuer) && forUs) return claims;
    throw new BrokerError('assertion_rejected', 'the signed userinfo response was not issued for this client', {
      reason: 'userinfo_mismatch',
    });
  }
  const claims = parseObject(text);
  if (claims) return claims;
  throw new BrokerError('upstream_misconfigured', "the IdP's userinfo endpoint does not answer with a JSON object", {
    reason: 'userinfo_invalid',
  });
}

/**
 * The claims of the access token, if it is a JWT that this IdP signed for this person; else the reason why it says nothing; null if it is no
 * JWT at all. Access tokens are meant for others (RFC 9068 6), so that a strange one is passed over, not an error.
 */
async function accessTokenOf(idp: Idp, request: FurtherClaimsRequest): Promise<ClaimSource | string | null> {
  const { accessToken, idToken, now, clockSkewSeconds } = request;
  if (accessToken.split('.').length !== 3) return null;
  try {
    const { claims } = await idp.keys.verify(accessToken, 'access_token');
    if (claims.iss !== idp.issuer) return 'issuer_mismatch';
    if (claims.sub !== idToken.claims.sub) return 'subject_mismatch';
    if (typeof claims.exp !== 'number' || claims.exp <= now.getTime() / 1000 - clockSkewSeconds) return 'token_expired';
    return { source: 'access_token', claims };
  } catch (error) {
    if (error instanceof BrokerError && error.code !== 'internal') return error.reason ?? error.code;
    throw error;
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
