import { BrokerError } from '../domain/broker-error.ts';
import { isDatabaseUnavailable } from '../infra/postgres.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { type Paint, printable } from './text-table.ts';

/** What a check found out: `warning` works today, `problem` does not work. */
export type Verdict =
  | { readonly level: 'ok'; readonly detail: string; readonly fix: null }
  | { readonly level: 'warning' | 'problem'; readonly detail: string; readonly fix: string };

export type Finding = Verdict & { readonly check: string };

/** Ends the command with the code for problems; all was told on the terminal already. */
export class ProblemsFound extends Error {}

export const ok = (detail: string): Verdict => ({ level: 'ok', detail, fix: null });
export const warning = (detail: string, fix: string): Verdict => ({ level: 'warning', detail, fix });
export const problem = (detail: string, fix: string): Verdict => ({ level: 'problem', detail, fix });

const severity = { ok: 0, warning: 1, problem: 2 } as const;

/** Of several verdicts on one thing, one: the gravest level, and everything that is not well. */
export function together(verdicts: readonly Verdict[]): Verdict {
  const bad = verdicts.filter((verdict) => verdict.level !== 'ok').sort((a, b) => severity[b.level] - severity[a.level]);
  const [worst] = bad;
  if (worst === undefined) return ok(verdicts.map(({ detail }) => detail).join('; '));
  const fixes = [...new Set(bad.map(({ fix }) => fix))];
  return { level: worst.level, detail: bad.map(({ detail }) => detail).join('; '), fix: fixes.join(' ') };
}

/** Problems are for scripts to stop at; warnings are for people to read. */
export function exitCodeOf(findings: readonly Finding[]): ExitCode {
  return findings.some(({ level }) => level === 'problem') ? exitCodes.failed : exitCodes.done;
}

/** One line for each check, and one that counts them. */
export function renderFindings(findings: readonly Finding[], paint: Paint): string {
  const paints = { ok: paint.gain, warning: paint.strong, problem: paint.loss } as const;
  const lines = findings.map(({ check, level, detail, fix }) => {
    const text = `${check}: ${detail}${fix === null ? '' : ` -> ${fix}`}`;
    return `${paints[level](level)}${' '.repeat('warning'.length - level.length)}  ${printable(text)}`;
  });
  const count = (level: Verdict['level']) => findings.filter((finding) => finding.level === level).length;
  return [
    ...lines,
    `${count('ok')} ok, ${counted(count('warning'), 'warning')}, ${counted(count('problem'), 'problem')}.`,
    '',
  ].join('\n');
}

export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** What to do about the reasons of the outbound client and of sealed values. */
const fixes: Readonly<Record<string, string>> = {
  blocked_address: 'If this private address is meant, add it to ROLLCALL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES.',
  http_not_allowed: 'Give an https address.',
  dns: 'Check the name in the address, and the name server of this machine.',
  connect: 'Check that the server runs, and that this machine may reach it (firewall, proxy).',
  timeout: 'Check that this machine may reach the server (firewall, proxy), and try again.',
  took_too_long: 'Check that what it looks at answers, and try again.',
};

/** A check that could not be made is a problem of its own, and no reason not to make the others. */
export function judgeFailure(thrown: unknown): Verdict {
  if (isDatabaseUnavailable(thrown)) {
    return problem('Postgres cannot be reached, or did not answer in time', 'Check DATABASE_URL, and that the server runs.');
  }
  if (!(thrown instanceof BrokerError)) {
    const detail = `could not be checked: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
    return problem(detail, 'See to the problems above first; then run this again.');
  }
  return problem(thrown.message, fixes[thrown.reason ?? ''] ?? fixOf(thrown));
}

function fixOf({ code }: BrokerError): string {
  switch (code) {
    case 'upstream_unavailable':
      return 'Check that the identity provider runs and that this machine may reach it, and try again.';
    case 'upstream_misconfigured':
      return 'Correct the connection, or the set-up at the identity provider.';
    default:
      return 'Correct this, and run rollcall doctor again.';
  }
}
