import type { IncomingMessage, ServerResponse } from 'node:http';
import type Provider from 'oidc-provider';
import { errors } from 'oidc-provider';
import { BrokerError } from '../domain/broker-error.ts';
import type { LoginFacts } from './accounts.ts';
import type { ClientMetadata } from './client-metadata.ts';
import { oauthError } from './provider-error.ts';

/** What the app asked for when it sent the browser. */
export interface PendingInteraction {
  readonly uid: string;
  readonly clientId: string;
  readonly clientName: string;
  readonly parameters: {
    readonly workspace?: string;
    readonly connection?: string;
    readonly login_hint?: string;
    /** `login`: the IdP should ask the user again, whatever session it has. Also for `max_age=0`. */
    readonly prompt?: string;
    /** Seconds. */
    readonly max_age?: string;
  };
}

export interface SignedIn {
  readonly userId: string;
  /** The connection that vouched for the user: the app gets only memberships that it serves. */
  readonly connectionId: string;
  readonly loginId: string;
  /** When the IdP authenticated the user; null if it did not say. */
  readonly authenticatedAt: Date | null;
}

/**
 * The part of an authorization that happens on our own pages, between `/oidc/auth` and `/oidc/auth/<uid>`. The cookie that names it is
 * bound to the path `/interaction/<uid>`: whoever comes from elsewhere (ACS, callback) has to redirect there first.
 */
export function createInteractions(deps: {
  readonly provider: Provider;
  readonly findClient: (clientId: string) => Promise<ClientMetadata | null>;
  readonly now: () => Date;
}) {
  const { provider, findClient, now } = deps;
  const found = new WeakMap<IncomingMessage, Interaction>();

  async function find(req: IncomingMessage, res: ServerResponse): Promise<Interaction> {
    const interaction = found.get(req) ?? (await provider.interactionDetails(req, res).catch(rethrowOurs));
    // Browsers send the cookie to the path of its interaction only; others may send it anywhere.
    if (interaction.uid !== uidInPath(req)) throw gone('the cookie belongs to another interaction than the address');
    found.set(req, interaction);
    return interaction;
  }

  async function finish(req: IncomingMessage, res: ServerResponse, result: NonNullable<Interaction['result']>): Promise<void> {
    const interaction = await find(req, res);
    interaction.result = result;
    await interaction.persist().catch(rethrowOurs);
    const { cookies } = provider.createContext(req, res);
    cookies.set(provider.cookieName('interaction'), null, { path: `/interaction/${interaction.uid}` });
    res.statusCode = 303;
    res.setHeader('Location', interaction.returnTo);
    res.setHeader('Cache-Control', 'no-store');
    res.end();
  }

  return {
    /**
     * The interaction that this browser is in; the request's path begins with `/interaction/<uid>`.
     * @throws BrokerError `login_expired` if the cookie or the interaction is gone, or belongs to another address
     */
    async interaction(req: IncomingMessage, res: ServerResponse): Promise<PendingInteraction> {
      const { uid, params } = await find(req, res);
      const clientId = String(params.client_id);
      const client = await findClient(clientId);
      if (!client) throw gone('the client was removed');
      return { uid, clientId, clientName: client.name, parameters: askedFor(params) };
    },

    /**
     * Sends the browser on to the app, with a code.
     * @throws BrokerError `login_expired` as `interaction` does
     */
    async finishSignedIn(req: IncomingMessage, res: ServerResponse, login: SignedIn): Promise<void> {
      const { userId: accountId, connectionId, loginId, authenticatedAt } = login;
      const signedInAt = now().getTime();
      // An IdP's clock may run ahead of ours; nobody was authenticated in the future.
      const authenticated = Math.min(authenticatedAt?.getTime() ?? signedInAt, signedInAt);
      const facts: LoginFacts = { connectionId, loginId, signedInAt };
      await finish(req, res, { login: { accountId, ts: Math.floor(authenticated / 1_000), ...facts } });
    },

    /**
     * Sends the browser on to the app, with an OAuth error in plain words and the reference of the login's trace.
     * @throws BrokerError `login_expired` as `interaction` does
     */
    async finishRefused(
      req: IncomingMessage,
      res: ServerResponse,
      refusal: { readonly error: BrokerError; readonly loginId: string },
    ): Promise<void> {
      await finish(req, res, oauthError(refusal.error, refusal.loginId));
    },
  };
}

type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>;

function rethrowOurs(thrown: unknown): never {
  if (thrown instanceof errors.SessionNotFound) throw gone(thrown.message, thrown);
  // The adapter translated it for the library.
  if (thrown instanceof Error && thrown.cause instanceof BrokerError) throw thrown.cause;
  throw thrown;
}

function gone(detail: string, cause?: unknown): BrokerError {
  return new BrokerError('login_expired', detail, { reason: 'interaction_gone', cause });
}

function uidInPath(req: IncomingMessage & { readonly originalUrl?: string }): string | undefined {
  return /^\/interaction\/([^/?]+)/.exec(req.originalUrl ?? req.url ?? '')?.[1];
}

const handedOn = ['workspace', 'connection', 'login_hint', 'prompt', 'max_age'] as const;

function askedFor(params: Readonly<Record<string, unknown>>): PendingInteraction['parameters'] {
  return Object.fromEntries(handedOn.flatMap((name) => (typeof params[name] === 'string' ? [[name, params[name]]] : [])));
}
