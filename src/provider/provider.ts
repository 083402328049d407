import type { IncomingMessage, ServerResponse } from 'node:http';
import Provider from 'oidc-provider';
import type { ExpiringStore } from '../infra/expiring-store.ts';
import type { Log } from '../infra/log.ts';
import { type AccountDeps, createAccounts } from './accounts.ts';
import { createAdapter } from './adapter.ts';
import type { ClientMetadata } from './client-metadata.ts';
import { libraryConfiguration, type ProviderLifetimes } from './configuration.ts';
import { createFailurePages, type RenderError } from './failure-pages.ts';
import { createInteractions } from './interactions.ts';
import { createLogoutRevocation } from './logout.ts';
import { pinPublicUrl } from './public-url.ts';
import { createRevocation } from './revocation.ts';
import { createSessionRules } from './session-rules.ts';
import type { SigningKey, TokenSigningAlgorithm } from './signing-keys.ts';

export interface ProviderDeps {
  /** Public URL and mount path, for example `https://login.example.com/oidc`. Every address the provider gives out begins with it. */
  readonly issuer: string;
  readonly store: ExpiringStore;
  readonly findClient: (clientId: string) => Promise<ClientMetadata | null>;
  readonly loadAccount: AccountDeps['loadAccount'];
  /** At least one for each algorithm in use; of several with the same one the first signs, and all stand in the JWKS. */
  readonly signingKeys: readonly SigningKey[];
  /** For clients that choose none. */
  readonly defaultSigningAlgorithm: TokenSigningAlgorithm;
  /** `<key id>:<32 bytes in base64>`; the first signs, all verify. */
  readonly cookieKeys: readonly string[];
  readonly lifetimes: ProviderLifetimes;
  /** 0: no session, the IdP is asked at every login (R26). */
  readonly sessionLifetimeSeconds: number;
  /** R35: while it is false no session answers in place of a login. */
  readonly sessionsAllowed?: () => boolean;
  readonly log: Log;
  readonly renderError: RenderError;
  readonly now?: () => Date;
}

export type OpenIdProvider = ReturnType<typeof createProvider>;

/** The OpenID Provider that faces the app: authorization code with PKCE S256, ID token, userinfo, logout. Nothing else is offered. */
export function createProvider(deps: ProviderDeps) {
  const { issuer, store, findClient, loadAccount, lifetimes, sessionLifetimeSeconds, log, now = () => new Date() } = deps;
  const grantSeconds = lifetimes.authorizationCodeSeconds + lifetimes.accessTokenSeconds;
  const longestLifetimeSeconds = Math.max(grantSeconds, sessionLifetimeSeconds) + clockDifferenceSeconds;

  const revocation = createRevocation({ store, now, longestLifetimeSeconds });
  const sessions = createSessionRules({
    now,
    sessionLifetimeSeconds,
    ...(deps.sessionsAllowed && { isAllowed: deps.sessionsAllowed }),
  });
  const accounts = createAccounts({ loadAccount, revocation, sessions, now, grantSeconds });
  const adapter = createAdapter({ store, revocation, findClient, keepsSessions: sessions.enabled });
  const failures = createFailurePages({ log, now, renderError: deps.renderError });

  const provider = new Provider(
    issuer,
    libraryConfiguration({ ...deps, accounts, sessions, adapter, showFailure: failures.show }),
  );
  pinPublicUrl(provider);
  failures.watch(provider);
  provider.use(failures.guard);
  provider.use(createLogoutRevocation(revocation));
  if (!sessions.enabled) dropSessions(provider);

  return {
    ...createInteractions({ provider, findClient, now }),

    /** For `app.use('/oidc', handler)`, before any body parser. */
    handler: provider.callback() as (req: IncomingMessage, res: ServerResponse) => Promise<void>,

    /** Everything a user was given until now is worth nothing from here on, also after they were restored. */
    revokeUser: (userId: string): Promise<void> => revocation.revokeUser(userId),
  };
}

const clockDifferenceSeconds = 60;

/**
 * Without sessions none is stored and no cookie set: to the library each has ended when its authorization resumes, whether it then
 * gets a code or an error.
 */
function dropSessions(provider: Provider): void {
  provider.on('interaction.ended', ({ oidc }) => Object.assign(oidc.session ?? {}, { destroyed: true }));
}
