import { describe, expect, it } from 'vitest';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import { compileMapping } from '../../../src/mapping/resolve.ts';
import { groupMappingSchema, mappingRuleSchema, mappingRulesSchema } from '../../../src/mapping/rule.ts';
import { nastyNames, rule } from '../../support/mapping-world.ts';

function problemsIn(input: unknown): string[] {
  const { error } = groupMappingSchema.safeParse(input);
  return error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];
}

describe('canonical JSON', () => {
  it('R15 fills in the defaults: exact match, 1:1 on', () => {
    expect(groupMappingSchema.parse({ rules: [{ from: 'a', to: 'b' }] })).toEqual({ rules: [rule('a', 'b')], oneToOne: true });
    expect(groupMappingSchema.parse({})).toEqual({ rules: [], oneToOne: true });
    expect(mappingRuleSchema.parse({ from: 'a', to: 'b' })).toEqual(rule('a', 'b'));
  });

  it('R15 comes back from JSON as it was', () => {
    const mapping = { rules: [...nastyNames.map((name) => rule(name, name)), rule('eng-*', 'x', 'glob')], oneToOne: false };
    expect(groupMappingSchema.parse(JSON.parse(JSON.stringify(mapping)))).toEqual(mapping);
  });

  it.each<[string, unknown]>([
    ['an unknown key', { rules: [], onetoone: true }],
    ['an unknown key in a rule', { rules: [{ from: 'a', to: 'b', note: 'x' }] }],
    ['a rule without target', { rules: [{ from: 'a' }] }],
    ['a number for a name', { rules: [{ from: 1, to: 'b' }] }],
    ['an unknown match', { rules: [{ from: 'a', to: 'b', match: 'prefix' }] }],
    ['an empty source', { rules: [{ from: '', to: 'b' }] }],
    ['an empty target', { rules: [{ from: 'a', to: '' }] }],
    ['a NUL', { rules: [{ from: 'a\0', to: 'b' }] }],
    ['half a surrogate pair', { rules: [{ from: 'a', to: '\ud800' }] }],
    ['a name that is too long', { rules: [{ from: 'x'.repeat(1_001), to: 'b' }] }],
    ['too many rules', { rules: Array.from({ length: 10_001 }, () => rule('a', 'b')) }],
    ['text', 'a -> b'],
    ['null', null],
  ])('R15 refuses %s', (_, input) => {
    expect(groupMappingSchema.safeParse(input).success).toBe(false);
  });

  it('R15 accepts names at the limit', () => {
    expect(problemsIn({ rules: [rule('x'.repeat(1_000), 'y'.repeat(1_000))] })).toEqual([]);
    expect(problemsIn({ rules: Array.from({ length: 10_000 }, (_, index) => rule(`a${index}`, 'b')) })).toEqual([]);
  });
});

