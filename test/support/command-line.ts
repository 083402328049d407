import { run } from '../../src/cli/program.ts';

export interface CommandOptions {
  readonly isTerminal?: boolean;
  /** What the person at the terminal answers; absent: there is none. */
  readonly confirm?: (question: string) => Promise<boolean>;
  readonly env?: Readonly<Record<string, string>>;
}

export interface CommandResult {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

/** Settings by which a command finds a database. */
export function commandEnvironment(databaseUrl: string): Record<string, string> {
  return {
    ROLLCALL_MODE: 'development',
    ROLLCALL_SEALING_KEYS: `k1:${Buffer.alloc(32, 1).toString('base64')}`,
    ROLLCALL_COOKIE_KEYS: `k1:${Buffer.alloc(32, 2).toString('base64')}`,
    DATABASE_URL: databaseUrl,
    USER: 'tester',
  };
}

/** Runs `rollcall` in this process, as somebody at a terminal or a script would. */
export async function rollcallOn(
  databaseUrl: string,
  args: readonly string[],
  { isTerminal = false, confirm, env }: CommandOptions = {},
): Promise<CommandResult> {
  const written = { out: '', err: '' };
  const exitCode = await run(args, {
    env: { ...commandEnvironment(databaseUrl), ...env },
    out: (text) => {
      written.out += text;
    },
    err: (text) => {
      written.err += text;
    },
    isTerminal,
    settleMilliseconds: 0,
    ...(confirm && { confirm }),
  });
  return { exitCode, ...written };
}
