import type { Adapter, Client, Configuration, KoaContextWithOIDC } from 'oidc-provider';
import type { createAccounts } from './accounts.ts';
import { checkAuthorizationParameters, extraParameters } from './authorization-parameters.ts';
import { claimsByScope } from './claims.ts';
import { createCookieSigner } from './cookie-signer.ts';
import { createInteractionPolicy } from './interaction-policy.ts';
import { showLogoutConfirmation, showSignedOut } from './logout.ts';
import type { SessionRules } from './session-rules.ts';
import { providerKey, type SigningKey, type TokenSigningAlgorithm } from './signing-keys.ts';

export interface ProviderLifetimes {
  readonly authorizationCodeSeconds: number;
  readonly accessTokenSeconds: number;
  readonly idTokenSeconds: number;
  /** From the app's request until the user has signed in at the IdP. */
  readonly pendingLoginSeconds: number;
}

interface Given {
  readonly issuer: string;
  readonly signingKeys: readonly SigningKey[];
  readonly defaultSigningAlgorithm: TokenSigningAlgorithm;
  readonly cookieKeys: readonly string[];
  readonly lifetimes: ProviderLifetimes;
  readonly accounts: ReturnType<typeof createAccounts>;
  readonly sessions: SessionRules;
  readonly adapter: (model: string) => Adapter;
  readonly showFailure: (ctx: KoaContextWithOIDC, out: unknown, error: Error) => Promise<void>;
}

/** How oidc-provider is set up. Each feature of it that the app does not need is off, so that its code is not reachable. */
export function libraryConfiguration(given: Given): Configuration {
  const { accounts, sessions, lifetimes } = given;
  return {
    adapter: given.adapter,
    jwks: { keys: given.signingKeys.map(providerKey) },
    cookies: cookies(given),
    routes: { authorization: '/auth', token: '/token', userinfo: '/userinfo', jwks: '/jwks', end_session: '/logout' },
    features: {
      externalSigningSupport: { enabled: true, ack: 'experimental-01' },
      rpInitiatedLogout: { enabled: true, logoutSource: showLogoutConfirmation, postLogoutSuccessSource: showSignedOut },
      devInteractions: { enabled: false },
      dPoP: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      resourceIndicators: { enabled: false },
    },
    responseTypes: ['code'],
    pkce: { required: () => true },
    // OpenID Connect Core 3.1.2.1: required, so that no error ever goes to an address which the request did not name.
    allowOmittingSingleRegisteredRedirectUri: false,
    scopes: ['openid'],
    claims: claimsByScope,
    // Core 5.4 sends the claims of a scope to userinfo only; R29 wants them in the ID token too.
    conformIdTokenClaims: false,
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'none'],
    clientDefaults: { id_token_signed_response_alg: given.defaultSigningAlgorithm },
    enabledJWA: { idTokenSigningAlgValues: ['ES256', 'RS256'] },
    extraParams: { ...Object.fromEntries(extraParameters.map((name) => [name, null])), workspace: checkAuthorizationParameters },
    interactions: { policy: createInteractionPolicy(sessions), url: (_ctx, { uid }) => `/interaction/${uid}` },
    findAccount: accounts.findAccount,
    loadExistingGrant: accounts.loadExistingGrant,
    // Tokens live as long as they say, whether or not there is a session; who ends them early is `revocation.ts`.
    expiresWithSession: async () => false,
    clientBasedCORS: allowOrigin,
    renderError: given.showFailure,
    ttl: {
      AuthorizationCode: lifetimes.authorizationCodeSeconds,
      AccessToken: lifetimes.accessTokenSeconds,
      IdToken: lifetimes.idTokenSeconds,
      Interaction: lifetimes.pendingLoginSeconds,
      Grant: lifetimes.authorizationCodeSeconds + lifetimes.accessTokenSeconds,
      Session: (_ctx, session) => sessions.secondsToKeep(session),
    },
  };
}

/**
 * Lax cookies come along with the redirects that follow the IdP's cross-site POST to the ACS, since those are top-level GET requests.
 * `Secure` follows from the issuer (`public-url.ts`): the library sets it for https.
 */
function cookies({ issuer, cookieKeys }: Given): Configuration['cookies'] {
  // Browsers let nobody but an https origin set a cookie with this prefix.
  const prefix = issuer.startsWith('https:') ? '__Secure-rollcall' : 'rollcall';
  return {
    names: { interaction: `${prefix}-interaction`, resume: `${prefix}-resume`, session: `${prefix}-session` },
    long: { httpOnly: true, sameSite: 'lax' },
    short: { httpOnly: true, sameSite: 'lax' },
    keys: createCookieSigner(cookieKeys),
  };
}

/** A single-page app calls the token endpoint and userinfo from the origin of its redirect URI; confidential clients call from a server. */
function allowOrigin(_ctx: KoaContextWithOIDC, origin: string, { clientAuthMethod, redirectUris = [] }: Client): boolean {
  return clientAuthMethod === 'none' && redirectUris.some((uri) => URL.parse(uri)?.origin === origin);
}
