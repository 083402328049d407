import fc from 'fast-check';
import type { AppGroup, MappingRule, RoleLadder } from '../../src/domain/group-sync.ts';
import type { Entitlements, Reason } from '../../src/domain/membership.ts';
import { compileCatalogue } from '../../src/mapping/catalogue.ts';
import { compileMapping, resolveEntitlements } from '../../src/mapping/resolve.ts';

export const ladder: RoleLadder = ['admin', 'builder', 'end-user'];

export interface MappingWorld {
  readonly rules?: readonly MappingRule[];
  readonly oneToOne?: boolean;
  readonly catalogue?: readonly AppGroup[];
  readonly groups: readonly string[];
  readonly ladder?: RoleLadder;
}

export function resolve(world: MappingWorld): Entitlements {
  return resolveEntitlements({
    mapping: compileMapping({ rules: world.rules ?? [], oneToOne: world.oneToOne ?? true }),
    catalogue: compileCatalogue(world.catalogue ?? []),
    ladder: world.ladder ?? ladder,
    groups: world.groups,
  });
}

export function rule(from: string, to: string, match: MappingRule['match'] = 'exact'): MappingRule {
  return { from, match, to };
}

export function appGroup(name: string, requiresRole: string | null = null): AppGroup {
  return { groupId: `id-${name}`, name, requiresRole };
}

/** What a person got, without the reasons. */
export function granted({ matched, role, groups }: Entitlements) {
  return { matched, role, groups: groups.map(({ name }) => name) };
}

/** Reasons in a form that is easy to read: `engineers: developers by rule 0`. */
export function told(reasons: readonly Reason[]): string[] {
  return reasons.map(({ grant, idpGroup, via }) => {
    const what = grant.kind === 'role' ? `role ${grant.role}` : grant.name;
    const how =
      via.kind === 'rule' ? `rule ${via.ruleIndex}` : via.kind === 'group-requires' ? `membership of ${via.name}` : via.kind;
    return `${idpGroup ?? 'nobody'}: ${what} by ${how}`;
  });
}

/** Names that have broken other programs: separators, quotes, marks, prototypes, other scripts, templates, white space. */
export const nastyNames = [
  'a',
  'Marketing Team',
  'Sales, EMEA',
  'a -> b',
  'a → b',
  'a->b',
  '-',
  '->',
  '-->',
  '<-',
  '>',
  'a-',
  '>b',
  '"',
  '"quoted"',
  'say "hi"',
  '\\',
  'DOMAIN\\Sales',
  'ends with \\',
  '\\"',
  '\\n',
  ' edge ',
  '\u00a0edge\u3000',
  '\ufeffmark',
  'line\nbreak',
  'line\r\nbreak',
  '\t',
  '\u0085',
  '\u2028',
  'glob:eng-*',
  'regex:^a$',
  'glob:',
  'glob',
  '$1',
  '$$',
  '^(.*)$',
  '*',
  '?',
  '[a-z]',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  "'; DROP TABLE memberships; --",
  '\u0024{7*7}',
  '{{constructor}}',
  '<script>alert(1)</script>',
  'Équipe',
  'Équipe'.normalize('NFD'),
  'ﬁnance',
  'İstanbul',
  'groß',
  '👩‍👩‍👧 family',
  '🚀',
  'مهندسون',
  'abc\u202edcba',
  'x'.repeat(1_000),
  'admin',
  'Admin',
  'end-user',
] as const;

const shortText = fc.string({ unit: fc.constantFrom(...'ab"\\,->→ \n:*?$1é🚀'), minLength: 1, maxLength: 12 });

/** Any name that a rule may have. */
export const anyName = fc.oneof(
  fc.constantFrom(...nastyNames),
  shortText,
  fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }).filter((name) => name.isWellFormed() && !name.includes('\0')),
);

const globText = anyName.map((name) => name.replaceAll('\\', '\\\\')).filter((name) => name.length <= 1_000);
const regexText = fc.constantFrom(
  '^app-(.+)$',
  '(a),b',
  '"(.*)"',
  '\\d+ -> (x)',
  '(.*)→(.*)',
  ' (a|b) ',
  'glob:(.)',
  '(?i)(é+)',
  '\\p{Greek}(\\n)',
);

export const anyRule: fc.Arbitrary<MappingRule> = fc.oneof(
  fc.record({ from: anyName, match: fc.constant('exact' as const), to: anyName }),
  fc.record({ from: globText, match: fc.constant('glob' as const), to: anyName }),
  fc.record({
    from: regexText,
    match: fc.constant('regex' as const),
    to: fc.constantFrom('$1', 'app $1, "x"', '$$1', 'plain', ' edge'),
  }),
);
