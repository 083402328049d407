import { Command } from 'commander';
import { createLog, type Log } from '../infra/log.ts';
import type { Settings } from '../settings/schema.ts';
import type { Stores } from '../stores.ts';
import { addApiKeys } from './api-key-commands.ts';
import { addApply } from './apply-options.ts';
import { createCommandAudit } from './audit.ts';
import { addDoctor } from './doctor-command.ts';
import { addDomains } from './domain-commands.ts';
import { type ExitCode, exitCodes, exitCodesHelp } from './exit-codes.ts';
import { failureOf } from './failure.ts';
import { addIdentities } from './identity-commands.ts';
import { addKeys } from './key-commands.ts';
import { addPlanningCommands } from './planning-commands.ts';
import type { Terminal } from './terminal.ts';

const now = () => new Date();

/**
 * Runs one command line.
 * @param args without the program's own name
 * @returns the exit code; everything that goes wrong is told on `err`
 */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  try {
    await createProgram({ ...terminal, out: (text) => terminal.out(escaped(text)) }).parseAsync([...args], { from: 'user' });
    return exitCodes.done;
  } catch (error) {
    const { exitCode, text } = failureOf(error);
    if (text !== '') terminal.err(`${text}\n`);
    return exitCode;
  }
}

/** JSON may hold DEL and the C1 controls as they are (RFC 8259 7), and terminals obey them. Tables have none. */
function escaped(text: string): string {
  return text.replace(/[\u007f-\u009f]/g, (control) => `\\u00${control.charCodeAt(0).toString(16)}`);
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
    addApplyCommand,
    addPlanning,
    addKeyCommands,
    addApiKeyCommands,
    addDomainCommands,
    addIdentityCommands,
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

function addApplyCommand(program: Command, terminal: Terminal): void {
  addApply(program, { terminal, withStores: (command) => withStores(terminal, command), examples, now });
}

function addPlanning(program: Command, terminal: Terminal): void {
  addPlanningCommands(program, { terminal, withStores: (command) => withStores(terminal, command), examples, now });
}

function addKeyCommands(program: Command, terminal: Terminal): void {
  addKeys(program, { terminal, withStores: (command) => withStores(terminal, command), examples });
}

function addApiKeyCommands(program: Command, terminal: Terminal): void {
  addApiKeys(program, { terminal, withStores: (command) => withStores(terminal, command), examples, now });
}

function addDomainCommands(program: Command, terminal: Terminal): void {
  addDomains(program, { terminal, withStores: (command) => withStores(terminal, command), examples });
}

function addIdentityCommands(program: Command, terminal: Terminal): void {
  const { err } = terminal;
  addIdentities(program, {
    terminal,
    examples,
    withStores: (command) =>
      withStores(terminal, async (opened) => {
        const { tokenRevocationBy } = await import('./token-revocation.ts');
        const { db, sealedBox } = opened.stores;
        await command({ ...opened, revokeUser: tokenRevocationBy({ ...opened, db, sealedBox, now, err }) });
      }),
  });
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
    readonly log: Log;
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
    await command({ stores: opened.stores, settings, audit, log });
  } finally {
    await opened.close();
  }
}

function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`;
}
