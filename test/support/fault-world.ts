import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Agent } from 'node:http';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLog } from '../../src/infra/log.ts';
import type { Database } from '../../src/infra/postgres.ts';
import { configFolder, openStores } from '../../src/main.ts';
import { loadSettings } from '../../src/settings/load.ts';
import { type LoginClaims, logInAs, type Protocol, samlIssuer, serverEnvironment, setUp } from '../bench/login-world.ts';
import { administer, withDatabase } from './database-administration.ts';
import { type FaultPostgres, startFaultPostgres } from './fault-postgres.ts';
import type { FaultRandom } from './fault-random.ts';
import { type FaultReceiver, startFaultReceiver } from './fault-receiver.ts';
import { createFaultServer, type FaultServer } from './fault-server.ts';
import { startOidcIdp } from './oidc-idp.ts';
import { createTestKey } from './saml-keys.ts';
import { createSamlSigner } from './saml-response-builder.ts';
import { freePort, type PrivateRedis, startPrivateRedis } from './servers.ts';

export interface FaultWorldOptions {
  /** A server where a database can be made; null: a server of the world's own, which can be restarted. */
  readonly adminUrl: string | null;
  /** Processes of Rollcall, all of which serve and deliver. */
  readonly servers: number;
  readonly redis: boolean;
  readonly random: FaultRandom;
}

export interface FaultWorld {
  readonly db: Database;
  readonly servers: readonly FaultServer[];
  readonly receiver: FaultReceiver;
  /** Null: shared with others. */
  readonly postgres: FaultPostgres | null;
  readonly redis: PrivateRedis | null;
  flushRedis(): Promise<void>;
  /** One login at that server; fails when something on the way is away. */
  logIn(server: FaultServer, login: { protocol: Protocol; user: number; groups: readonly string[] }): Promise<LoginClaims>;
  /** From the API of a server that runs; null: it has no such thing. */
  readApi(path: string): Promise<string>;
  stop(): Promise<void>;
}

/** Short, so that a run need not wait: an attempt a second, a lease that ends soon after its worker, a circuit that opens now and then. */
const deliverySettings = {
  ROLLCALL_DELIVERY_TIMEOUT_SECONDS: '1',
  ROLLCALL_DELIVERY_LEASE_SECONDS: '3',
  ROLLCALL_DELIVERY_POLL_SECONDS: '1',
  ROLLCALL_DELIVERY_RETRY_DELAYS_SECONDS: Array.from({ length: 200 }, () => '1').join(','),
  ROLLCALL_DELIVERY_JITTER_FRACTION: '0.5',
  ROLLCALL_DELIVERY_CIRCUIT_FAILURES: '4',
  ROLLCALL_DELIVERY_CIRCUIT_PAUSE_SECONDS: '1',
  ROLLCALL_DELIVERY_CIRCUIT_MAX_PAUSE_SECONDS: '2',
};

export async function createFaultWorld(options: FaultWorldOptions): Promise<FaultWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'rollcall-faults-'));
  const redis = options.redis ? await startPrivateRedis() : null;
  const postgres = options.adminUrl === null ? await startFaultPostgres() : null;
  const adminUrl = options.adminUrl ?? (postgres as FaultPostgres).url;
  const name = `faults_${randomBytes(6).toString('hex')}`;
  await administer(
    adminUrl,
    `CREATE DATABASE ${name}`,
    // A test server does not flush to the disk; what committed must all the same outlive a crash of its processes.
    `ALTER DATABASE ${name} SET synchronous_commit = on`,
  );
  const databaseUrl = withDatabase(adminUrl, name);
  const apiKey = randomBytes(32).toString('base64url');
  const common = serverEnvironment({ databaseUrl, redisUrl: redis?.url ?? null, port: 0, publicUrl: 'http://localhost' });
  const servers: FaultServer[] = [];
  for (let number = 1; number <= options.servers; number += 1) {
    const port = await freePort();
    const publicUrl = `http://localhost:${port}`;
    const env = {
      ...common,
      ...deliverySettings,
      ROLLCALL_PUBLIC_URL: publicUrl,
      ROLLCALL_HTTP_PORT: String(port),
      ROLLCALL_HTTP_DRAIN_SECONDS: '2',
      ROLLCALL_POSTGRES_POOL_SIZE: '8',
      ROLLCALL_POSTGRES_STATEMENT_TIMEOUT_SECONDS: '5',
      ROLLCALL_BOOTSTRAP_API_KEY: apiKey,
    };
    servers.push(createFaultServer({ name: `server-${number}`, publicUrl, env, folder }));
  }
  const first = servers[0] as FaultServer;

  const oidcIdp = await startOidcIdp({ algorithm: 'ES256' });
  const samlKey = await createTestKey();
  const saml = createSamlSigner({ ...samlKey, entityId: samlIssuer });
  const settings = loadSettings({ env: { ...common, ROLLCALL_POSTGRES_POOL_SIZE: '3' }, folder: configFolder });
  const opened = await openStores({ settings, log: createLog({ level: 'silent' }), now: () => new Date() });
  const connections = await setUp(opened.stores, { oidcIdp, samlCertificate: samlKey.certificate });
  const receiver = await startFaultReceiver(options.random);
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' };
  await Promise.all(servers.map((server) => server.untilReady()));
  const added = await fetch(`${first.publicUrl}/v1/endpoints`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ url: receiver.url }),
  });
  if (added.status !== 201) throw new Error(`no endpoint: ${added.status} ${await added.text()}`);
  receiver.secret = ((await added.json()) as { secret: string }).secret;

  return {
    db: opened.stores.db,
    servers,
    receiver,
    postgres,
    redis,

    async flushRedis() {
      if (redis !== null) await sendToRedis(redis.url, 'FLUSHALL');
    },

    logIn(server, login) {
      const { publicUrl } = server;
      const now = new Date(Date.now() + server.clockAheadMilliseconds);
      const connectionId = connections[login.protocol];
      const giveUp = sleep(loginSeconds * 1_000, undefined, { ref: false }).then(() => Promise.reject(new Error('timeout')));
      return Promise.race([logInAs({ ...login, publicUrl, connectionId, agent, saml, oidcIdp, now }), giveUp]);
    },

    async readApi(path) {
      const answer = await fetch(`${first.publicUrl}${path}`, { headers });
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
      return answer.text();
    },

    async stop() {
      agent.destroy();
      await Promise.all(servers.map((server) => server.stop()));
      await opened.close();
      await Promise.all([oidcIdp.stop(), receiver.close(), redis?.stop()]);
      if (postgres === null) await administer(adminUrl, `DROP DATABASE ${name} WITH (FORCE)`);
      else await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const loginSeconds = 15;

/** Redis takes commands as plain lines too ("inline commands"). */
function sendToRedis(url: string, command: string): Promise<void> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: hostname, port: Number(port) }, () => socket.write(`${command}\r\n`));
    socket.once('error', reject).once('data', () => {
      socket.destroy();
      resolve();
    });
  });
}
