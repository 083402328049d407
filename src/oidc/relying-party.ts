import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { authorizationCodeGrant, buildAuthorizationUrl } from 'openid-client';
import { BrokerError } from '../domain/broker-error.ts';
import type { ClaimSource } from '../domain/federated-identity.ts';
import type { OutboundHttp } from '../infra/outbound-http.ts';
import { randomToken } from '../infra/unique-id.ts';
import { checkCallback } from './callback.ts';
import { lookFurther } from './further-claims.ts';
import { checkIdToken, idTokenChecks } from './id-token.ts';
import { authenticationTime, type OidcIdentity, profileOf, sessionIdOf } from './identity.ts';
import { discoverIdp, type Idp, type OidcConnection } from './idp.ts';
import { createRefreshedValue, type RefreshedValue } from './refreshed-value.ts';
import { scopesFor } from './scopes.ts';
import { upstreamError } from './upstream-error.ts';

/** What the answer of the IdP must match; kept with the pending login. */
export interface PendingOidcLogin {
  readonly nonce: string;
  readonly codeVerifier: string;
  readonly issuer: string;
}

export type RelyingParty = ReturnType<typeof createRelyingParty>;

/** Connections whose IdPs are held ready; others are discovered again when they are needed. */
const maxIdps = 1_000;
/** While the IdP cannot be reached, its metadata of the last day still serves. */
const graceSeconds = 86_400;

