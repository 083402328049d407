import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const clock = new URL('./fault-clock.ts', import.meta.url).href;
const readySeconds = 60;

/** A Rollcall process that dies and comes back at the same address. */
export interface FaultServer {
  readonly publicUrl: string;
  /** How often it was killed. */
  readonly kills: number;
  /** How far its clock is ahead. */
  readonly clockAheadMilliseconds: number;
  start(): void;
  /** Starts it if it does not run, and waits until it serves. */
  untilReady(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  stepClock(aheadMilliseconds: number): void;
  stop(): Promise<void>;
  /** The last lines of its log, for a run that failed. */
  lastWords(): string;
}

/** @param folder for the log and the clock's file */
export function createFaultServer(options: {
  readonly name: string;
  readonly publicUrl: string;
  readonly env: NodeJS.ProcessEnv;
  readonly folder: string;
}): FaultServer {
  const { publicUrl } = options;
  const logFile = join(options.folder, `${options.name}.log`);
  const clockFile = join(options.folder, `${options.name}.clock`);
  writeFileSync(clockFile, '0');
  let child: ChildProcess | null = null;
  let kills = 0;
  let clockAheadMilliseconds = 0;

  const isRunning = () => child !== null && child.exitCode === null && child.signalCode === null;
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child === null || !isRunning()) return;
    const ended = new Promise((resolve) => child?.once('exit', resolve));
    child.kill(signal);
    await ended;
  };

  const server: FaultServer = {
    publicUrl,
    get kills() {
      return kills;
    },
    get clockAheadMilliseconds() {
      return clockAheadMilliseconds;
    },
    start() {
      if (isRunning()) return;
      const log = openSync(logFile, 'a');
      child = spawn(process.execPath, ['--import', clock, main], {
        env: { ...options.env, FAULT_CLOCK_FILE: clockFile },
        stdio: ['ignore', log, log],
      });
      closeSync(log);
    },
    async untilReady() {
      const end = performance.now() + readySeconds * 1_000;
      while (performance.now() < end) {
        // A start may fail while Postgres is away: an operator's supervisor starts it again.
        server.start();
        const answer = await fetch(`${publicUrl}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(() => null);
        await answer?.body?.cancel();
        if (answer?.ok) return;
        await sleep(50);
      }
      throw new Error(`the server did not get ready: ${server.lastWords()}`);
    },
    async kill() {
      if (!isRunning()) return;
      kills += 1;
      await end('SIGKILL');
    },
    stepClock(aheadMilliseconds) {
      clockAheadMilliseconds = aheadMilliseconds;
      writeFileSync(clockFile, String(aheadMilliseconds));
      child?.kill('SIGUSR2');
    },
    stop: () => end('SIGTERM'),
    lastWords: () => readFileSync(logFile, 'utf8').split('\n').slice(-40).join('\n'),
  };
  return server;
}
