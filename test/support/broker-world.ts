import { randomBytes } from 'node:crypto';
import { type Broker, composeBroker } from '../../src/compose.ts';
import { createLog, type Log } from '../../src/infra/log.ts';
import { configFolder, openStores } from '../../src/main.ts';
import { type DeepPartial, loadSettings } from '../../src/settings/load.ts';
import type { Settings } from '../../src/settings/schema.ts';
import type { Stores } from '../../src/stores.ts';
import { type BrokerApi, createBrokerApi } from './broker-api.ts';
import { appCallback, appSecret, type BrokerApp, createBrokerApp } from './broker-app.ts';
import { type BrokerBrowser, createBrokerBrowser, type SendRequest } from './broker-browser.ts';
import { createTestDatabase } from './database.ts';
import { createClock, type TestClock } from './oidc-world.ts';
import { freePort } from './servers.ts';

export type LogLine = Readonly<Record<string, unknown>>;

/** A complete broker of this process, its database, its app and whatever else stands around it. */
export interface BrokerWorld {
  readonly publicUrl: string;
  readonly stores: Stores;
  readonly api: BrokerApi;
  readonly app: BrokerApp;
  readonly clock: TestClock;
  /** What the brokers of this world logged. */
  readonly lines: readonly LogLine[];
  /** Asks the replica that now stands behind the public address. */
  readonly send: SendRequest;
  newBrowser(): BrokerBrowser;
  /** One more process of the same instance: other port, same public address. */
  addReplica(settings?: DeepPartial<Settings>): Promise<Replica>;
  /** From now on the public address leads there; of several, each request to the next one. */
  routeTo(...replicas: readonly Replica[]): void;
  readonly first: Replica;
  stop(): Promise<void>;
}

export interface Replica {
  readonly origin: string;
  readonly stores: Stores;
  stop(): Promise<void>;
}

export interface BrokerWorldOptions {
  /** A migrated database; the world makes one of its own unless given. */
  readonly databaseUrl?: string;
  readonly redis?: { readonly url: string; readonly keyPrefix: string };
  /** Address by which browsers know the broker; loopback http at its own port unless given. */
  readonly publicUrl?: string;
  readonly settings?: DeepPartial<Settings>;
}

export const bootstrapApiKey = 'bootstrap-key-of-the-test-broker-0123456789';

export async function startBrokerWorld(options: BrokerWorldOptions = {}): Promise<BrokerWorld> {
  const database = options.databaseUrl === undefined ? await createTestDatabase({ poolSize: 1 }) : null;
  const databaseUrl = options.databaseUrl ?? (database?.url as string);
  const secrets = { sealingKeys: [newKey()], cookieKeys: [newKey()], bootstrapApiKey };
  const clock = createClock();
  const { log, lines } = logIntoMemory();
  const replicas: Replica[] = [];
  let publicUrl = options.publicUrl;
  let behind: readonly Replica[] = [];
  let requests = 0;

  async function addReplica(changes: DeepPartial<Settings> = {}): Promise<Replica> {
    const port = await freePort();
    const origin = `http://127.0.0.1:${port}`;
    publicUrl ??= origin;
    const settings = loadSettings({
      env: {},
      folder: configFolder,
      overrides: merged(
        baseSettings({ publicUrl, port, databaseUrl, secrets }),
        redisSettings(options),
        options.settings,
        changes,
      ),
    });
    const opened = await openStores({ settings, log, now: clock.now });
    const broker: Broker = await composeBroker({ settings, stores: opened.stores, log, now: clock.now });
    await broker.start();
    const { promise: stopped, resolve } = Promise.withResolvers<void>();
    let stopping = false;
    const replica: Replica = {
      origin,
      stores: opened.stores,
      async stop() {
        if (!stopping) {
          stopping = true;
          await broker.stop();
          await opened.close();
          resolve();
        }
        await stopped;
      },
    };
    replicas.push(replica);
    return replica;
  }

  const first = await addReplica();
  behind = [first];
  const address = publicUrl as string;
  const send: SendRequest = (url, init) => {
    if (!url.startsWith(address)) return fetch(url, init);
    const { origin } = behind[requests++ % behind.length] as Replica;
    return fetch(origin + url.slice(address.length), init);
  };
  const api = createBrokerApi({ publicUrl: address, send, apiKey: bootstrapApiKey });
  await api.put('/v1/clients/app', { client_secret: appSecret, name: 'The app', redirect_uris: [appCallback] });

  return {
    publicUrl: address,
    stores: first.stores,
    api,
    app: createBrokerApp({ issuer: `${address}/oidc`, clientId: 'app', send }),
    clock,
    lines,
    send,
    first,
    newBrowser: () => createBrokerBrowser({ send, isBroker: (url) => new URL(url).origin === address }),
    addReplica,
    routeTo(...next) {
      behind = next;
    },
    async stop() {
      const traces = await first.stores.db('login_traces').select('outcome', 'reason', 'detail');
      await Promise.all(replicas.map((replica) => replica.stop()));
      await database?.drop();
      const leak = [...lines, ...traces].map((line) => JSON.stringify(line)).find((line) => secret.test(line));
      if (leak) throw new Error(`log or trace has something that must not stand there (law 9): ${leak}`);
    },
  };
}

function baseSettings(given: {
  publicUrl: string;
  port: number;
  databaseUrl: string;
  secrets: Settings['secrets'];
}): DeepPartial<Settings> {
  return {
    mode: 'development',
    publicUrl: given.publicUrl,
    http: { host: '127.0.0.1', port: given.port, drainSeconds: 1, loginsPerMinutePerAddress: 1_000_000 },
    postgres: { url: given.databaseUrl, poolSize: 5, startWaitSeconds: 10 },
    secrets: given.secrets,
    outbound: { allowHttp: true, allowedPrivateAddresses: ['127.0.0.0/8'], timeoutSeconds: 2 },
    // Tests that receive webhooks turn it on.
    delivery: { enabled: false },
  };
}

function redisSettings({ redis }: BrokerWorldOptions): DeepPartial<Settings> {
  return redis === undefined ? {} : { redis };
}

function merged(...parts: readonly (DeepPartial<Settings> | undefined)[]): DeepPartial<Settings> {
  const result: Record<string, unknown> = {};
  for (const part of parts) {
    for (const [name, value] of Object.entries(part ?? {})) {
      const group = typeof value === 'object' && value !== null && !Array.isArray(value);
      result[name] = group ? { ...(result[name] as object | undefined), ...value } : value;
    }
  }
  return result as DeepPartial<Settings>;
}

/** Law 9: no token, no e-mail address, no assertion, no key; nor the secrets of the clients here and at the IdP. */
const secret = /eyJ[\w-]+\.eyJ|[\w.]@[\w-]+\.example|saml2?p?:Assertion|PHNhbWx|PRIVATE KEY|aaaaaaaaaaaa|secret with spaces/;

/** As an operator's log collector would have it; `debug`, so that it holds everything that could leak. */
function logIntoMemory(): { log: Log; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const log = createLog({ level: 'debug', destination: { write: (line) => void lines.push(JSON.parse(line)) } });
  return { log, lines };
}

function newKey(): string {
  return `test:${randomBytes(32).toString('base64')}`;
}
