#!/usr/bin/env node
import { createInterface } from 'node:readline/promises';
import { run } from './program.ts';

const isTerminal = process.stdout.isTTY === true;

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  isTerminal,
  ...(isTerminal && process.stdin.isTTY === true && { confirm }),
});

/** Anything but "y" or "yes" is a no; standard output is the command's own. */
async function confirm(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}
