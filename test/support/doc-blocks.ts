import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const root = new URL('../../', import.meta.url);

export function readDoc(name: string): string {
  return readFileSync(new URL(`docs/${name}`, root), 'utf8');
}

/** The code of a page in one language, block by block. */
export function blocksOf(text: string, language: string): readonly string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map(([, code]) => code as string);
}

export interface Runtime {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** An ES module from its text; what it imports is found as from the project's folder. */
export function nodeModule(code: string): Runtime {
  return { command: process.execPath, args: ['--input-type=module', '--eval', code] };
}

export function pythonProgram(code: string, env: Readonly<Record<string, string>> = {}): Runtime {
  return { command: 'python3', args: ['-c', code], env };
}

export function hasPython(): boolean {
  return spawnSync('python3', ['--version']).status === 0;
}

/** What a program prints. @throws when it fails */
export function outputOf({ command, args, env }: Runtime, input = ''): string {
  const run = spawnSync(command, args, { cwd: root, env: { ...process.env, ...env }, input, encoding: 'utf8', timeout: 20_000 });
  if (run.status !== 0) throw new Error(`${command} ended with ${run.status}: ${run.stderr}`);
  return run.stdout;
}

/** Starts a program that listens at `port`, and waits until it does. */
export async function startListening({ command, args, env }: Runtime, port: number) {
  const lines: string[] = [];
  const errors: string[] = [];
  const child: ChildProcess = spawn(command, args, { cwd: root, env: { ...process.env, ...env, PORT: String(port) } });
  child.stdout?.on('data', (data) => lines.push(...String(data).split('\n').filter(Boolean)));
  child.stderr?.on('data', (data) => errors.push(String(data)));
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; ; tries += 1) {
    if (child.exitCode !== null || tries > 200) throw new Error(`it does not listen: ${errors.join('')}`);
    const answers = await fetch(url).then(
      () => true,
      () => false,
    );
    if (answers) break;
    await sleep(50);
  }
  return {
    url,
    lines,
    async stop(): Promise<void> {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    },
  };
}
