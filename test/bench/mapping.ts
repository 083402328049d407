import { arch, cpus, platform } from 'node:os';
import { parseArgs } from 'node:util';
import type { MappingRule, RoleLadder } from '../../src/domain/group-sync.ts';
import { compileCatalogue } from '../../src/mapping/catalogue.ts';
import { compileMapping, resolveEntitlements } from '../../src/mapping/resolve.ts';
import { benchLogins } from './mapping-logins.ts';

/**
 * What resolving n groups by n rules costs, and what a login does as workspaces grow in number:
 *
 *   npm run bench:mapping                      both
 *   npm run bench:mapping -- --logins 500      logins a row, 2,000 unless told
 *   npm run bench:mapping -- --logins 0        the mapping alone
 *
 * Figure to reach: 10,000 x 10,000 rules in 10 ms, and
 * ten times the time for ten times the size. The least is what counts on a machine that others use too. Expressions stop at 900,
 * near the limit of one mapping (`mappingLimits`).
 */
const sizes = [10, 1_000, 10_000];
const rounds = 30;
const ladder: RoleLadder = ['admin', 'builder', 'end-user'];

const appGroups = Array.from({ length: 1_000 }, (_, index) => ({
  groupId: `group-${index}`,
  name: `app group ${index}`,
  requiresRole: index % 10 === 0 ? 'builder' : null,
}));
const catalogue = compileCatalogue(appGroups);

interface Load {
  readonly title: string;
  readonly ruleFor: (group: string, index: number) => MappingRule;
  readonly maxRules?: number;
  readonly groupFor?: (group: string) => string;
}

const loads: readonly Load[] = [
  { title: 'exact rules', ruleFor: (group, index) => ({ from: group, match: 'exact', to: target(index) }) },
  {
    title: 'exact rules, no group matches',
    ruleFor: (group, index) => ({ from: group, match: 'exact', to: target(index) }),
    groupFor: (group) => `${group} (old)`,
  },
  {
    title: 'globs with a literal start',
    ruleFor: (group, index) => ({ from: `${group.slice(0, -7)}*`, match: 'glob', to: target(index) }),
  },
  {
    title: 'globs with a literal end',
    ruleFor: (group, index) => ({ from: `*${group.slice(4)}`, match: 'glob', to: target(index) }),
  },
  {
    title: 'expressions with a literal start',
    ruleFor: (group, index) => ({ from: `^${group.slice(0, -7)}(.+)$`, match: 'regex', to: target(index) }),
    maxRules: 900,
  },
  {
    title: 'expressions without (4 of them)',
    ruleFor: (group) => ({ from: `(?i).*(${group.slice(5, -8)}) co.*`, match: 'regex', to: 'app group 1' }),
    maxRules: 4,
  },
];

const [processor] = cpus();
print(`${processor?.model ?? 'unknown processor'}, ${cpus().length} cores, ${platform()} ${arch()}, Node ${process.version}`);
print(`least (median) of ${rounds} rounds after as many to warm up, in ms\n`);
print(row('load', ...sizes.map((size) => `${size} groups`)));
for (const load of loads) print(row(load.title, ...sizes.map((size) => measure(load, size))));

const { values } = parseArgs({ options: { logins: { type: 'string', default: '2000' } } });
if (Number(values.logins) > 0) await benchLogins({ logins: Number(values.logins), print });

function measure({ ruleFor, maxRules, groupFor = (group) => group }: Load, size: number): string {
  // Not in order, as IdPs send them.
  const names = Array.from({ length: size }, (_, index) => `team ${(index * 7_919) % size} company`);
  const mapping = compileMapping({ rules: names.slice(0, maxRules ?? size).map(ruleFor), oneToOne: true });
  const groups: string[] = JSON.parse(JSON.stringify(names.map(groupFor)));
  const once = () => {
    const startedAt = performance.now();
    resolveEntitlements({ mapping, catalogue, ladder, groups });
    return performance.now() - startedAt;
  };
  for (let round = 0; round < rounds; round += 1) once();
  const times = Array.from({ length: rounds }, once).sort((left, right) => left - right);
  return `${times[0]?.toFixed(2)} (${times[rounds >> 1]?.toFixed(2)})`;
}

function target(index: number): string {
  return `app group ${index % appGroups.length}`;
}

function row(title: string, ...cells: string[]): string {
  return title.padEnd(36) + cells.map((cell) => cell.padStart(18)).join('');
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
