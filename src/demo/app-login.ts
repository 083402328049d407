import * as openid from 'openid-client';
import { readClaims, type SignedIn } from './app-claims.ts';

/** What must be remembered between leaving for Rollcall and coming back. */
export interface PendingLogin {
  readonly state: string;
  readonly nonce: string;
  readonly codeVerifier: string;
}

/** Goes along with the request: which connection or workspace to sign in with; neither: Rollcall decides. */
export interface LoginChoice {
  readonly connection?: string;
  readonly workspace?: string;
}

/** A sign-in that ended without a person, in words for the page. `code` is the OAuth error code, if there is one. */
export class LoginFailed extends Error {
  readonly code: string | null;

  constructor(message: string, code: string | null, cause: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

export interface AppLogin {
  /** @throws LoginFailed when the issuer cannot be reached */
  begin(choice: LoginChoice): Promise<{ readonly url: string; readonly pending: PendingLogin }>;
  /** @throws LoginFailed when the answer is an error, or is not the answer to `pending` */
  complete(callbackUrl: URL, pending: PendingLogin): Promise<SignedIn>;
}

/** The app's whole integration with Rollcall: an OpenID Connect relying party on openid-client (code, PKCE, state, nonce). */
export function createAppLogin(options: {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly redirectUri: string;
  readonly scope: string;
  readonly now: () => Date;
}): AppLogin {
  const { redirectUri, scope, now } = options;
  const configuration = onceItWorks(() => discover(options));

  return {
    begin: async (choice) => {
      const config = await configuration();
      const pending = { state: openid.randomState(), nonce: openid.randomNonce(), codeVerifier: openid.randomPKCECodeVerifier() };
      const url = openid.buildAuthorizationUrl(config, {
        redirect_uri: redirectUri,
        scope,
        state: pending.state,
        nonce: pending.nonce,
        code_challenge: await openid.calculatePKCECodeChallenge(pending.codeVerifier),
        code_challenge_method: 'S256',
        ...choice,
      });
      return { url: url.href, pending };
    },
    complete: async (callbackUrl, pending) => {
      const config = await configuration();
      try {
        const tokens = await openid.authorizationCodeGrant(config, callbackUrl, {
          expectedState: pending.state,
          expectedNonce: pending.nonce,
          pkceCodeVerifier: pending.codeVerifier,
          idTokenExpected: true,
        });
        return readClaims({ ...tokens.claims() }, now());
      } catch (error) {
        throw toLoginFailed(error);
      }
    },
  };
}

async function discover({ issuer, clientId, clientSecret }: { issuer: string; clientId: string; clientSecret: string }) {
  const url = new URL(issuer);
  // The demo runs on plain http on the loopback address; anywhere else openid-client insists on https.
  const execute = url.protocol === 'http:' ? [openid.allowInsecureRequests] : [];
  try {
    return await openid.discovery(url, clientId, clientSecret, undefined, { execute, timeout: 5 });
  } catch (cause) {
    throw new LoginFailed('Rollcall cannot be reached at the moment.', null, cause);
  }
}

function toLoginFailed(error: unknown): LoginFailed {
  // RFC 6749 4.1.2.1: the answer itself says no.
  if (error instanceof openid.AuthorizationResponseError) {
    return new LoginFailed(error.error_description ?? 'Rollcall did not sign you in.', error.error, error);
  }
  return new LoginFailed('The answer of Rollcall was not accepted.', null, error);
}

/** Remembers the first success; a failure is forgotten, so that the next caller tries again. */
function onceItWorks<Value>(attempt: () => Promise<Value>): () => Promise<Value> {
  let running: Promise<Value> | null = null;
  return () => {
    running ??= attempt().catch((error: unknown) => {
      running = null;
      throw error;
    });
    return running;
  };
}
