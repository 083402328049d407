import type { Command } from 'commander';
import { createLog } from '../infra/log.ts';
import type { Settings } from '../settings/schema.ts';
import { SettingsError } from '../settings/settings-error.ts';
import { exitCodeOf, type Finding, ProblemsFound, problem, renderFindings } from './doctor-findings.ts';
import { exitCodes } from './exit-codes.ts';
import { paintFor, type Screen } from './text-table.ts';

interface DoctorCommandDeps {
  readonly terminal: Screen;
  readonly examples: (...lines: string[]) => string;
  readonly now: () => Date;
}

/** Longer than a statement's limit, shorter than anybody's patience. */
const limitSeconds = 15;

/** `doctor`: whether all that a login needs is there and fits together. */
export function addDoctor(program: Command, { terminal, examples, now }: DoctorCommandDeps): void {
  program
    .command('doctor')
    .description(
      'Check settings, database, Redis, keys, connections, endpoints and licence, and say what to do. Changes nothing.',
    )
    .option('--json', 'for programs')
    .addHelpText(
      'after',
      `
One line for each check: ok, warning (works, and wants attention) or problem (does not work). Each takes ${limitSeconds} s at the most,
and none stops the others. Ends with 0 when there are no problems, warnings or not, and with 1 when there are.
${examples('rollcall doctor', 'rollcall doctor --json | jq \'.findings[] | select(.level != "ok")\'')}`,
    )
    .action(async ({ json = false }: { json?: boolean }) => {
      const findings = await findingsOf(terminal.env, now);
      terminal.out(json ? `${JSON.stringify({ findings }, null, 2)}\n` : renderFindings(findings, paintFor(terminal)));
      if (exitCodeOf(findings) !== exitCodes.done) throw new ProblemsFound();
    });
}

async function findingsOf(env: Screen['env'], now: () => Date): Promise<readonly Finding[]> {
  const { configFolder, migrationsFolder } = await import('../main.ts');
  const { loadSettings } = await import('../settings/load.ts');
  let settings: Settings;
  try {
    settings = loadSettings({ env, folder: configFolder });
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return error.problems.map(({ path, variable, problem: detail, fix }) => ({
      check: `settings: ${variable ?? path ?? 'file'}`,
      ...problem(detail, `${fix}.`),
    }));
  }
  const { examine } = await import('./doctor.ts');
  // What the parts have to say stands in the findings.
  return examine({ settings, migrationsFolder, log: createLog({ level: 'silent' }), now, limitSeconds });
}
