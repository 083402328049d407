import * as openidClient from 'openid-client';
import type { SendRequest } from './broker-browser.ts';

export const appCallback = 'https://app.example.com/callback';
export const appSecret = 'a'.repeat(43);

/** One authorization request of the app, and what its answer must match. */
export interface AppRequest {
  readonly url: string;
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

/** A workspace as the app sees it in its tokens (R29). */
export interface MembershipClaim {
  readonly workspace_id: string;
  readonly workspace: string;
  readonly role: string;
  readonly groups: readonly string[];
  readonly membership_version: number;
}

export interface AppTokens {
  readonly sub: string;
  /** Claims of the ID token. */
  readonly claims: openidClient.IDToken & { readonly memberships?: readonly MembershipClaim[] };
  readonly userinfo: openidClient.UserInfoResponse;
  readonly memberships: readonly MembershipClaim[];
}

export type BrokerApp = ReturnType<typeof createBrokerApp>;

/** The app: openid-client 6, as any app would use it. */
export function createBrokerApp({ issuer, clientId, send }: { issuer: string; clientId: string; send: SendRequest }) {
  let found: Promise<openidClient.Configuration> | undefined;

  async function discovered(): Promise<openidClient.Configuration> {
    found ??= openidClient.discovery(new URL(issuer), clientId, appSecret, undefined, {
      execute: [openidClient.allowInsecureRequests],
      [openidClient.customFetch]: (url, init) => send(url, init as RequestInit),
    });
    return found;
  }

  return {
    /** @param parameters `workspace`, `connection`, `login_hint` and whatever else an app may add */
    async request(parameters: Readonly<Record<string, string>> = {}): Promise<AppRequest> {
      const verifier = openidClient.randomPKCECodeVerifier();
      const state = openidClient.randomState();
      const nonce = openidClient.randomNonce();
      const url = openidClient.buildAuthorizationUrl(await discovered(), {
        redirect_uri: appCallback,
        scope: 'openid email profile',
        code_challenge: await openidClient.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
        state,
        nonce,
        ...parameters,
      });
      return { url: url.href, state, nonce, verifier };
    },

    /**
     * What the app does when the browser is back: checks the answer, exchanges the code, asks userinfo.
     * @throws openid-client's AuthorizationResponseError when the broker sent an error
     */
    async redeem({ state, nonce, verifier }: AppRequest, callbackUrl: string): Promise<AppTokens> {
      const config = await discovered();
      const tokens = await openidClient.authorizationCodeGrant(config, new URL(callbackUrl), {
        pkceCodeVerifier: verifier,
        expectedState: state,
        expectedNonce: nonce,
        idTokenExpected: true,
      });
      const claims = tokens.claims() as AppTokens['claims'];
      const userinfo = await openidClient.fetchUserInfo(config, tokens.access_token, claims.sub);
      return { sub: claims.sub, claims, userinfo, memberships: claims.memberships ?? [] };
    },
  };
}
