import { execFile } from 'node:child_process';
import { readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Server {
  readonly pid: number;
  readonly port: number;
  /** By this process and this call; false: it ran already. */
  readonly startedHere: boolean;
}

/** The lines of `postmaster.pid` that matter (PostgreSQL, miscadmin.h: LOCK_FILE_LINE_…). */
export interface PidFile {
  readonly pid: number;
  readonly port: number;
  readonly ready: boolean;
}

/** Null: no server was started, or it ended in order. */
export async function readPidFile(cluster: string): Promise<PidFile | null> {
  const lines = (await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
  const pid = Math.abs(Number(lines[0]));
  if (!Number.isInteger(pid) || pid === 0) return null;
  return { pid, port: Number(lines[3] ?? 0), ready: lines[7]?.trim() === 'ready' };
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * What has the process id that a pid file names: `server`, a server on this cluster; `stranger`, something else that got a dead
 * server's id; `ended`, nothing, or what is left of a process until its parent has looked; `doubtful`, perhaps a server on this cluster.
 */
export type Occupant = 'server' | 'stranger' | 'ended' | 'doubtful';

export async function occupantOf(pid: number, cluster: string): Promise<Occupant> {
  if (!isAlive(pid) || (await isZombie(pid))) return 'ended';
  if (process.platform === 'linux') {
    // A server works in its data folder, however it was started. Another account's processes do not show theirs; this one's do.
    const workingFolder = await readlink(`/proc/${pid}/cwd`).catch(() => null);
    return workingFolder === cluster ? 'server' : 'stranger';
  }
  const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'command=', '-p', String(pid)]).catch(() => ({
    stdout: 'postgres',
  }));
  if (!stdout.includes('postgres')) return 'stranger';
  return stdout.includes(`-D ${cluster} `) ? 'server' : 'doubtful';
}

export async function servesCluster(pid: number, cluster: string): Promise<boolean> {
  return (await occupantOf(pid, cluster)) === 'server';
}

async function isZombie(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return afterName(text).startsWith('Z');
}

/** When the process started, in clock ticks since boot (proc(5), field 22); null where there is no /proc. */
export async function startTicks(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  return text === null ? null : (afterName(text).split(' ')[19] ?? null);
}

/** From the third field on: the second, the program's name in parentheses, may hold anything. */
function afterName(stat: string): string {
  return stat.slice(stat.lastIndexOf(')') + 2);
}
