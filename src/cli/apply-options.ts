import type { Command } from 'commander';
import type { Log } from '../infra/log.ts';
import type { Settings } from '../settings/schema.ts';
import type { Stores } from '../stores.ts';
import type { ApplyOptions } from './apply-command.ts';
import { wholeNumber } from './planning-commands.ts';
import type { Terminal } from './terminal.ts';

interface ApplyOptionsDeps {
  readonly terminal: Terminal;
  readonly withStores: (
    command: (opened: { readonly stores: Stores; readonly settings: Settings; readonly log: Log }) => Promise<void>,
  ) => Promise<void>;
  readonly examples: (...lines: string[]) => string;
  readonly now: () => Date;
}

/** `rollcall apply`: what it takes; what it does is in `apply-command`. */
export function addApply(program: Command, { terminal, withStores, examples, now }: ApplyOptionsDeps): void {
  program
    .command('apply')
    .description(
      'Say what a YAML file would change and for whom; once confirmed, bring everything in line with it, all or nothing.',
    )
    .requiredOption('-f, --file <file>', 'the declarative file; rollcall.example.yaml explains its fields')
    .option('-y, --yes', 'do it without asking; needed where there is no terminal')
    .option('--prune', 'remove what the lists of the file do not name; a list that is left out is left alone')
    .option('--force', 'also when more members lose something than groupSync.planLossThresholdPercent allows')
    .option('--dry-run', 'say what would be done, and do nothing')
    .option('--limit <members>', 'how many members to show', wholeNumber, 50)
    .option('--json', 'everything, for programs')
    .addHelpText(
      'after',
      `
What the file does not name stays, unless --prune is given. A second run says "No change". Errors are told with line and column, all at
once. Without a terminal and without --yes the plan is printed, nothing is changed, and the exit code is 6 if there is something to do.
Members follow at once, by the groups of their last login. Ctrl-C ends after the batch under way (exit code 7); run it again to go on.
${examples(
  'rollcall apply -f rollcall.yaml',
  'rollcall apply -f rollcall.yaml --yes --json | jq .result',
  'rollcall apply -f rollcall.yaml --prune --dry-run',
)}`,
    )
    .action(async (options: ApplyOptions) => {
      const { applyFile } = await import('./apply-command.ts');
      await withStores(({ stores, settings, log }) =>
        applyFile(options, {
          stores,
          env: terminal.env,
          allowHttp: settings.outbound.allowHttp,
          lossThresholdPercent: settings.groupSync.planLossThresholdPercent,
          settleMilliseconds: terminal.settleMilliseconds ?? settings.cache.maxStaleSeconds * 1_000,
          now,
          log,
          terminal,
          onInterrupt,
        }),
      );
    });
}

function onInterrupt(stop: () => void): () => void {
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.once(signal, stop);
  return () => {
    for (const signal of signals) process.off(signal, stop);
  };
}
