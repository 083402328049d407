import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import express, { type ErrorRequestHandler } from 'express';
import * as openidClient from 'openid-client';
import { type BrokerError, toBrokerError } from '../../src/domain/broker-error.ts';
import type { ExpiringStore } from '../../src/infra/expiring-store.ts';
import { createMemoryStore } from '../../src/infra/expiring-store-memory.ts';
import { createLog } from '../../src/infra/log.ts';
import type { Account } from '../../src/provider/claims.ts';
import { type ClientMetadata, type ClientMetadataInput, clientMetadataSchema } from '../../src/provider/client-metadata.ts';
import type { SignedIn } from '../../src/provider/interactions.ts';
import type { ProviderDeps } from '../../src/provider/provider.ts';
import { createRenewableProvider } from '../../src/provider/renewable-provider.ts';
import type { SigningKey } from '../../src/provider/signing-keys.ts';
import { createProviderBrowser, type ProviderBrowser } from './provider-browser.ts';
import { generateSigningKey } from './signing-key.ts';

export interface ProviderWorld {
  readonly origin: string;
  readonly issuer: string;
  readonly provider: ReturnType<typeof createRenewableProvider>;
  /** Those that it began with. */
  readonly signingKeys: readonly SigningKey[];
  readonly clients: Map<string, ClientMetadata>;
  /** By `<user id> <connection id>`. */
  readonly accounts: Map<string, Account>;
  readonly logLines: Record<string, unknown>[];
  /** Operation and kind of key, such as `get op:code`, in order. */
  readonly operations: string[];
  /** How the next interaction ends. */
  outcome: SignedIn | { readonly error: BrokerError; readonly loginId: string };
  /** Thrown by the account loader instead of an answer. */
  accountFailure: Error | null;
  close(): Promise<void>;
}

export const callback = 'https://app.example.com/callback';
export const secret = 's'.repeat(43);
export const ada: Account = {
  userId: '0190a000-0000-7000-8000-00000000000a',
  email: 'ada@example.com',
  emailVerified: true,
  name: 'Ada Lovelace',
  givenName: 'Ada',
  familyName: 'Lovelace',
  memberships: [
    {
      workspaceId: '0190b000-0000-7000-8000-000000000001',
      workspaceSlug: 'acme',
      role: 'builder',
      groups: ['design', 'ops'],
      version: 7,
    },
  ],
};
export const bob: Account = {
  ...ada,
  userId: '0190a000-0000-7000-8000-00000000000b',
  email: 'bob@example.com',
  name: 'Bob',
  memberships: [],
};
export const connectionId = '0190c000-0000-7000-8000-000000000001';
export const loginId = '0190d000-0000-7000-8000-000000000001';

export function signedIn(account: Account, changes: Partial<SignedIn> = {}): SignedIn {
  return { userId: account.userId, connectionId, loginId, authenticatedAt: null, ...changes };
}

