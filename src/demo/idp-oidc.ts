import { generateKeyPair } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { type AdapterPayload, type Configuration, interactionPolicy, Provider } from 'oidc-provider';
import { randomToken, uniqueId } from '../infra/unique-id.ts';
import { createMemoryAdapters } from './idp-oidc-storage.ts';
import type { Directory, Person } from './people.ts';

/** A relying party that may ask. */
export interface OidcClient {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly redirectUris: readonly string[];
  /** For the login page. */
  readonly name: string;
}

/** An authorization request that waits for a person to be chosen. */
export interface OidcLogin {
  readonly askedBy: string;
  readonly hint: string | null;
}

export interface OidcIdentityProvider {
  /** Serves everything below the issuer's path. */
  readonly listener: RequestListener;
  register(client: OidcClient): void;
  /** @throws an error of oidc-provider if the request is over or belongs to another browser */
  receive(request: IncomingMessage, response: ServerResponse): Promise<OidcLogin>;
  signIn(request: IncomingMessage, response: ServerResponse, person: Person): Promise<void>;
  refuse(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

/** OpenID Connect (code, PKCE required) on oidc-provider; asks at each request who is there, and keeps no session. */
export async function createOidcIdentityProvider(options: {
  readonly issuer: string;
  readonly directory: Directory;
  /** Path of the login page of one request. */
  readonly loginPath: (requestId: string) => string;
  readonly renderError: (text: string) => string;
  readonly now: () => Date;
}): Promise<OidcIdentityProvider> {
  const clients = new Map<string, OidcClient>();
  const configuration = await configure({ ...options, clients });
  const provider = new Provider(options.issuer, configuration);
  return {
    listener: provider.callback(),
    register: (client) => {
      clients.set(client.clientId, client);
    },
    receive: async (request, response) => {
      const { params } = await provider.interactionDetails(request, response);
      const client = clients.get(String(params.client_id));
      return {
        askedBy: client?.name ?? 'A client',
        hint: typeof params.login_hint === 'string' ? params.login_hint : null,
      };
    },
    signIn: (request, response, person) =>
      provider.interactionFinished(request, response, { login: { accountId: person.id, remember: false } }),
    refuse: (request, response) =>
      provider.interactionFinished(request, response, {
        error: 'access_denied',
        error_description: 'the person did not sign in',
      }),
  };
}

async function configure(options: {
  readonly directory: Directory;
  readonly loginPath: (requestId: string) => string;
  readonly renderError: (text: string) => string;
  readonly clients: ReadonlyMap<string, OidcClient>;
  readonly now: () => Date;
}): Promise<Configuration> {
  const { directory, loginPath, renderError, clients, now } = options;
  const policy = interactionPolicy.base();
  // Whoever runs the identity provider of a company has consented for its people.
  policy.remove('consent');
  return {
    adapter: createMemoryAdapters({ findClient: (clientId) => describeClient(clients.get(clientId)), now }),
    jwks: { keys: [await createSigningKey(now())] },
    cookies: {
      // Cookies ignore ports: the demo's other servers on this host see these too, and must not take them for their own.
      names: { session: 'demo_idp_session', interaction: 'demo_idp_interaction', resume: 'demo_idp_resume' },
      keys: [randomToken()],
    },
    pkce: { required: () => true },
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'given_name', 'family_name'],
      groups: ['groups'],
    },
    // Many identity providers put the groups into the ID token although a userinfo endpoint exists.
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: false } },
    interactions: { policy, url: (_context, interaction) => loginPath(interaction.uid) },
    expiresWithSession: () => false,
    ttl: { Interaction: 600, Session: 600, Grant: 600, AuthorizationCode: 60, AccessToken: 600, IdToken: 600 },
    findAccount: (_context, personId) => {
      const person = directory.find(personId);
      return person === null ? undefined : { accountId: person.id, claims: () => ({ sub: person.id, ...claimsOf(person) }) };
    },
    loadExistingGrant: async (context) => {
      const { client, session, provider, params } = context.oidc;
      const grant = new provider.Grant({ clientId: client?.clientId, accountId: session?.accountId });
      grant.addOIDCScope(String(params?.scope));
      await grant.save();
      return grant;
    },
    renderError: (context, out) => {
      context.type = 'html';
      context.body = renderError(out.error_description ?? out.error);
    },
    clientBasedCORS: () => false,
  };
}

function claimsOf(person: Person) {
  return {
    email: person.email,
    email_verified: true,
    name: person.name,
    given_name: person.givenName,
    family_name: person.familyName,
    groups: person.groups,
  };
}

function describeClient(client: OidcClient | undefined): AdapterPayload | undefined {
  if (client === undefined) return undefined;
  return {
    client_id: client.clientId,
    client_secret: client.clientSecret,
    client_name: client.name,
    redirect_uris: [...client.redirectUris],
    grant_types: ['authorization_code'],
    response_types: ['code'],
  };
}

async function createSigningKey(now: Date) {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: uniqueId(now), use: 'sig', alg: 'RS256' };
}
