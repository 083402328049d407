import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { BrokerError } from '../domain/broker-error.ts';
import type { RoleLadder } from '../domain/group-sync.ts';
import type { Log } from '../infra/log.ts';
import type { Plan } from '../membership/plan-store.ts';
import type { Stores } from '../stores.ts';
import { createCommandAudit } from './audit.ts';
import type { ApplyDeps, PreparedDeclaration } from './declarative-apply.ts';
import { isDone } from './declarative-change.ts';
import { prepareConnections } from './declarative-connections.ts';
import { DeclarationError, type ReadDeclaration, readDeclaration } from './declarative-file.ts';
import { createDeclarationPlans, type DeclarationPlans } from './declarative-plans.ts';
import { NotConfirmed } from './not-confirmed.ts';
import { createJsonPrinter, createTablePrinter, type PlanPrinter } from './plan-printer.ts';
import type { Screen } from './text-table.ts';

export interface ApplyOptions {
  readonly file: string;
  /** Says what would be done, and does nothing. */
  readonly dryRun?: boolean;
  /** Does it without asking. */
  readonly yes?: boolean;
  /** Removes what the file does not name. */
  readonly prune?: boolean;
  /** Also when more than the threshold of the members lose something. */
  readonly force?: boolean;
  readonly json?: boolean;
  /** How many members are shown. */
  readonly limit?: number;
}

interface ApplyCommandDeps {
  readonly stores: Pick<Stores, 'db' | 'sealedBox' | 'connections' | 'audit'> & { readonly ladder: RoleLadder };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly allowHttp: boolean;
  readonly lossThresholdPercent: number;
  /** How long logins may still go by what was in force before. */
  readonly settleMilliseconds: number;
  readonly now: () => Date;
  readonly log: Log;
  /** `confirm`: asks a person; absent: there is none. */
  readonly terminal: Screen & { readonly err: (text: string) => void; readonly confirm?: (question: string) => Promise<boolean> };
  /** Calls `stop` when a person interrupts the command; returns what takes that back. */
  readonly onInterrupt?: (stop: () => void) => () => void;
}

/**
 * Reads a declarative file, says what it would change and for whom, and once that is confirmed brings database and members in line.
 * @throws DeclarationError, BrokerError, NotConfirmed
 */
export async function applyFile(options: ApplyOptions, deps: ApplyCommandDeps): Promise<void> {
  const { file, dryRun = false, yes = false, force = false, json = false, limit = 50 } = options;
  const { terminal, lossThresholdPercent } = deps;
  const ask = async (question: string) => yes || ((await terminal.confirm?.(question)) ?? false);
  const { read, prepared, applyDeps } = await readPrepared(options, deps);
  const plans = createDeclarationPlans({ ...deps, ...deps.stores, prepared, applyDeps, file });
  try {
    const resumed = dryRun ? 'left' : await goOn(plans, { ask, err: terminal.err });
    const plan = await plans.create();
    const printer = json ? createJsonPrinter(terminal.out) : createTablePrinter(terminal, limit);
    await print(plan, plans, printer, json ? Number.POSITIVE_INFINITY : limit);
    const isNothing = !plans.changes().some(isDone) && plan.summary?.changed === 0;
    if (isNothing || dryRun) {
      printer.end(isNothing ? 'no_change' : 'planned');
      await plans.discard(plan);
      if (resumed === 'left' && !dryRun) throw new NotConfirmed(unfinished);
      return;
    }
    await checkLoss(plan, plans, printer, { force, lossThresholdPercent });
    if (!(await ask('Apply this?'))) {
      printer.end('planned');
      await plans.discard(plan);
      throw new NotConfirmed('Not confirmed: answer "y" on a terminal, or give --yes.');
    }
    const applied = { force, settleMilliseconds: deps.settleMilliseconds, ...progressOn(terminal) };
    const membersChanged = await plans.apply(plan, applied).catch(async (error: unknown) => {
      printer.end('failed');
      await plans.discard(plan);
      throw error;
    });
    printer.end('applied', { changes: plans.changes(), membersChanged });
  } catch (error) {
    throw placed(error, read, file);
  }
}