/** Rollcall as an OpenID Connect relying party: authorization code flow with PKCE, state and nonce (OIDC Core 3.1, RFC 7636, RFC 9700). */
export function createRelyingParty(deps: {
  readonly outbound: OutboundHttp;
  /** Opens a sealed client secret; called only where a token request is made. */
  readonly openSecret: (sealed: string, connectionId: string) => string;
  readonly redirectUri: (connectionId: string) => string;
  readonly now: () => Date;
  /** The least time between two fetches of an IdP's JWKS on unknown key ids. */
  readonly jwksCooldownSeconds: number;
  readonly metadataRefreshSeconds: number;
  /** How long a failed discovery is remembered. */
  readonly retrySeconds?: number;
}) {
  const { now, metadataRefreshSeconds, retrySeconds = 5 } = deps;
  const idps = new LRUCache<string, { readonly version: number; readonly idp: RefreshedValue<Idp> }>({ max: maxIdps });

  function idpOf(connection: OidcConnection): Promise<Idp> {
    const { connectionId, version } = connection;
    const held = idps.get(connectionId);
    if (held?.version === version) return held.idp.get();
    const load = () => discoverIdp(connection, { ...deps, retrySeconds });
    const idp = createRefreshedValue({
      load,
      now,
      refreshSeconds: metadataRefreshSeconds,
      graceSeconds,
      retrySeconds,
      renewCooldownSeconds: metadataRefreshSeconds,
    });
    idps.set(connectionId, { version, idp });
    return idp.get();
  }

  return {
    /**
     * Where the browser goes to sign in, and what the answer must match.
     * @param request `state`: the id of the pending login
     * @throws BrokerError `upstream_unavailable`, `upstream_misconfigured`
     */
    async authorizationUrl(
      connection: OidcConnection,
      request: { readonly state: string; readonly loginHint: string | null; readonly reauthenticate?: boolean },
    ): Promise<{ url: string; pending: PendingOidcLogin }> {
      const { issuer, metadata, configuration } = await idpOf(connection);
      const pending = { nonce: randomToken(), codeVerifier: randomToken(), issuer };
      const url = buildAuthorizationUrl(configuration, {
        redirect_uri: deps.redirectUri(connection.connectionId),
        scope: scopesFor(connection.settings.scopes, metadata.scopes_supported).join(' '),
        state: request.state,
        nonce: pending.nonce,
        code_challenge: hash('sha256', pending.codeVerifier, 'base64url'),
        code_challenge_method: 'S256',
        // The default of the code flow; said aloud where the IdP lists it.
        ...(metadata.response_modes_supported?.includes('query') && { response_mode: 'query' }),
        ...(request.loginHint && { login_hint: request.loginHint }),
        ...(request.reauthenticate && { prompt: 'login' }),
      });
      return { url: url.href, pending };
    },

    /**
     * Turns the IdP's answer at the callback into a verified identity. Userinfo is asked only if the ID token lacks the e-mail or one of
     * `groupClaimNames`.
     * @throws BrokerError `assertion_rejected`, `upstream_denied`, `upstream_misconfigured`, `upstream_unavailable`, `login_expired`
     */
    async completeCallback(
      connection: OidcConnection,
      answer: {
        readonly callbackUrl: URL;
        readonly pending: PendingOidcLogin;
        readonly state: string;
        readonly groupClaimNames: readonly string[];
      },
    ): Promise<OidcIdentity> {
      const { pending, state, callbackUrl } = answer;
      const { clientId, clockSkewSeconds } = connection.settings;
      const idp = await idpOf(connection);
      const { issuer, metadata } = idp;
      if (pending.issuer !== issuer) {
        const detail = 'the connection was changed to another IdP while the user signed in';
        throw new BrokerError('login_expired', detail, { reason: 'issuer_changed' });
      }
      const issuerRequired = metadata.authorization_response_iss_parameter_supported === true;
      checkCallback(callbackUrl.searchParams, { state, issuer, issuerRequired });

      const { idToken, accessToken } = await redeemCode(idp, deps.redirectUri(connection.connectionId), answer);
      const verified = await idp.keys.verify(idToken, 'id_token');
      checkIdToken(verified, { issuer, clientId, nonce: pending.nonce, accessToken, clockSkewSeconds, now: now() });

      const own: ClaimSource = { source: 'id_token', claims: verified.claims };
      const { groupClaimNames } = answer;
      const further = await lookFurther(idp, {
        idToken: own,
        accessToken,
        groupClaimNames,
        clientId,
        clockSkewSeconds,
        now: now(),
      });
      const claims = [own, ...further.sources];
      return {
        issuer,
        subject: String(verified.claims.sub),
        profile: profileOf(claims),
        claims,
        answerId: state,
        answerExpiresAt: new Date((Number(verified.claims.exp) + clockSkewSeconds) * 1000),
        authenticatedAt: authenticationTime(verified.claims),
        sessionId: sessionIdOf(verified.claims),
        checks: idTokenChecks.map(({ name, section }) => ({ name, section })),
        notes: further.notes,
      };
    },

    /** Drops what is known of a connection's IdP: it was changed or deleted. */
    forget(connectionId: string): void {
      idps.delete(connectionId);
    },
  };
}

/**
 * The token request (OIDC Core 3.1.3). openid-client checks the response and the ID token's claims by its own lights first; signature and
 * claims are then verified by ours.
 */
async function redeemCode(
  { configuration }: Idp,
  redirectUri: string,
  { callbackUrl, pending, state }: { readonly callbackUrl: URL; readonly pending: PendingOidcLogin; readonly state: string },
): Promise<{ idToken: string; accessToken: string }> {
  // The library takes the redirect_uri from this address: ours, not the one by which a proxy reached us.
  const address = new URL(redirectUri);
  address.search = callbackUrl.search;
  const checks = {
    expectedNonce: pending.nonce,
    expectedState: state,
    pkceCodeVerifier: pending.codeVerifier,
    idTokenExpected: true,
  };
  const { id_token: idToken, access_token: accessToken } = await authorizationCodeGrant(configuration, address, checks).catch(
    (thrown: unknown) => {
      throw upstreamError('token endpoint', thrown);
    },
  );
  if (idToken === undefined)
    throw new BrokerError('assertion_rejected', 'the token response has no ID token', { reason: 'id_token_missing' });
  return { idToken, accessToken };
}
