import { randomBytes } from 'node:crypto';
import { Command, InvalidArgumentError } from 'commander';
import { createLog } from '../infra/log.ts';
import type { Settings } from '../settings/schema.ts';
import type { Stores } from '../stores.ts';
import { addApiKeys } from './api-key-commands.ts';
import { createCommandAudit } from './audit.ts';
import { addDoctor } from './doctor-command.ts';
import { type ExitCode, exitCodes, exitCodesHelp } from './exit-codes.ts';
import { failureOf } from './failure.ts';
import { addPlanningCommands } from './planning-commands.ts';

export interface Terminal {
  readonly env: NodeJS.ProcessEnv;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Whether `out` is a person's screen; colours need it. */
  readonly isTerminal?: boolean;
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
  for (const add of [
    addServe,
    addMigrate,
    addApply,
    addPlanning,
    addKeys,
    addApiKeyCommands,
    addLicence,
    addSchema,
    addDoctorCommand,
  ])
    add(program, terminal);
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

function addPlanning(program: Command, terminal: Terminal): void {
  addPlanningCommands(program, { terminal, withStores: (command) => withStores(terminal, command), examples, now });
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

function addApiKeyCommands(program: Command, terminal: Terminal): void {
  addApiKeys(program, { terminal, withStores: (command) => withStores(terminal, command), examples, now });
}

function addLicence(program: Command, terminal: Terminal): void {
  const licence = program.command('licence').description('The licence: who may sign in, and how many.');
  licence
    .command('show')
    .description('Show the licence in force, where it comes from and how many seats are taken.')
    .addHelpText('after', examples('rollcall licence show'))
    .action(() => withStores(terminal, async ({ stores }) => (await licenceCommands()).show(stores.licences, terminal.out)));
  licence
    .command('set')
    .description('Check a licence and put it in force, on every replica within two seconds. It wins over the settings.')
    .argument('<file>', 'file that holds the licence; - reads standard input')
    .addHelpText('after', examples('rollcall licence set licence.jws', 'rollcall licence set - < licence.jws'))
    .action((file: string) =>
      withStores(terminal, async ({ stores, audit }) => {
        await (await licenceCommands()).set(stores.licences, file, terminal.out);
        await audit.record({ action: 'rollcall licence set', resource: 'licence', after: stores.licences.view() });
      }),
    );
  licence
    .command('unset')
    .description('Take back the licence that was set, so that the one of the settings is in force again.')
    .addHelpText('after', examples('rollcall licence unset'))
    .action(() =>
      withStores(terminal, async ({ stores, audit }) => {
        await (await licenceCommands()).unset(stores.licences, terminal.out);
        await audit.record({ action: 'rollcall licence unset', resource: 'licence', after: stores.licences.view() });
      }),
    );
  licence
    .command('verify')
    .description('Check a licence against the configured keys, and change nothing. Needs no database.')
    .argument('<file>', 'file that holds the licence; - reads standard input')
    .addHelpText('after', examples('rollcall licence verify licence.jws'))
    .action(async (file: string) => {
      const { configFolder } = await import('../main.ts');
      const { loadSettings } = await import('../settings/load.ts');
      const { publicKeys } = loadSettings({ env: terminal.env, folder: configFolder }).licence;
      await (await licenceCommands()).verify(publicKeys, file, { now, write: terminal.out });
    });
}

function addSchema(program: Command, { out }: Terminal): void {
  program
    .command('schema')
    .description('Print the JSON Schema of the declarative file, by which editors complete and check it.')
    .addHelpText('after', examples('rollcall schema > rollcall.schema.json'))
    .action(async () => {
      const { declarationJsonSchema } = await import('./declarative-json-schema.ts');
      out(`${JSON.stringify(declarationJsonSchema(), null, 2)}\n`);
    });
}

function addDoctorCommand(program: Command, terminal: Terminal): void {
  addDoctor(program, { terminal, examples, now });
}

const licenceCommands = () => import('./licence-commands.ts');

/** Reads the settings, opens what they name (the schema is brought up to date), runs the command and closes all. */
async function withStores(
  { env, err }: Terminal,
  command: (opened: {
    readonly stores: Stores;
    readonly settings: Settings;
    readonly audit: ReturnType<typeof createCommandAudit>;
  }) => Promise<void>,
): Promise<void> {
  const { configFolder, openStores } = await import('../main.ts');
  const { loadSettings } = await import('../settings/load.ts');
  const settings = loadSettings({ env, folder: configFolder });
  // Standard output is the command's own.
  const log = createLog({ level: settings.log.level === 'silent' ? 'silent' : 'warn', destination: { write: err } });
  const opened = await openStores({ settings, log, now });
  try {
    const audit = createCommandAudit({ audit: opened.stores.audit, env });
    await command({ stores: opened.stores, settings, audit });
  } finally {
    await opened.close();
  }
}

function keyId(value: string): string {
  if (/^[A-Za-z0-9_-]{1,32}$/.test(value)) return value;
  throw new InvalidArgumentError('give 1 to 32 letters, digits, "_" or "-"');
}

function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`;
}
