import type { OidcSettings } from '../../src/domain/connection.ts';
import { createOutboundHttp, type OutboundHttpOptions } from '../../src/infra/outbound-http.ts';
import type { OidcIdentity } from '../../src/oidc/identity.ts';
import type { OidcConnection } from '../../src/oidc/idp.ts';
import { createRelyingParty, type PendingOidcLogin, type RelyingParty } from '../../src/oidc/relying-party.ts';
import { answerOf, type OidcIdp } from './oidc-idp.ts';

export const redirectUri = 'https://broker.example/callback/connection-1';

/** A clock that moves only when it is told to, starting now. */
export interface TestClock {
  readonly now: () => Date;
  advance(seconds: number): void;
}

export function createClock(): TestClock {
  let offset = 0;
  return {
    now: () => new Date(Date.now() + offset),
    advance(seconds) {
      offset += seconds * 1_000;
    },
  };
}

export interface OidcWorld {
  readonly relyingParty: RelyingParty;
  readonly clock: TestClock;
  /** Sealed secrets that were opened so far. */
  readonly openedSecrets: string[];
  connection(changes?: Partial<OidcSettings>, version?: number): OidcConnection;
  /** Starts a login and lets the IdP answer, without completing it. */
  begin(options?: LoginOptions): Promise<BegunLogin>;
  login(options?: LoginOptions): Promise<OidcIdentity>;
  close(): Promise<void>;
}

export interface LoginOptions {
  readonly user?: string;
  readonly connection?: OidcConnection;
  readonly groupClaimNames?: readonly string[];
}

export interface BegunLogin {
  readonly url: URL;
  readonly pending: PendingOidcLogin;
  readonly state: string;
  readonly callbackUrl: URL;
  complete(changes?: {
    readonly pending?: PendingOidcLogin;
    readonly state?: string;
    readonly callbackUrl?: URL;
  }): Promise<OidcIdentity>;
}

export interface OidcWorldOptions {
  readonly outbound?: Partial<OutboundHttpOptions>;
  readonly jwksCooldownSeconds?: number;
  readonly metadataRefreshSeconds?: number;
}

/** A relying party in front of one test IdP, over real HTTP. Sealing is the identity with a prefix. */
export function createOidcWorld(idp: OidcIdp, options: OidcWorldOptions = {}): OidcWorld {
  const outbound = createOutboundHttp({
    allowHttp: true,
    allowedPrivateAddresses: ['127.0.0.1'],
    timeoutSeconds: 2,
    maxResponseBytes: 1_048_576,
    ...options.outbound,
  });
  const clock = createClock();
  const openedSecrets: string[] = [];
  const relyingParty = createRelyingParty({
    outbound,
    openSecret: (sealed, connectionId) => {
      openedSecrets.push(`${connectionId}: ${sealed}`);
      return sealed.slice('sealed:'.length);
    },
    redirectUri: () => redirectUri,
    now: clock.now,
    jwksCooldownSeconds: options.jwksCooldownSeconds ?? 30,
    metadataRefreshSeconds: options.metadataRefreshSeconds ?? 3_600,
  });
  let logins = 0;

  function connection(changes: Partial<OidcSettings> = {}, version = 1): OidcConnection {
    const settings: OidcSettings = {
      type: 'oidc',
      discoveryUrl: idp.issuer,
      clientId: idp.client.id,
      sealedClientSecret: `sealed:${idp.client.secret}`,
      scopes: [],
      clockSkewSeconds: 60,
      ...changes,
    };
    return { connectionId: 'connection-1', version, settings };
  }

  async function begin({
    user = 'ada',
    connection: used = connection(),
    groupClaimNames = ['groups'],
  }: LoginOptions = {}): Promise<BegunLogin> {
    logins += 1;
    const state = `state-of-login-${logins}`;
    const { url, pending } = await relyingParty.authorizationUrl(used, { state, loginHint: user });
    const callbackUrl = await answerOf(url);
    const answer = { callbackUrl, pending, state, groupClaimNames };
    return {
      url: new URL(url),
      pending,
      state,
      callbackUrl,
      complete: (changes) => relyingParty.completeCallback(used, { ...answer, ...changes }),
    };
  }

  return {
    relyingParty,
    clock,
    openedSecrets,
    connection,
    begin,
    async login(loginOptions) {
      const begun = await begin(loginOptions);
      return begun.complete();
    },
    close: () => outbound.close(),
  };
}

export const ada = {
  sub: 'ada-1',
  email: 'Ada@ACME.Example',
  name: 'Ada Lovelace',
  groups: ['Engineering', 'Everyone'],
} as const;
