import { composeBroker } from '../compose.ts';
import { createLog } from '../infra/log.ts';
import { configFolder, openStores } from '../main.ts';
import { loadSettings } from '../settings/load.ts';
import { createDemoApp } from './app.ts';
import { type DemoEnvironment, declareDemo, environmentOf } from './declaration.ts';
import { createDemoIdp } from './idp.ts';
import { findPorts } from './ports.ts';
import { workspace } from './scenario.ts';
import { readSecrets } from './secrets.ts';

export interface Demo {
  readonly urls: { readonly app: string; readonly idp: string; readonly rollcall: string };
  stop(): Promise<void>;
}

/**
 * Starts everything that a login takes, in this process: embedded Postgres, Rollcall, an identity provider that speaks SAML and OpenID
 * Connect, and an app. What was stored stays in `dataFolder`; start with the same ports to find it again.
 * @param options.ports the first of three: Rollcall, identity provider, app; 0: any free ones
 * @param options.databaseUrl instead of the embedded Postgres
 * @param options.declare instead of the file of the demo: declares what is to be there by these variables
 */
export async function startDemo(options: {
  readonly ports: number;
  readonly dataFolder: string;
  readonly databaseUrl?: string;
  readonly declare?: (env: DemoEnvironment) => Promise<void>;
}): Promise<Demo> {
  const { ports, dataFolder, databaseUrl = null } = options;
  const now = () => new Date();
  const log = createLog({ level: 'warn' });
  const at = await findPorts(ports);
  const secrets = await readSecrets(dataFolder);
  const publicUrl = `http://localhost:${at.rollcall}`;
  const settings = loadSettings({
    env: {},
    folder: configFolder,
    overrides: {
      mode: 'development',
      publicUrl,
      http: { host: 'localhost', port: at.rollcall },
      postgres: { url: databaseUrl, embeddedDataFolder: `${dataFolder}/postgres` },
      secrets: { sealingKeys: [secrets.sealingKey], cookieKeys: [secrets.cookieKey], bootstrapApiKey: secrets.apiKey },
      outbound: { allowHttp: true, allowedPrivateAddresses: ['localhost', '127.0.0.0/8', '::1'] },
    },
  });
  const closers: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const idp = await createDemoIdp({ port: at.idp, now });
    closers.push(idp.close);
    const opened = await openStores({ settings, log, now });
    closers.push(opened.close);
    const { stores } = opened;
    const appUrl = `http://localhost:${at.app}`;
    const env = environmentOf({ idp, secrets, appUrl });
    await (options.declare?.(env) ?? declareDemo(env, { stores, now }));
    const saml = await connectionIn(stores, 'SAML');
    const oidc = await connectionIn(stores, 'OpenID Connect');

    const broker = await composeBroker({ settings, stores, log, now });
    closers.push(broker.stop);
    await broker.start();
    idp.registerServiceProvider({ metadataXml: await fetchText(`${publicUrl}/saml/${saml}/metadata`), name: 'Rollcall' });
    idp.registerOidcClient({
      clientId: 'rollcall',
      clientSecret: secrets.idpClientSecret,
      redirectUris: [`${publicUrl}/callback/${oidc}`],
      name: 'Rollcall',
    });
    const app = await createDemoApp({
      issuer: `${publicUrl}/oidc`,
      clientId: 'demo-app',
      clientSecret: secrets.clientSecret,
      webhookSecret: secrets.webhookSecret,
      rollcallApi: { url: publicUrl, apiKey: secrets.apiKey },
      saml: { connection: saml },
      oidc: { connection: oidc },
      idpUrl: idp.url,
      port: at.app,
      now,
    });
    closers.push(app.close);
    idp.linkTo({ name: 'Demo app', url: app.url });
    return { urls: { app: app.url, idp: idp.url, rollcall: publicUrl }, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

type Stores = Awaited<ReturnType<typeof openStores>>['stores'];

/** SAML is the workspace's own connection; OpenID Connect is the instance's, and its default. */
async function connectionIn(stores: Stores, displayName: 'SAML' | 'OpenID Connect'): Promise<string> {
  const own = await stores.workspaces.findBySlug(workspace.slug);
  const connection = await stores.connections.findByName(displayName === 'SAML' ? (own?.workspaceId ?? null) : null, displayName);
  if (!connection) throw new Error(`the demo's ${displayName} connection is missing`);
  return connection.connectionId;
}

async function fetchText(url: string): Promise<string> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} answers ${answer.status}`);
  return answer.text();
}

async function main(): Promise<void> {
  const first = Number(process.env.ROLLCALL_DEMO_PORT ?? 3000);
  console.log('Starting Postgres, Rollcall, the demo identity provider and the demo app …');
  const demo = await startDemo({ ports: first, dataFolder: `.data/demo-${first}` });
  console.log(`
  Demo app            ${demo.urls.app}      sign in here, with SAML or OpenID Connect
  Identity provider   ${demo.urls.idp}      change somebody's groups here, then sign in again
  Rollcall            ${demo.urls.rollcall}

  Ctrl-C stops everything.
`);
  const { promise: stopped, resolve } = Promise.withResolvers<void>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve());
  await stopped;
  await demo.stop();
  console.log('Stopped.');
}

if (import.meta.main) {
  main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  });
}
