import type { FindAccount, KoaContextWithOIDC } from 'oidc-provider';
import { randomToken } from '../infra/unique-id.ts';
import { type Account, claimsOf } from './claims.ts';
import { formatGrantId, type LoginGrant, parseGrantId } from './login-grant.ts';
import { rethrowTranslated } from './provider-error.ts';
import type { Revocation } from './revocation.ts';
import type { SessionRules } from './session-rules.ts';

export interface AccountDeps {
  /** @returns null if the user is unknown or archived: codes and tokens are worth nothing then */
  readonly loadAccount: (login: AccountLogin) => Promise<Account | null>;
  readonly revocation: Pick<Revocation, 'isUserRevoked'>;
  readonly sessions: SessionRules;
  readonly now: () => Date;
  /** How long a code and the access token from it can live together. */
  readonly grantSeconds: number;
}

export interface AccountLogin {
  readonly userId: string;
  readonly connectionId: string;
  readonly signedInAt: Date;
}

/** The two places where the library asks whose login this is, and what it grants. */
export function createAccounts(deps: AccountDeps) {
  const { loadAccount, revocation, sessions, now, grantSeconds } = deps;

  const findAccount: FindAccount = async ({ oidc }, userId, token) => {
    // Who has just signed in was loaded, and found active, in the transaction of that login.
    if (!token && oidc.result?.login) return { accountId: userId, claims: async () => ({ sub: userId }) };
    const grant = token ? parseGrantId(token.grantId ?? '') : sessions.loginOf(oidc.session);
    if (grant?.userId !== userId) return undefined;
    const { connectionId, grantKey, signedInAt } = grant;
    // A code is too young to have outlived an archived and restored user; the token that comes of it is asked about.
    const mayBeRevoked = token?.kind !== 'AuthorizationCode';
    const [account, revoked] = await Promise.all([
      loadAccount({ userId, connectionId, signedInAt: new Date(signedInAt) }),
      mayBeRevoked && revocation.isUserRevoked(grant),
    ]).catch(rethrowTranslated);
    if (!account || revoked) return undefined;
    return { accountId: userId, claims: async (use) => ({ ...claimsOf(account), ...(use === 'id_token' && { sid: grantKey }) }) };
  };

  /** Grants every scope asked for, without consent, and without storing anything (`login-grant.ts`). */
  async function loadExistingGrant({ oidc }: Pick<KoaContextWithOIDC, 'oidc'>) {
    const { account, client, provider } = oidc;
    const login = loginOf(oidc);
    if (!login || !account || !client) return undefined;
    const scope = [...oidc.requestParamOIDCScopes].join(' ');
    const grant = new provider.Grant({ accountId: account.accountId, clientId: client.clientId });
    grant.addOIDCScope(scope);
    grant.jti = formatGrantId({
      ...login,
      grantKey: randomToken(16),
      userId: account.accountId,
      clientId: client.clientId,
      scope,
      expiresAt: Math.floor(now().getTime() / 1_000) + grantSeconds,
      selector: sessions.selectorOf(oidc.params),
    });
    return grant;
  }

  function loginOf(oidc: KoaContextWithOIDC['oidc']): LoginFacts | null {
    const fresh = oidc.result?.login;
    if (fresh) return loginFacts(fresh);
    return sessions.answers(oidc) ? sessions.loginOf(oidc.session) : null;
  }

  return { findAccount, loadExistingGrant };
}

/** What a result says about its login beside the user: written by `finishSignedIn`, read when the authorization resumes. */
export type LoginFacts = Pick<LoginGrant, 'connectionId' | 'loginId' | 'signedInAt'>;

function loginFacts({ connectionId, loginId, signedInAt }: Readonly<Record<string, unknown>>): LoginFacts {
  if (typeof connectionId !== 'string' || typeof loginId !== 'string' || typeof signedInAt !== 'number') {
    throw new TypeError('the result of the interaction names no login');
  }
  return { connectionId, loginId, signedInAt };
}