describe('patterns', () => {
  it.each<[string, ReturnType<typeof rule>, string]>([
    ['an open bracket', rule('(a', 'b', 'regex'), 'rules.1.from'],
    ['a look-ahead, which RE2 does not have', rule('(?=a)', 'b', 'regex'), 'rules.1.from'],
    ['a back reference, which RE2 does not have', rule('(a)\\1', 'b', 'regex'), 'rules.1.from'],
    ['a capture that is not there', rule('^a(b)$', '$2', 'regex'), 'rules.1.to'],
    ['a capture of an expression without any', rule('^ab$', '$1', 'regex'), 'rules.1.to'],
    ['$0', rule('^(ab)$', '$0', 'regex'), 'rules.1.to'],
    ['an expression that is too long', rule('x'.repeat(501), 'b', 'regex'), 'rules.1.from'],
    ['an expression that unrolls too far', rule('(a{100}){10}b{100}', 'b', 'regex'), 'rules.1.from'],
    ['a glob with a stray backslash', rule('DOMAIN\\eng-*', 'b', 'glob'), 'rules.1.from'],
    ['a glob with a backslash at the end', rule('eng-*\\', 'b', 'glob'), 'rules.1.from'],
  ])('R17 refuses %s and names the rule', (_, bad, path) => {
    const rules = [rule('a', 'b'), bad];
    expect(problemsIn({ rules })).toEqual([expect.stringMatching(new RegExp(`^${path}: .{20}`))]);
    expect(mappingRuleSchema.safeParse(bad).success).toBe(false);
    const [where] = path.split('.').slice(-1);
    expect(() => compileMapping({ rules, oneToOne: true })).toThrowError(
      expect.objectContaining({
        code: 'validation_failed',
        fields: [{ path: `rules[1].${where}`, message: expect.any(String) }],
      }),
    );
  });

  it.each<[string, ReturnType<typeof rule>]>([
    ['a capture', rule('^a(b)$', '$1', 'regex')],
    ['a capture followed by a digit', rule('^a(b)$', '$10', 'regex')],
    ['a dollar sign that is text', rule('^a$', '$$1 or $x or $', 'regex')],
    ['an expression that is long', rule('x'.repeat(500), 'b', 'regex')],
    ['a repeat count', rule('(a{10}){10}', 'b', 'regex')],
    ['a glob with escapes', rule('DOMAIN\\\\eng-\\*-*', 'b', 'glob')],
    ['$2 as the target of a glob, where it is text', rule('a*', '$2', 'glob')],
  ])('R17 accepts %s', (_, good) => {
    expect(problemsIn({ rules: [good] })).toEqual([]);
    expect(mappingRuleSchema.safeParse(good).success).toBe(true);
  });

  it('R17 reports every bad rule, up to a number that can be read', () => {
    const bad = Array.from({ length: 30 }, () => rule('(', 'b', 'regex'));
    expect(problemsIn({ rules: bad.slice(0, 3) })).toHaveLength(3);
    expect(problemsIn({ rules: bad })).toHaveLength(20);
  });

  it('R17 bounds what all expressions of a mapping cost together, and says so once', () => {
    const many = (count: number, from: (index: number) => string) =>
      Array.from({ length: count }, (_, index) => rule(from(index), 'b', 'regex'));
    expect(problemsIn({ rules: many(900, (index) => `^team-${index}-(.+)$`) })).toEqual([]);
    expect(problemsIn({ rules: many(5_000, (index) => `^team-${index}-(.+)$`) })).toEqual([
      expect.stringContaining('from here on'),
    ]);
    expect(problemsIn({ rules: many(100, (index) => `.*-team-${index}`) })).toEqual([]);
    expect(problemsIn({ rules: many(500, (index) => `.*-team-${index}`) })).toEqual([expect.stringContaining('from here on')]);
    const globs = Array.from({ length: 10_000 }, (_, index) => rule(`team-${index}-*`, 'b', 'glob'));
    expect(mappingRulesSchema.safeParse(globs).success).toBe(true);
  });

  it('R17 stops reading a mapping made to be expensive', () => {
    const dear = Array.from({ length: 10_000 }, () => rule('\\pL{1000}'.repeat(55), 'b', 'regex'));
    expect(problemsIn({ rules: dear })).toHaveLength(20);
  });

  it('R17 throws BrokerError for a stored mapping that is not valid', () => {
    expect(() => compileMapping({ rules: [rule('(', 'b', 'regex')], oneToOne: true })).toThrow(BrokerError);
  });
});

describe('duplicate rules', () => {
  it('R17 collapses repeated rules with a warning', () => {
    const rules = [rule('a', 'b'), rule('a*', 'b', 'glob'), rule('a', 'b'), rule('a', 'c'), rule('a', 'b')];
    expect(compileMapping({ rules, oneToOne: true }).warnings).toEqual([
      { kind: 'duplicate-rule', ruleIndex: 2, firstRuleIndex: 0 },
      { kind: 'duplicate-rule', ruleIndex: 4, firstRuleIndex: 0 },
    ]);
    expect(compileMapping({ rules: rules.slice(0, 2), oneToOne: true }).warnings).toEqual([]);
  });
});
