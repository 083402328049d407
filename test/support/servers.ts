import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEmbeddedPostgres } from '../../src/infra/embedded-postgres.ts';
import { createLog } from '../../src/infra/log.ts';
import { serverFolderPrefix } from './abandoned-servers.ts';
import { startContainer } from './containers.ts';

export interface TestServer {
  readonly url: string;
  /** Where it came from, for the first line of a run. */
  readonly source: string;
  stop(): Promise<void>;
}

/** Given address -> the machine's own binaries -> a container -> the binaries of the npm package. */
export async function startTestPostgres(): Promise<TestServer> {
  const given = process.env.TEST_DATABASE_URL || process.env.DATABASE_URL;
  if (given) return { url: given, source: 'the given address', stop: async () => {} };
  const system = systemPostgresFolder();
  if (system !== null) return startPrivatePostgres(system);
  const container = await startContainer({
    image: 'postgres:17-alpine',
    port: 5432,
    environment: { POSTGRES_PASSWORD: 'postgres' },
    readyLine: /ready to accept/,
    readyTimes: 2,
  });
  if (container !== null) {
    return {
      url: `postgres://postgres:postgres@${container.host}:${container.port}/postgres`,
      source: 'a container',
      stop: container.stop,
    };
  }
  return startPrivatePostgres();
}

/** A server of the caller's own, on a temporary folder, to stop and start at will; the npm package's unless a folder is given. */
export async function startPrivatePostgres(binariesFolder?: string): Promise<TestServer> {
  const dataFolder = await mkdtemp(serverFolderPrefix('postgres'));
  const server = await startEmbeddedPostgres({
    dataFolder,
    log: createLog({ level: 'warn' }),
    durable: false,
    ...(binariesFolder === undefined ? {} : { binariesFolder }),
  });
  return {
    url: server.url,
    source: binariesFolder ?? 'the npm package',
    async stop() {
      await server.stop();
      await rm(dataFolder, { recursive: true, force: true });
    },
  };
}

/** Debian's layout; the newest version wins. */
export function systemPostgresFolder(): string | null {
  const base = '/usr/lib/postgresql';
  try {
    const versions = readdirSync(base).filter(
      (name) => /^\d+$/.test(name) && readdirSync(join(base, name, 'bin')).includes('initdb'),
    );
    const newest = versions.sort((a, b) => Number(a) - Number(b)).at(-1);
    return newest === undefined ? null : join(base, newest);
  } catch {
    return null;
  }
}

/** Null: there is no Redis to be had here. */
export async function startTestRedis(): Promise<TestServer | null> {
  const given = process.env.TEST_REDIS_URL || process.env.REDIS_URL;
  if (given) return { url: given, source: 'the given address', stop: async () => {} };
  const own = await startPrivateRedis();
  if (own !== null) return own;
  const container = await startContainer({
    image: 'redis:7-alpine',
    port: 6379,
    environment: {},
    readyLine: /Ready to accept/,
    readyTimes: 1,
  });
  return container && { url: `redis://${container.host}:${container.port}`, source: 'a container', stop: container.stop };
}

export interface PrivateRedis extends TestServer {
  /** As a crash: SIGKILL, and everything it held is lost. */
  kill(): Promise<void>;
  /** Again at the same address, empty. */
  restart(): Promise<void>;
}

/** A Redis of the caller's own, to kill and restart; null where the machine has no `redis-server`. */
export async function startPrivateRedis(): Promise<PrivateRedis | null> {
  if (!hasRedisServer()) return null;
  const folder = await mkdtemp(serverFolderPrefix('redis'));
  // The server runs as nobody where this process is root.
  chmodSync(folder, 0o777);
  const port = await freePort();
  let child = await spawnRedis(folder, port);
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    source: 'redis-server',
    kill: () => end('SIGKILL'),
    async restart() {
      await end('SIGTERM');
      child = await spawnRedis(folder, port);
    },
    async stop() {
      await end('SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Whether this machine can start a Redis of its own. */
export function hasRedisServer(): boolean {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

async function spawnRedis(folder: string, port: number): Promise<ChildProcess> {
  const account = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  const flags = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
    '--save',
    '',
    '--appendonly',
    'no',
    '--pidfile',
    join(folder, 'redis.pid'),
  ];
  const child = spawn('redis-server', flags, { ...account, cwd: '/', stdio: 'ignore' });
  for (let attempt = 0; attempt < 400; attempt += 1) {
    if (child.exitCode !== null) throw new Error(`redis-server ended with code ${child.exitCode}`);
    if (await accepts(port)) return child;
    await sleep(25);
  }
  child.kill('SIGKILL');
  throw new Error('redis-server did not start within 10 s');
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** A port of the loopback interface that nobody listens on at this moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => (typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port'))));
    });
  });
}
