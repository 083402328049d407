import { hash } from 'node:crypto';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { type LoginGrant, parseGrantId } from './login-grant.ts';

type OidcContext = KoaContextWithOIDC['oidc'];
type Session = Pick<NonNullable<OidcContext['session']>, 'accountId' | 'authorizations'>;

export type SessionRules = ReturnType<typeof createSessionRules>;

/**
 * When a session answers in place of the IdP: never, unless the operator set a lifetime (R26). The library's session has no place
 * for our facts about a login, but it keeps a grant id per client, and that carries them.
 */
export function createSessionRules(deps: {
  readonly now: () => Date;
  readonly sessionLifetimeSeconds: number;
  /** R35: false while nobody may sign in. */
  readonly isAllowed?: () => boolean;
}) {
  const { now, sessionLifetimeSeconds, isAllowed = () => true } = deps;
  const enabled = sessionLifetimeSeconds > 0;

  function millisecondsLeft({ signedInAt }: LoginGrant): number {
    return signedInAt + sessionLifetimeSeconds * 1_000 - now().getTime();
  }

  return {
    enabled,

    /** The newest login of this session; its lifetime is counted from there and not prolonged by use. */
    loginOf(session: Session | undefined): LoginGrant | null {
      if (!enabled || session?.accountId === undefined) return null;
      const logins = Object.values(session.authorizations ?? {}).map(({ grantId }) =>
        grantId === undefined ? null : parseGrantId(grantId),
      );
      return logins.reduce<LoginGrant | null>((newest, login) => {
        if (login === null || login.userId !== session.accountId) return newest;
        return newest === null || login.signedInAt > newest.signedInAt ? login : newest;
      }, null);
    },

    /** Whether this request may be answered from the session: same way to sign in, young enough, and the account still there. */
    answers({ account, session, params }: Pick<OidcContext, 'account' | 'session' | 'params'>): boolean {
      const login = this.loginOf(session);
      if (!login || !session || account?.accountId !== login.userId || !isAllowed()) return false;
      const maxAge = params?.max_age;
      const tooOldForApp = maxAge !== undefined && session.past(Number(maxAge));
      return millisecondsLeft(login) > 0 && !tooOldForApp && login.selector === this.selectorOf(params);
    },

    /** Another workspace, connection or login hint may mean another IdP, so the session of one does not answer for the other. */
    selectorOf(params: OidcContext['params']): string {
      if (!enabled) return '';
      const { workspace = null, connection = null, login_hint: loginHint = null } = params ?? {};
      return hash('sha256', JSON.stringify([workspace, connection, loginHint]), 'base64url').slice(0, 16);
    },

    /** How long the store keeps a session. One without a login belongs to a logout that waits for its confirmation. */
    secondsToKeep(session: Session): number {
      const login = this.loginOf(session);
      return login ? Math.max(1, Math.ceil(millisecondsLeft(login) / 1_000)) : confirmationSeconds;
    },
  };
}

const confirmationSeconds = 600;
