import { describe, expect, it } from 'vitest';
import { run } from '../../../src/cli/program.ts';
import { settingsSchema } from '../../../src/settings/schema.ts';

async function rollcall(...args: string[]) {
  const written = { out: '', err: '' };
  const exitCode = await run(args, {
    env: {},
    out: (text) => {
      written.out += text;
    },
    err: (text) => {
      written.err += text;
    },
  });
  return { exitCode, ...written };
}

describe('rollcall keys generate', () => {
  const sealingKeys = settingsSchema.shape.secrets.shape.sealingKeys;

  it('prints a key that the settings accept, another one each time', async () => {
    const [one, two] = [await rollcall('keys', 'generate'), await rollcall('keys', 'generate')];
    expect(one.exitCode).toBe(0);
    expect(sealingKeys.parse([one.out.trim(), two.out.trim()])).toHaveLength(2);
    expect(one.out).not.toBe(two.out);
  });

  it('takes a name for the key, if it is one', async () => {
    expect((await rollcall('keys', 'generate', '--id', '2026-07')).out).toMatch(/^2026-07:[A-Za-z0-9+/]{43}=\n$/);
    const refused = await rollcall('keys', 'generate', '--id', 'a b');
    expect(refused).toMatchObject({ exitCode: 2, out: '' });
    expect(refused.err).toContain('letters');
  });
});

describe('a command line', () => {
  it.each([[['--help']], [['apply', '--help']], [['api-keys', 'create', '--help']], [['serve', '--help']]])(
    '%j explains itself',
    async (args) => {
      const { exitCode, out } = await rollcall(...args);
      expect(exitCode).toBe(0);
      expect(out).toContain(args.length === 1 ? 'Exit codes' : 'Examples');
    },
  );

  it('every command has a help text with examples', async () => {
    const commandsIn = (help: string) =>
      [...(help.split('\nCommands:\n')[1] ?? '').matchAll(/^ {2}([a-z][a-z-]*)/gm)].flatMap(([, name = '']) =>
        name === 'help' ? [] : [name],
      );
    const leaves: string[][] = [];
    const walk = async (path: readonly string[]): Promise<void> => {
      const below = commandsIn((await rollcall(...path, '--help')).out);
      if (below.length === 0) leaves.push([...path]);
      for (const name of below) await walk([...path, name]);
    };
    await walk([]);
    expect(leaves.map((path) => path.join(' '))).toEqual(
      expect.arrayContaining(['serve', 'apply', 'keys rotate', 'domains verify', 'identities move', 'licence set', 'doctor']),
    );
    for (const path of leaves) expect((await rollcall(...path, '--help')).out, path.join(' ')).toContain('Examples:');
  });

  it.each([
    [['aply']],
    [['apply']],
    [['apply', '-f']],
    [['keys', 'generate', '--unknown']],
    [['api-keys', 'create']],
    [['api-keys', 'create', '--name', 'x', '--expires-in-days', '0']],
  ])('%j is wrong: exit code 2, told on standard error', async (args) => {
    const { exitCode, out, err } = await rollcall(...args);
    expect([exitCode, out]).toEqual([2, '']);
    expect(err).toContain('error:');
  });

  it('with settings that are wrong ends with 3 and all of them', async () => {
    const { exitCode, err } = await rollcall('migrate');
    expect(exitCode).toBe(3);
    expect(err).toContain('ROLLCALL_SEALING_KEYS');
    expect(err).toContain('ROLLCALL_PUBLIC_URL');
  });
});
