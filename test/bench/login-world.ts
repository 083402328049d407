import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { inflateRawSync } from 'node:zlib';
import { createLog } from '../../src/infra/log.ts';
import { connectionInputSchema } from '../../src/login/connection-input.ts';
import { configFolder, openStores } from '../../src/main.ts';
import { clientMetadataSchema } from '../../src/provider/client-metadata.ts';
import { loadSettings } from '../../src/settings/load.ts';
import { type OidcIdp, startOidcIdp } from '../support/oidc-idp.ts';
import { createTestKey } from '../support/saml-keys.ts';
import { createSamlSigner, type SamlSigner } from '../support/saml-response-builder.ts';
import { freePort } from '../support/servers.ts';
import { createLoadBrowser, exchange } from './load-browser.ts';
import { figuresOf, type ProcessFigures } from './process-figures.ts';

export type Protocol = 'saml' | 'oidc';

export interface LoginWorld {
  /** One complete login of the next user; throws unless the tokens carry the membership. */
  logIn(protocol: Protocol): Promise<void>;
  /** Membership events so far. */
  countChanges(): Promise<number>;
  readonly server: ProcessFigures;
  stop(): Promise<void>;
}

const users = 500;
const groupsPerUser = 10;
const changeEvery = 5;
const client = { id: 'bench-app', secret: randomBytes(32).toString('base64url'), redirectUri: 'http://localhost:9/callback' };
export const samlIssuer = 'https://idp.bench.example/metadata';

/** A Rollcall process with one workspace, 40 app groups, a SAML and an OIDC connection, and identity providers in this process. */
export async function createLoginWorld(options: {
  readonly databaseUrl: string;
  readonly redisUrl: string | null;
  readonly serverCore: string;
}): Promise<LoginWorld> {
  const port = await freePort();
  const publicUrl = `http://localhost:${port}`;
  const env = serverEnvironment({ ...options, port, publicUrl });
  const oidcIdp = await startOidcIdp({ algorithm: 'RS256' });
  const samlKey = await createTestKey();
  const saml = createSamlSigner({ ...samlKey, entityId: samlIssuer });
  const settings = loadSettings({ env, folder: configFolder });
  const opened = await openStores({ settings, log: createLog({ level: 'warn' }), now: () => new Date() });
  const connections = await setUp(opened.stores, { oidcIdp, samlCertificate: samlKey.certificate });
  const server = await startServer(env, publicUrl, options.serverCore);
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const logins = { saml: 0, oidc: 0 };

  return {
    server: figuresOf(server.pid as number),

    async logIn(protocol) {
      const count = logins[protocol]++;
      const user = count % users;
      // Every user's groups change at each 5th login of theirs; a fifth of the users at a time.
      const round = Math.floor(count / users);
      const groups = groupsOf(user, Math.floor((round + (user % changeEvery)) / changeEvery));
      const connectionId = connections[protocol];
      const { memberships } = await logInAs({ protocol, user, groups, publicUrl, connectionId, agent, saml, oidcIdp });
      if (memberships[0]?.groups.length !== new Set(groups).size)
        throw new Error(`unexpected memberships: ${JSON.stringify(memberships)}`);
    },

    async countChanges() {
      const { rows } = await opened.stores.db.raw(`SELECT count(*)::int AS n FROM events WHERE type LIKE 'membership.%'`);
      return rows[0].n;
    },

    async stop() {
      agent.destroy();
      server.kill('SIGTERM');
      await new Promise((resolve) => server.once('exit', resolve));
      await opened.close();
      await oidcIdp.stop();
    },
  };
}

/** Each variant has one group that the others lack, so that a change of variant changes the membership. */
function groupsOf(user: number, variant: number): string[] {
  return Array.from({ length: groupsPerUser }, (_, n) => `group-${(user + n * 3 + (n === 0 ? (variant % 2) * 20 : 0)) % 40}`);
}