/** A provider on its own port, mounted as the server mounts it, with pages for its interactions that do what `outcome` says. */
export async function startProviderWorld(
  changes: Partial<ProviderDeps> & { readonly countedStore?: ExpiringStore } = {},
): Promise<ProviderWorld> {
  const app = express();
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const logLines: Record<string, unknown>[] = [];
  const operations: string[] = [];
  const store = counting(changes.store ?? createMemoryStore({ now: () => new Date(), maxEntries: 10_000 }), operations);
  const clients = new Map(['app', 'other'].map((clientId) => [clientId, client({ clientId, name: `The ${clientId}` })]));
  const accounts = new Map([ada, bob].map((account) => [`${account.userId} ${connectionId}`, account]));
  const signingKeys = await makeTestKeys();
  const provider = createRenewableProvider({
    issuer: `${origin}/oidc`,
    findClient: async (clientId) => clients.get(clientId) ?? null,
    loadAccount: async ({ userId, connectionId }) => {
      if (world.accountFailure) throw world.accountFailure;
      return accounts.get(`${userId} ${connectionId}`) ?? null;
    },
    signingKeys,
    defaultSigningAlgorithm: 'ES256',
    cookieKeys: [`k1:${randomBytes(32).toString('base64')}`],
    lifetimes: { authorizationCodeSeconds: 60, accessTokenSeconds: 600, idTokenSeconds: 600, pendingLoginSeconds: 600 },
    sessionLifetimeSeconds: 0,
    log: createLog({ level: 'debug', destination: { write: (line) => void logLines.push(JSON.parse(line)) } }),
    renderError: ({ error, reference }) =>
      `<h1>${error.face.title}</h1><p>${error.code} ${error.reason ?? ''}</p><code>${reference}</code>`,
    ...changes,
    store,
  });
  const world: ProviderWorld = {
    origin,
    issuer: `${origin}/oidc`,
    provider,
    signingKeys,
    clients,
    accounts,
    logLines,
    operations,
    outcome: signedIn(ada),
    accountFailure: null,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  app.use('/oidc', provider.handler);
  app.get('/interaction/:uid', async (req, res) => void res.json(await provider.interaction(req, res)));
  app.get('/interaction/:uid/finish', async (req, res) => {
    const { outcome } = world;
    await ('error' in outcome ? provider.finishRefused(req, res, outcome) : provider.finishSignedIn(req, res, outcome));
  });
  app.use(showError);
  return world;
}

const showError: ErrorRequestHandler = (thrown, _req, res, _next) => {
  const { code, reason, face } = toBrokerError(thrown);
  res.status(face.status).json({ code, reason });
};

// One pair for all worlds of a file: RSA keys take long to make.
let testKeys: Promise<SigningKey[]> | undefined;

function makeTestKeys(): Promise<SigningKey[]> {
  testKeys ??= Promise.all([generateSigningKey('ES256'), generateSigningKey('RS256')]);
  return testKeys;
}

export function client(changes: Partial<ClientMetadataInput> = {}): ClientMetadata {
  const given = { clientId: 'app', clientSecret: secret, name: 'The app', redirectUris: [callback] };
  return clientMetadataSchema.parse({ ...given, postLogoutRedirectUris: ['https://app.example.com/bye'], ...changes });
}

/** Every operation takes a moment, as over a network, so that requests at the same time come between each other's steps. */
export function createSlowStore(): ExpiringStore {
  const store = createMemoryStore({ now: () => new Date(), maxEntries: 1_000 });
  const slowly = async <T>(run: () => Promise<T>): Promise<T> => {
    await sleep(2);
    const result = await run();
    await sleep(2);
    return result;
  };
  return {
    set: (...given) => slowly(() => store.set(...given)),
    add: (...given) => slowly(() => store.add(...given)),
    get: (key) => slowly(() => store.get(key)),
    take: (key) => slowly(() => store.take(key)),
    delete: (key) => slowly(() => store.delete(key)),
  };
}

function counting(store: ExpiringStore, operations: string[]): ExpiringStore {
  const noted = (operation: string, key: string) => {
    operations.push(`${operation} ${key.split(':').slice(0, 2).join(':')}`);
    return store;
  };
  return {
    set: (key, ...rest) => noted('set', key).set(key, ...rest),
    add: (key, ...rest) => noted('add', key).add(key, ...rest),
    get: (key) => noted('get', key).get(key),
    take: (key) => noted('take', key).take(key),
    delete: (key) => noted('delete', key).delete(key),
  };
}

/** The app: openid-client, as any app would use it. */
export async function createApp(world: ProviderWorld, clientId = 'app', clientSecret: string | undefined = secret) {
  const config = await openidClient.discovery(new URL(world.issuer), clientId, clientSecret, undefined, {
    execute: [openidClient.allowInsecureRequests],
  });
  return {
    config,
    /** An authorization request and what its answer must match. */
    async request(parameters: Readonly<Record<string, string>> = {}): Promise<AppRequest> {
      const verifier = openidClient.randomPKCECodeVerifier();
      const state = openidClient.randomState();
      const nonce = openidClient.randomNonce();
      const url = openidClient.buildAuthorizationUrl(config, {
        redirect_uri: callback,
        scope: 'openid email profile',
        code_challenge: await openidClient.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
        state,
        nonce,
        ...parameters,
      });
      return { url: url.href, verifier, state, nonce };
    },
    exchange: (
      callbackUrl: string,
      { verifier, state, nonce }: AppRequest,
      checks: openidClient.AuthorizationCodeGrantChecks = {},
    ) =>
      openidClient.authorizationCodeGrant(config, new URL(callbackUrl), {
        pkceCodeVerifier: verifier,
        expectedState: state,
        expectedNonce: nonce,
        ...checks,
      }),
    userinfo: (accessToken: string, subject = ada.userId) => openidClient.fetchUserInfo(config, accessToken, subject),
  };
}

export interface AppRequest {
  readonly url: string;
  readonly verifier: string;
  readonly state: string;
  readonly nonce: string;
}

export type App = Awaited<ReturnType<typeof createApp>>;

/** Goes through the authorization and the interaction to the app's callback, whose address it returns. */
export async function goThrough(url: string, browser: ProviderBrowser = createProviderBrowser()): Promise<string> {
  const page = await browser.follow(url);
  if (page.response === null || !new URL(page.url).pathname.startsWith('/interaction/')) return page.url;
  return (await browser.follow(`${page.url}/finish`)).url;
}

/** A whole login: authorization, interaction, code, tokens. */
export async function logIn(app: App, parameters: Readonly<Record<string, string>> = {}, browser = createProviderBrowser()) {
  const request = await app.request(parameters);
  const callbackUrl = await goThrough(request.url, browser);
  const tokens = await app.exchange(callbackUrl, request);
  return { request, callbackUrl, tokens, browser };
}