const unfinished = 'An apply was interrupted before it reached every member; this command goes on with it once it is confirmed.';

/** An apply that was interrupted is finished first: what comes after it is planned from there. */
async function goOn(
  plans: DeclarationPlans,
  { ask, err }: { readonly ask: (question: string) => Promise<boolean>; readonly err: (text: string) => void },
): Promise<'none' | 'done' | 'left'> {
  const plan = await plans.findUnfinished();
  if (!plan) return 'none';
  const { examined = 0 } = plan.progress ?? {};
  err(
    `An apply of ${plan.createdAt.toISOString()} was interrupted: ${examined} of ${plan.summary?.examined} members were done.\n`,
  );
  if (!(await ask('Go on with it?'))) return 'left';
  const changed = await plans.resume(plan);
  err(`It is complete: ${changed} members changed in all.\n`);
  return 'done';
}

/** R39. */
async function checkLoss(
  plan: Plan,
  plans: DeclarationPlans,
  printer: PlanPrinter,
  { force, lossThresholdPercent }: { readonly force: boolean; readonly lossThresholdPercent: number },
): Promise<void> {
  const { summary } = plan;
  if (!summary || force || summary.lossPercent <= lossThresholdPercent) return;
  printer.end('planned');
  await plans.discard(plan);
  const share = `${summary.losing} of ${summary.members} members (${summary.lossPercent} %) would lose something`;
  throw new BrokerError('conflict', `${share}: more than ${lossThresholdPercent} % need --force`, {
    reason: 'plan_loss_threshold',
  });
}

async function print(plan: Plan, plans: DeclarationPlans, printer: PlanPrinter, limit: number): Promise<void> {
  printer.changes(plans.changes());
  let shown = 0;
  for await (const members of plans.members(plan)) {
    printer.members(members);
    shown += members.length;
    if (shown >= limit) break;
  }
  if (plan.summary) {
    const { seats: _, lossPercent: _percent, ...counts } = plan.summary;
    printer.summary(counts);
  }
}

function progressOn({ isTerminal = false, err }: ApplyCommandDeps['terminal']) {
  if (!isTerminal) return {};
  return { onProgress: (examined: number, total: number) => err(`${examined} of ${total} members …\n`) };
}

/** The file, with everything fetched that writing it needs. */
export async function readPrepared(
  { file, prune = false }: Pick<ApplyOptions, 'file' | 'prune'>,
  deps: Pick<ApplyCommandDeps, 'stores' | 'env' | 'allowHttp' | 'now'>,
): Promise<{ readonly read: ReadDeclaration; readonly prepared: PreparedDeclaration; readonly applyDeps: ApplyDeps }> {
  const { stores, env, allowHttp, now } = deps;
  const read = readDeclaration({ text: await textOf(file), fileName: file, folder: dirname(resolve(file)), env, allowHttp });
  const { recordDeclared: recordChange } = createCommandAudit({ audit: stores.audit, env });
  const applyDeps: ApplyDeps = { ...stores, roles: stores.ladder, now, recordChange };
  try {
    const connections = await prepareConnections(read.declaration, applyDeps);
    return { read, prepared: { ...read, connections, prune }, applyDeps };
  } catch (error) {
    throw placed(error, read, file);
  }
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new BrokerError('validation_failed', `${file} cannot be read (${code ?? 'unknown error'})`, { cause });
  }
}

/** What the database refused, at its place in the file. */
export function placed(error: unknown, { placeOf }: ReadDeclaration, fileName: string): unknown {
  if (!(error instanceof BrokerError) || error.fields.length === 0 || error.reason === 'plan_stale') return error;
  const problems = error.fields.map((field) => ({ ...field, ...placeOf(field.path) }));
  return new DeclarationError(fileName, problems, { cause: error });
}
