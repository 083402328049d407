import { randomBytes } from 'node:crypto';
import { Command, InvalidArgumentError } from 'commander';
import { BrokerError } from '../domain/broker-error.ts';
import { createLog } from '../infra/log.ts';
import type { Settings } from '../settings/schema.ts';
import type { Stores } from '../stores.ts';
import { type ExitCode, exitCodes, exitCodesHelp } from './exit-codes.ts';
import { failureOf } from './failure.ts';

export interface Terminal {
  readonly env: NodeJS.ProcessEnv;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

const now = () => new Date();

/**
 * Runs one command line.
 * @param args without the program's own name
 * @returns the exit code; everything that goes wrong is told on `err`
 */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  try {
    await createProgram(terminal).parseAsync([...args], { from: 'user' });
    return exitCodes.done;
  } catch (error) {
    const { exitCode, text } = failureOf(error);
    if (text !== '') terminal.err(`${text}\n`);
    return exitCode;
  }
}

function createProgram(terminal: Terminal): Command {
  const program = new Command('rollcall')
    .description('Identity broker: SAML and OpenID Connect in, OpenID Connect out, with group mapping and signed webhooks.')
    .addHelpText('after', `\nSettings: config/default.yaml explains each, and names its environment variable.\n${exitCodesHelp}`)
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.err })
    .exitOverride()
    .showHelpAfterError('(rollcall --help shows what there is)');
  for (const add of [addServe, addMigrate, addApply, addKeys, addApiKeys]) add(program, terminal);
  return program;
}

function addServe(program: Command, { env }: Terminal): void {
  program
    .command('serve')
    .description('Serve logins and the API, and deliver webhooks, until SIGTERM or SIGINT.')
    .addHelpText('after', examples('DATABASE_URL=postgres://… ROLLCALL_PUBLIC_URL=https://login.example.com rollcall serve'))
    .action(async () => {
      const { serve } = await import('../main.ts');
      await serve(env);
    });
}

function addMigrate(program: Command, terminal: Terminal): void {
  program
    .command('migrate')
    .description('Bring the database schema up to date. Safe while the previous version serves, and to run twice.')
    .addHelpText('after', examples('DATABASE_URL=postgres://… rollcall migrate'))
    .action(() =>
      withStores(terminal, async ({ stores }) => {
        const migrations = await stores.db('schema_migrations').orderBy('name').pluck<string[]>('name');
        terminal.out(`The schema is up to date: ${migrations.at(-1) ?? 'no migrations'}.\n`);
      }),
    );
}

function addApply(program: Command, terminal: Terminal): void {
  program
    .command('apply')
    .description('Bring workspaces, app groups, connections, clients and endpoints in line with a YAML file, all or nothing.')
    .requiredOption('-f, --file <file>', 'the declarative file; rollcall.example.yaml explains its fields')
    .option('--dry-run', 'say what would be done, and do nothing')
    .addHelpText(
      'after',
      `
What the file does not name stays. A second run says "no change". Errors are told with line and column, all at once.
${examples('rollcall apply -f rollcall.yaml', 'rollcall apply -f rollcall.yaml --dry-run')}`,
    )
    .action(async ({ file, dryRun = false }: { file: string; dryRun?: boolean }) => {
      const { applyFile } = await import('./apply-command.ts');
      await withStores(terminal, ({ stores, settings }) =>
        applyFile(
          { file, dryRun },
          { stores, env: terminal.env, allowHttp: settings.outbound.allowHttp, now, write: terminal.out },
        ),
      );
    });
}

function addKeys(program: Command, { out }: Terminal): void {
  const keys = program.command('keys').description('Keys for the settings.');
  keys
    .command('generate')
    .description('Print a new key for ROLLCALL_SEALING_KEYS or ROLLCALL_COOKIE_KEYS: "<id>:<32 random bytes in base64>".')
    .option('--id <id>', 'the name that sealed values carry; random unless given', keyId)
    .addHelpText(
      'after',
      examples('export ROLLCALL_SEALING_KEYS="$(rollcall keys generate)"', 'rollcall keys generate --id 2026-07'),
    )
    .action(({ id }: { id?: string }) => {
      out(`${id ?? `k${randomBytes(4).toString('hex')}`}:${randomBytes(32).toString('base64')}\n`);
    });
}

function addApiKeys(program: Command, terminal: Terminal): void {
  const apiKeys = program.command('api-keys').description('Keys of the REST API.');
  apiKeys
    .command('create')
    .description('Make an API key and print it, this once.')
    .requiredOption('--name <name>', 'what it is for')
    .option('--workspace <slug or id>', 'only for this workspace; the whole instance unless given')
    .option('--read-only', 'may read, and change nothing')
    .option('--expires-in-days <days>', 'valid for so long; for ever unless given', days)
    .addHelpText(
      'after',
      examples('rollcall api-keys create --name ci', 'rollcall api-keys create --name acme --workspace acme --read-only'),
    )
    .action((options: { name: string; workspace?: string; readOnly?: boolean; expiresInDays?: number }) =>
      withStores(terminal, async ({ stores }) => {
        const { keyId, key } = await stores.apiKeys.create({
          name: options.name,
          workspaceId: await workspaceIdOf(stores, options.workspace),
          readOnly: options.readOnly ?? false,
          expiresAt: options.expiresInDays === undefined ? null : new Date(now().getTime() + options.expiresInDays * 86_400_000),
        });
        // The key alone on standard output, so that it can be piped into a store of secrets.
        terminal.err(`API key ${keyId}, shown this once:\n`);
        terminal.out(`${key}\n`);
      }),
    );
  apiKeys
    .command('revoke')
    .description('Make an API key worth nothing, at once.')
    .argument('<id>', 'as "api-keys create" told it')
    .action((keyId: string) =>
      withStores(terminal, async ({ stores }) => {
        if (!(await stores.apiKeys.revoke(keyId))) throw new BrokerError('not_found', `there is no valid API key ${keyId}`);
        terminal.out(`API key ${keyId} is revoked.\n`);
      }),
    );
}

async function workspaceIdOf(stores: Stores, reference: string | undefined): Promise<string | null> {
  if (reference === undefined) return null;
  const workspace = await stores.workspaces.find(reference);
  if (!workspace) throw new BrokerError('not_found', `there is no workspace ${reference}`);
  return workspace.workspaceId;
}

/** Reads the settings, opens what they name (the schema is brought up to date), runs the command and closes all. */
async function withStores(
  { env, err }: Terminal,
  command: (opened: { readonly stores: Stores; readonly settings: Settings }) => Promise<void>,
): Promise<void> {
  const { configFolder, openStores } = await import('../main.ts');
  const { loadSettings } = await import('../settings/load.ts');
  const settings = loadSettings({ env, folder: configFolder });
  // Standard output is the command's own.
  const log = createLog({ level: settings.log.level === 'silent' ? 'silent' : 'warn', destination: { write: err } });
  const opened = await openStores({ settings, log, now });
  try {
    await command({ stores: opened.stores, settings });
  } finally {
    await opened.close();
  }
}

function keyId(value: string): string {
  if (/^[A-Za-z0-9_-]{1,32}$/.test(value)) return value;
  throw new InvalidArgumentError('give 1 to 32 letters, digits, "_" or "-"');
}

function days(value: string): number {
  if (/^[1-9][0-9]{0,4}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('give a whole number of days, at least 1');
}

function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`;
}
