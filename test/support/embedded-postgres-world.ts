import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type EmbeddedPostgres, type EmbeddedPostgresOptions, startEmbeddedPostgres } from '../../src/infra/embedded-postgres.ts';
import { quietLog } from './quiet-log.ts';

const ownerScript = fileURLToPath(new URL('./embedded-postgres-owner.ts', import.meta.url));
export const isRoot = process.getuid?.() === 0;
export const nobody = 65_534;

export const root = mkdtempSync(join(tmpdir(), 'rollcall-embedded-'));
chmodSync(root, 0o755);
const running: EmbeddedPostgres[] = [];
export const children: ChildProcess[] = [];
let count = 0;

export const freshFolder = () => join(root, `data-${count++}`);
const template = freshFolder();
beforeAll(async () => {
  await (await startEmbeddedPostgres({ dataFolder: template, log: quietLog, durable: false })).stop();
});

/** Holds a database already, which spares the test the second that making one takes. */
export function usedFolder(): string {
  const folder = freshFolder();
  execFileSync('cp', ['-a', template, folder]);
  return folder;
}

export async function start(dataFolder: string, options: Partial<EmbeddedPostgresOptions> = {}): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataFolder, log: quietLog, durable: false, ...options });
  running.push(server);
  return server;
}

/** A server owned by another process. */
export async function startElsewhere(
  options: Record<string, unknown>,
): Promise<{ child: ChildProcess; answer: { url: string; message: string; reason: string } }> {
  const child = spawn(process.execPath, [ownerScript, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  if (child.stdout === null) throw new Error('no output');
  for await (const line of createInterface(child.stdout)) return { child, answer: JSON.parse(line) };
  throw new Error('the process ended without a word');
}

export function ended(child: ChildProcess): Promise<unknown> {
  return child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise((resolve) => child.once('exit', resolve));
}

export async function ask<T>(url: string, sql: string): Promise<T[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

export const answers = (url: string) =>
  ask(url, 'SELECT 1').then(
    () => true,
    () => false,
  );
export const serverPid = (folder: string) =>
  Number(readFileSync(join(folder, 'cluster', 'postmaster.pid'), 'utf8').split('\n')[0]);
export const alive = (pid: number) => existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');

afterEach(async () => {
  for (const server of running.splice(0)) await server.stop();
  for (const child of children.splice(0)) {
    child.kill('SIGTERM');
    await ended(child);
  }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));
