import { mkdtemp, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/infra/embedded-postgres.ts';
import { isAlive } from '../../src/infra/embedded-postgres-process.ts';
import { serverFolderPrefix } from './abandoned-servers.ts';
import { quietLog } from './quiet-log.ts';
import { freePort, systemPostgresFolder } from './servers.ts';
import { startTcpProxy } from './tcp-proxy.ts';

/** A Postgres of the caller's own behind a relay: it may come back at another port, its clients know the relay's. */
export interface FaultPostgres {
  readonly url: string;
  /** Ends all sessions and starts again. `crash`: as if its processes had died at once; it recovers from its log. */
  restart(how: 'orderly' | 'crash'): Promise<void>;
  stop(): Promise<void>;
}

export async function startFaultPostgres(): Promise<FaultPostgres> {
  const dataFolder = await mkdtemp(serverFolderPrefix('postgres'));
  const binariesFolder = systemPostgresFolder();
  const target = { host: '127.0.0.1', port: 0 };
  const start = async (): Promise<EmbeddedPostgres> => {
    const started = await startEmbeddedPostgres({
      dataFolder,
      log: quietLog,
      durable: false,
      ...(binariesFolder !== null && { binariesFolder }),
    });
    target.port = Number(new URL(started.url).port);
    return started;
  };
  let server = await start();
  const proxy = await startTcpProxy(target);
  const url = new URL(server.url);
  url.port = String(proxy.port);
  return {
    url: url.href,
    async restart(how) {
      if (how === 'crash') await crash(server.url);
      await server.stop();
      target.port = await freePort();
      server = await start();
    },
    async stop() {
      await proxy.close();
      await server.stop();
      await rm(dataFolder, { recursive: true, force: true });
    },
  };
}

/** PostgreSQL documentation 19.5: SIGQUIT ends every process at once, without a checkpoint. */
async function crash(url: string): Promise<void> {
  const client = new pg.Client(url);
  // The server that answers is the one that ends.
  client.on('error', () => undefined);
  await client.connect();
  const { rows } = await client.query<{ pid: number }>(
    "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)::int AS pid",
  );
  const pid = rows[0]?.pid as number;
  process.kill(pid, 'SIGQUIT');
  await client.end().catch(() => undefined);
  while (isAlive(pid)) await sleep(10);
}
