import { readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, readPidFile, servesCluster } from '../../src/infra/embedded-postgres-process.ts';

const pattern = /^rollcall-test-(postgres|redis)-(\d+)-/;

/** For `mkdtemp`: says which process the server belongs to. */
export function serverFolderPrefix(kind: 'postgres' | 'redis'): string {
  return join(tmpdir(), `rollcall-test-${kind}-${process.pid}-`);
}

/** Ends servers of test runs that were killed before they could do it, and removes their folders. */
export async function stopAbandonedServers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const [, kind, pid] = pattern.exec(name) ?? [];
    if (kind === undefined || isAlive(Number(pid))) continue;
    const folder = join(tmpdir(), name);
    const server = kind === 'postgres' ? await postgresOn(folder) : await redisOn(folder);
    try {
      if (server !== null) await end(server);
      await rm(folder, { recursive: true, force: true });
    } catch {
      // Another user's: that user's next run will see to it.
    }
  }
}

async function postgresOn(folder: string): Promise<number | null> {
  const cluster = join(folder, 'cluster');
  const found = await readPidFile(cluster);
  return found !== null && (await servesCluster(found.pid, cluster)) ? found.pid : null;
}

/** A Redis works in its folder. */
async function redisOn(folder: string): Promise<number | null> {
  const pid = Number(await readFile(join(folder, 'redis.pid'), 'utf8').catch(() => '0'));
  const workingFolder = await readlink(`/proc/${pid}/cwd`).catch(() => null);
  return pid > 0 && workingFolder === folder ? pid : null;
}

async function end(pid: number): Promise<void> {
  process.kill(pid, 'SIGQUIT');
  for (let attempt = 0; attempt < 100 && isAlive(pid); attempt += 1) await sleep(25);
}