export function serverEnvironment(options: {
  databaseUrl: string;
  redisUrl: string | null;
  port: number;
  publicUrl: string;
}): NodeJS.ProcessEnv {
  const key = () => `bench:${randomBytes(32).toString('base64')}`;
  return {
    PATH: process.env.PATH,
    ROLLCALL_MODE: 'development',
    ROLLCALL_PUBLIC_URL: options.publicUrl,
    ROLLCALL_HTTP_HOST: '127.0.0.1',
    ROLLCALL_HTTP_PORT: String(options.port),
    ROLLCALL_HTTP_LOGINS_PER_MINUTE_PER_ADDRESS: '100000000',
    ROLLCALL_SEALING_KEYS: key(),
    ROLLCALL_COOKIE_KEYS: key(),
    ROLLCALL_OUTBOUND_ALLOW_HTTP: 'true',
    ROLLCALL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES: 'localhost,127.0.0.0/8,::1',
    ROLLCALL_LOG_LEVEL: 'info',
    DATABASE_URL: options.databaseUrl,
    ...(options.redisUrl && { REDIS_URL: options.redisUrl }),
  };
}

/** Workspace, catalogue, client and connections of the login world. */
export async function setUp(
  stores: Awaited<ReturnType<typeof openStores>>['stores'],
  idps: { readonly oidcIdp: OidcIdp; readonly samlCertificate: string },
): Promise<Record<Protocol, string>> {
  const workspace = await stores.workspaces.create({ slug: 'bench', displayName: 'Bench' });
  await stores.catalogue.upsert(
    workspace.workspaceId,
    Array.from({ length: 40 }, (_, n) => ({ name: `group-${n}`, requiresRole: n % 10 === 0 ? 'builder' : null })),
  );
  await stores.clients.upsert(
    clientMetadataSchema.parse({
      clientId: client.id,
      clientSecret: client.secret,
      name: 'Bench app',
      redirectUris: [client.redirectUri],
    }),
  );
  const metadata =
    `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="${samlIssuer}">` +
    '<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">' +
    `<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>${idps.samlCertificate}` +
    '</X509Certificate></X509Data></KeyInfo></KeyDescriptor>' +
    '<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.bench.example/sso"/>' +
    '</IDPSSODescriptor></EntityDescriptor>';
  const common = { workspace: 'bench', group_sync: { enabled: true } };
  const saml = await stores.connections.create(
    connectionInputSchema.parse({ ...common, display_name: 'SAML', protocol: { type: 'saml', metadata_xml: metadata } }),
  );
  const { issuer, client: idpClient } = idps.oidcIdp;
  const oidc = await stores.connections.create(
    connectionInputSchema.parse({
      ...common,
      display_name: 'OIDC',
      protocol: { type: 'oidc', discovery_url: issuer, client_id: idpClient.id, client_secret: idpClient.secret },
    }),
  );
  return { saml: saml.connectionId, oidc: oidc.connectionId };
}

export async function startServer(env: NodeJS.ProcessEnv, publicUrl: string, core: string): Promise<ChildProcess> {
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
  // Its log goes where an operator's would: through a pipe, at the default level.
  const server = spawn('taskset', ['-c', core, process.execPath, ...startFlags(), main], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  server.stdout?.resume();
  for (let tries = 0; tries < 200; tries++) {
    const answer = await fetch(`${publicUrl}/readyz`).catch(() => null);
    if (answer?.ok) return server;
    if (server.exitCode !== null) break;
    await sleep(50);
  }
  server.kill();
  throw new Error('the server did not get ready');
}

/** The flags of `npm start`: what is measured is what is shipped. */
export function startFlags(): string[] {
  const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    scripts: { start: string };
  };
  return /node ((?:--\S+ )*)src\/main\.ts$/.exec(scripts.start)?.[1]?.trim().split(' ') ?? [];
}

export interface LoginOf {
  readonly protocol: Protocol;
  readonly user: number;
  readonly groups: readonly string[];
  readonly publicUrl: string;
  readonly connectionId: string;
  readonly agent: Agent;
  readonly saml: SamlSigner;
  readonly oidcIdp: OidcIdp;
  /** The SAML identity provider's clock; the true one unless given. */
  readonly now?: Date;
}

