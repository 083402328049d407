import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { BrokerError } from '../domain/broker-error.ts';
import type { Binaries } from './embedded-postgres-binaries.ts';
import { type Credentials, serverEnvironment } from './embedded-postgres-cluster.ts';
import type { Place } from './embedded-postgres-place.ts';
import { occupantOf, readPidFile, type Server, servesCluster } from './embedded-postgres-process.ts';
import type { Log } from './log.ts';

export type { Server } from './embedded-postgres-process.ts';

interface ServerOptions {
  readonly cluster: string;
  readonly binaries: Binaries;
  readonly place: Place;
  readonly credentials: Credentials;
  readonly durable: boolean;
  readonly log: Log;
}

const attempts = 20;
const startSeconds = 60;
const stopSeconds = 30;
const pollMilliseconds = 25;
const retryMilliseconds = 250;

/** The server that runs on the cluster, started if there is none. Postgres itself sees to it that there is at most one. */
export async function ensureServer(options: ServerOptions): Promise<Server> {
  const { cluster, place, credentials, log } = options;
  let lastWords = '';
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const found = await readPidFile(cluster);
    const occupant = found === null ? 'ended' : await occupantOf(found.pid, cluster);
    if (occupant === 'doubtful') throw doubtful(cluster, found?.pid);
    if (found !== null && occupant === 'server') {
      const server = await waitUntilReady(cluster, found.pid, credentials);
      if (server === null) continue;
      log.info({ pid: server.pid, port: server.port, folder: cluster }, 'using the Postgres server that runs on the data folder');
      return { ...server, startedHere: false };
    }
    // Postgres clears up after a dead server; an id that another program has now would make it refuse.
    if (occupant === 'stranger') await rm(join(cluster, 'postmaster.pid'), { force: true });
    const logFile = join(place.home, `new-server-${randomBytes(6).toString('hex')}.log`);
    const child = await spawnServer(options, await freePort(), logFile);
    const server = child.pid === undefined ? null : await waitUntilReady(cluster, child.pid, credentials);
    if (server !== null) {
      await rename(logFile, join(place.home, 'server.log'));
      child.on('exit', (code, signal) => log.info({ pid: server.pid, code, signal }, 'the embedded Postgres server ended'));
      log.info({ pid: server.pid, port: server.port, folder: cluster }, 'embedded Postgres server started');
      return { ...server, startedHere: true };
    }
    lastWords = await readFile(logFile, 'utf8');
    await rm(logFile);
    // Another start was quicker, the port was taken in between, or the processes of a killed server are still ending.
    if (!/lock file|in use|could not bind|could not create any TCP/i.test(lastWords)) break;
    await sleep(retryMilliseconds);
  }
  throw new BrokerError(
    'unavailable',
    `the embedded Postgres server does not start on ${cluster}: ${lastWords.trim().slice(-1_000)}`,
    {
      reason: 'embedded_postgres_failed',
    },
  );
}

function doubtful(cluster: string, pid: number | undefined): BrokerError {
  return new BrokerError(
    'unavailable',
    `process ${pid} may be a Postgres server on ${cluster}. End it, or, if it is not one, delete ${join(cluster, 'postmaster.pid')}.`,
    { reason: 'embedded_postgres_failed' },
  );
}

async function spawnServer(options: ServerOptions, port: number, logFile: string): Promise<ChildProcess> {
  const { cluster, binaries, place, durable } = options;
  const settings = {
    listen_addresses: '127.0.0.1',
    // The path of a socket has a length limit that a data folder may pass.
    unix_socket_directories: '',
    max_connections: '100',
    ...(durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const output = await open(logFile, 'wx', 0o600);
  try {
    // A session of its own: Ctrl-C in the terminal reaches this process first, which then stops the server in order.
    const child = spawn(join(binaries.folder, 'bin', 'postgres'), ['-D', cluster, '-c', `port=${port}`, ...flags], {
      ...place.account,
      cwd: place.home,
      env: serverEnvironment,
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
    });
    // What went wrong is told by the wait for the process that never was.
    child.on('error', () => undefined);
    child.unref();
    return child;
  } finally {
    await output.close();
  }
}

/** Null: the process ended, or another one has the cluster. */
async function waitUntilReady(
  cluster: string,
  pid: number,
  credentials: Credentials,
): Promise<Omit<Server, 'startedHere'> | null> {
  const deadline = performance.now() + startSeconds * 1_000;
  while (performance.now() < deadline && (await occupantOf(pid, cluster)) !== 'ended') {
    const found = await readPidFile(cluster);
    if (found?.pid === pid && found.ready && (await answers(cluster, found.port, credentials))) return { pid, port: found.port };
    await sleep(pollMilliseconds);
  }
  return null;
}

/** The server proves by SCRAM that it knows the password (RFC 5802), and names its folder. */
async function answers(cluster: string, port: number, credentials: Credentials): Promise<boolean> {
  const client = new pg.Client({ host: '127.0.0.1', port, database: 'postgres', connectionTimeoutMillis: 2_000, ...credentials });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ data_directory: string }>('SHOW data_directory');
    return rows[0]?.data_directory === cluster;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Fast shutdown (SIGINT): open transactions roll back. After a time without success, immediate shutdown (SIGQUIT). */
export async function stopServer(cluster: string, { pid }: Server, log: Log): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    if (!(await servesCluster(pid, cluster))) return;
    process.kill(pid, signal);
    const deadline = performance.now() + stopSeconds * 1_000;
    while (performance.now() < deadline) {
      if (!(await servesCluster(pid, cluster))) return;
      await sleep(pollMilliseconds);
    }
    log.warn({ pid, signal, stopSeconds }, 'the embedded Postgres server did not end in time');
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => (typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port'))));
    });
  });
}
