import type { RunResult } from './run.ts';

const columns: readonly (readonly [title: string, cell: (run: RunResult) => string | number])[] = [
  ['scenario', ({ scenario }) => scenario],
  ['seed', ({ seed }) => seed],
  ['logins', ({ logins }) => logins],
  ['failed', ({ failedLogins }) => failedLogins],
  ['changed', ({ changed }) => changed],
  ['events', ({ events }) => events],
  ['deliveries', ({ deliveries }) => deliveries],
  ['attempts', ({ attempts }) => attempts],
  ['duplicates', ({ duplicates }) => duplicates],
  ['needless', ({ needless }) => needless],
  ['kills', ({ kills }) => kills],
  ['faults', ({ faults }) => faults],
  ['lost', ({ lost }) => lost],
  ['reordered', ({ reordered }) => reordered],
  ['drift', ({ drift }) => drift],
  ['phantom', ({ phantom }) => phantom],
  ['altered', ({ altered }) => altered],
  ['log', ({ log }) => log],
  ['seconds', ({ seconds }) => seconds.toFixed(0)],
];
const scenarioWidth = 24;

export const header = columns.map(([title], index) => pad(title, title, index)).join('  ');

/** One line of the table. */
export function lineOf(run: RunResult): string {
  return columns.map(([title, cell], index) => pad(String(cell(run)), title, index)).join('  ');
}

function pad(text: string, title: string, index: number): string {
  return index === 0 ? text.padEnd(scenarioWidth) : text.padStart(Math.max(title.length, 4));
}
