import { type Command, InvalidArgumentError } from 'commander';
import type { Settings } from '../settings/schema.ts';
import type { Stores } from '../stores.ts';
import type { Screen } from './text-table.ts';

interface PlanningCommandDeps {
  readonly terminal: Screen;
  readonly withStores: (
    command: (opened: { readonly stores: Stores; readonly settings: Settings }) => Promise<void>,
  ) => Promise<void>;
  readonly examples: (...lines: string[]) => string;
  readonly now: () => Date;
}

/** `plan`, `simulate` and `explain`: what would be, and why what is. None of them changes anything. */
export function addPlanningCommands(program: Command, deps: PlanningCommandDeps): void {
  addPlan(program, deps);
  addSimulate(program, deps);
  addExplain(program, deps);
}

function addPlan(program: Command, { terminal, withStores, examples, now }: PlanningCommandDeps): void {
  program
    .command('plan')
    .description('Say what a declarative file would change, and whose access, by the groups last seen. Changes nothing.')
    .requiredOption('-f, --file <file>', 'the declarative file')
    .option('--prune', 'as if what the lists of the file do not name were to be removed')
    .option('--limit <members>', 'how many members to show', wholeNumber, 50)
    .option('--json', 'everything, for programs')
    .addHelpText(
      'after',
      `
Gains are green and losses red on a terminal, unless NO_COLOR is set.
${examples('rollcall plan -f rollcall.yaml', 'rollcall plan -f rollcall.yaml --json | jq .summary')}`,
    )
    .action(async (options: { file: string; limit: number; json?: boolean; prune?: boolean }) => {
      const { planFile } = await import('./plan-command.ts');
      await withStores(({ stores, settings }) =>
        planFile(
          { ...options, json: options.json ?? false, prune: options.prune ?? false },
          { stores, env: terminal.env, allowHttp: settings.outbound.allowHttp, now, terminal },
        ),
      );
    });
}

function addSimulate(program: Command, { terminal, withStores, examples }: PlanningCommandDeps): void {
  program
    .command('simulate')
    .description('Say what a login with these groups, or with the last ones of a user, would give. Changes nothing.')
    .requiredOption('--connection <connection>', 'id or display name')
    .option('--workspace <workspace>', 'slug or id; all that the connection serves unless given')
    .option('--groups <names...>', 'as the identity provider would send them')
    .option('--user <user>', 'id or e-mail address, instead of groups')
    .option('--json', 'for programs')
    .addHelpText(
      'after',
      examples(
        'rollcall simulate --connection Okta --groups Engineering "Help Desk"',
        'rollcall simulate --connection Okta --workspace acme --user ann@example.com',
      ),
    )
    .action(async (options: { connection: string; workspace?: string; groups?: string[]; user?: string; json?: boolean }) => {
      const { simulateLogin } = await import('./simulate-command.ts');
      await withStores(({ stores }) => simulateLogin(options, { stores, terminal }));
    });
}

function addExplain(program: Command, { terminal, withStores, examples }: PlanningCommandDeps): void {
  program
    .command('explain')
    .description('Say why a member has each role and group, or why not one that is asked about.')
    .requiredOption('--workspace <workspace>', 'slug or id')
    .requiredOption('--user <user>', 'id or e-mail address')
    .option('--group <name>', 'a role or app group that the member does not have')
    .option('--json', 'for programs')
    .addHelpText(
      'after',
      examples(
        'rollcall explain --workspace acme --user ann@example.com',
        'rollcall explain --workspace acme --user ann@example.com --group engineers',
      ),
    )
    .action(async (options: { workspace: string; user: string; group?: string; json?: boolean }) => {
      const { explainMember } = await import('./explain-command.ts');
      await withStores(({ stores }) => explainMember(options, { stores, terminal }));
    });
}

export function wholeNumber(value: string): number {
  if (/^[0-9]{1,9}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('give a whole number');
}