/** What the app learns of the person who signed in. */
export interface LoginClaims {
  readonly sub: string;
  readonly memberships: readonly {
    readonly workspace_id: string;
    readonly role: string;
    readonly groups: readonly string[];
    readonly membership_version: number;
  }[];
}

/** One complete login, from the app's authorization request to the tokens and userinfo. */
export async function logInAs(login: LoginOf): Promise<LoginClaims> {
  const { publicUrl, agent } = login;
  const browser = createLoadBrowser(agent);
  const verifier = randomBytes(32).toString('base64url');
  const toIdp = (url: string) => !url.startsWith(publicUrl);
  const start = await browser.get(authorizationUrl(login, verifier));
  const departure = await browser.follow(start, toIdp);
  const answered =
    login.protocol === 'saml'
      ? await answerBySaml(login, departure.location as string, browser)
      : await browser.get(await answerByOidc(login, departure.location as string));
  const back = await browser.follow(answered, (url) => url.startsWith(client.redirectUri));
  const code = back.location && new URL(back.location).searchParams.get('code');
  if (!code) throw new Error(`no code: ${back.status} ${back.location ?? back.body.slice(0, 300)}`);
  return redeem(login, code, verifier);
}

function authorizationUrl({ publicUrl, connectionId, user }: LoginOf, verifier: string): string {
  const url = new URL(`${publicUrl}/oidc/auth`);
  url.search = new URLSearchParams({
    client_id: client.id,
    redirect_uri: client.redirectUri,
    response_type: 'code',
    scope: 'openid email profile',
    state: 'state',
    nonce: 'nonce',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    connection: connectionId,
    login_hint: `user-${user}`,
  }).toString();
  return url.href;
}

async function answerBySaml(
  { saml, publicUrl, connectionId, user, groups, now = new Date() }: LoginOf,
  location: string,
  browser: ReturnType<typeof createLoadBrowser>,
) {
  const query = new URL(location).searchParams;
  const request = inflateRawSync(Buffer.from(query.get('SAMLRequest') as string, 'base64')).toString();
  const acsUrl = `${publicUrl}/saml/${connectionId}/acs`;
  const SAMLResponse = saml.respond({
    acsUrl,
    audience: `${publicUrl}/saml/${connectionId}/metadata`,
    inResponseTo: /\bID="([^"]+)"/.exec(request)?.[1] as string,
    nameId: `user-${user}`,
    attributes: { email: [`user-${user}@bench.example`], displayName: [`User ${user}`], groups },
    now,
  });
  return browser.post(acsUrl, { SAMLResponse, RelayState: query.get('RelayState') as string });
}

async function answerByOidc({ oidcIdp, user, groups, agent }: LoginOf, location: string): Promise<string> {
  const name = `user-${user}`;
  oidcIdp.users.set(name, { sub: name, email: `${name}@bench.example`, name: `User ${user}`, groups });
  const { headers } = await exchange(agent, 'GET', location, {}, null);
  if (!headers.location) throw new Error('the identity provider did not answer');
  return headers.location;
}

async function redeem({ publicUrl, agent }: LoginOf, code: string, verifier: string): Promise<LoginClaims> {
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    code,
    redirect_uri: client.redirectUri,
    code_verifier: verifier,
  });
  const answer = await exchange(
    agent,
    'POST',
    `${publicUrl}/oidc/token`,
    {
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': Buffer.byteLength(body.toString()),
      authorization: `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString('base64')}`,
    },
    body.toString(),
  );
  const tokens = JSON.parse(answer.body) as { id_token?: string; access_token?: string };
  if (!tokens.id_token) throw new Error(`no tokens: ${answer.status} ${answer.body}`);
  const claims = JSON.parse(Buffer.from(tokens.id_token.split('.')[1] as string, 'base64url').toString()) as LoginClaims;
  const userinfo = await exchange(
    agent,
    'GET',
    `${publicUrl}/oidc/userinfo`,
    { authorization: `Bearer ${tokens.access_token}` },
    null,
  );
  if (JSON.parse(userinfo.body).sub !== claims.sub) throw new Error(`userinfo: ${userinfo.status} ${userinfo.body}`);
  return claims;
}
