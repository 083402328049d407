import { describe, expect, it } from 'vitest';
import { compileCatalogue } from '../../../src/mapping/catalogue.ts';
import { compileMapping, resolveEntitlements } from '../../../src/mapping/resolve.ts';
import { appGroup, granted, ladder, resolve, rule, told } from '../../support/mapping-world.ts';

const developers = appGroup('developers');
const writers = appGroup('writers');

describe('rules', () => {
  it('R17 sends a group that a rule names only where its rules say', () => {
    const catalogue = [appGroup('engineers'), developers];
    expect(granted(resolve({ groups: ['engineers'], rules: [rule('engineers', 'developers')], catalogue })).groups).toEqual([
      'developers',
    ]);
    expect(granted(resolve({ groups: ['engineers'], rules: [rule('others', 'developers')], catalogue })).groups).toEqual([
      'engineers',
    ]);
  });

  it('R17 keeps a named group from 1:1 even if the target is missing, and whatever kind of rule names it', () => {
    const catalogue = [appGroup('engineers')];
    for (const named of [rule('engineers', 'gone'), rule('eng*', 'gone', 'glob'), rule('.*', 'gone', 'regex')]) {
      expect(granted(resolve({ groups: ['engineers'], rules: [named], catalogue }))).toEqual({
        matched: false,
        role: 'end-user',
        groups: [],
      });
    }
    expect(granted(resolve({ groups: ['admin'], rules: [rule('admin', 'end-user')] })).role).toBe('end-user');
  });

  it('R17 maps one to many', () => {
    const rules = [rule('cooks', 'writers'), rule('cooks', 'developers'), rule('cooks', 'builder')];
    const entitlements = resolve({ groups: ['cooks'], rules, catalogue: [developers, writers] });
    expect(granted(entitlements)).toEqual({ matched: true, role: 'builder', groups: ['developers', 'writers'] });
    expect(told(entitlements.reasons)).toEqual([
      'cooks: role builder by rule 2',
      'cooks: developers by rule 1',
      'cooks: writers by rule 0',
    ]);
  });

  it('R17 maps many to one and keeps every reason', () => {
    const rules = [rule('b', 'developers'), rule('a', 'developers'), rule('a*', 'developers', 'glob')];
    const entitlements = resolve({ groups: ['b', 'a', 'developers'], rules, catalogue: [appGroup('developers', 'builder')] });
    expect(granted(entitlements)).toEqual({ matched: true, role: 'builder', groups: ['developers'] });
    expect(told(entitlements.reasons)).toEqual([
      'a: role builder by membership of developers',
      'b: role builder by membership of developers',
      'developers: role builder by membership of developers',
      'a: developers by rule 1',
      'a: developers by rule 2',
      'b: developers by rule 0',
      'developers: developers by one-to-one',
    ]);
  });

  it('R17 gives the reasons of one group in the order of the rules, whatever their kind', () => {
    const rules = [
      rule('*', 'developers', 'glob'),
      rule('.*k.*', 'developers', 'regex'),
      rule('c', 'x'),
      rule('cook', 'developers'),
    ];
    const ordered = [...rules, rule('c*', 'developers', 'glob'), rule('*k', 'developers', 'glob')];
    const { reasons } = resolve({ groups: ['cook'], rules: ordered, catalogue: [developers] });
    const numbers = reasons.flatMap(({ via }) => (via.kind === 'rule' ? [via.ruleIndex] : []));
    expect(numbers).toEqual([0, 1, 3, 4, 5]);
  });

  it('R17 says in the reason which rule it was, as it is written', () => {
    const { reasons } = resolve({ groups: ['app-x'], rules: [rule('^app-(.+)$', '$1', 'regex')], catalogue: [appGroup('x')] });
    expect(reasons[1]).toEqual({
      grant: { kind: 'group', groupId: 'id-x', name: 'x' },
      idpGroup: 'app-x',
      via: { kind: 'rule', ruleIndex: 0, from: '^app-(.+)$', match: 'regex', to: '$1' },
    });
  });

  it('R17 collapses repeated groups with a warning', () => {
    const once = resolve({ groups: ['developers'], catalogue: [developers] });
    const thrice = resolve({ groups: ['developers', 'developers', 'developers'], catalogue: [developers] });
    expect(thrice).toEqual({ ...once, warnings: [{ kind: 'duplicate-group', idpGroup: 'developers', times: 3 }] });
  });

  it('R17 collapses repeated rules: the first one gives the reason', () => {
    const rules = [rule('cooks', 'developers'), rule('cooks', 'developers')];
    expect(told(resolve({ groups: ['cooks'], rules, catalogue: [developers] }).reasons)).toEqual([
      'cooks: role end-user by membership of developers',
      'cooks: developers by rule 0',
    ]);
  });

  it('R17 matches globs, exactly and case-sensitively', () => {
    const world = { rules: [rule('eng-*', 'developers', 'glob')], catalogue: [developers], oneToOne: false };
    expect(granted(resolve({ ...world, groups: ['eng-a'] })).groups).toEqual(['developers']);
    expect(granted(resolve({ ...world, groups: ['Eng-a', 'my eng-a', 'eng'] })).matched).toBe(false);
  });

  it('R17 anchors expressions that do not anchor themselves', () => {
    const world = { rules: [rule('admin', 'admin', 'regex'), rule('a|b', 'builder', 'regex')], oneToOne: false };
    expect(granted(resolve({ ...world, groups: ['not-admin', 'admins', 'ax', 'xb'] })).matched).toBe(false);
    expect(granted(resolve({ ...world, groups: ['admin'] })).role).toBe('admin');
    expect(granted(resolve({ ...world, groups: ['b'] })).role).toBe('builder');
  });

  it.each<[string, string, string, string]>([
    ['^app-(.+)$', '$1', 'app-sales', 'sales'],
    ['^(a)-(b)$', '$2-$1$1', 'a-b', 'b-aa'],
    ['^(.)(.)?$', '[$1$2]', 'x', '[x]'],
    ['^(.)$', '$10$$1$x$', 'q', 'q0$1$x$'],
    ['^(.+)$', '$1', '$1', '$1'],
    ['^(.+)$', '$1', '🚀', '🚀'],
  ])('R17 fills captures in: %s -> %s', (from, to, idpGroup, target) => {
    const entitlements = resolve({ groups: [idpGroup], rules: [rule(from, to, 'regex')], catalogue: [appGroup(target)] });
    expect(granted(entitlements).groups).toEqual([target]);
  });

  it('R17 takes the dollar signs of other rules as they are', () => {
    expect(granted(resolve({ groups: ['a'], rules: [rule('a', '$1')], catalogue: [appGroup('$1')] })).groups).toEqual(['$1']);
    expect(granted(resolve({ groups: ['a'], rules: [rule('?', '$$', 'glob')], catalogue: [appGroup('$$')] })).groups).toEqual([
      '$$',
    ]);
  });

  it('R18 takes a role as a rule target, captured ones included, and lets the highest win', () => {
    const rules = [rule('bosses', 'admin'), rule('^role-(.+)$', '$1', 'regex')];
    expect(granted(resolve({ groups: ['bosses'], rules }))).toEqual({ matched: true, role: 'admin', groups: [] });
    expect(granted(resolve({ groups: ['role-builder', 'role-end-user'], rules }))).toEqual({
      matched: true,
      role: 'builder',
      groups: [],
    });
  });
});

describe('size', () => {
  const many = Array.from({ length: 10_000 }, (_, index) => `group ${index}`);

  it('R17 resolves 10,000 groups by 10,000 rules', () => {
    const rules = many.map((name, index) => rule(name, `app ${index % 100}`));
    const catalogue = Array.from({ length: 100 }, (_, index) => appGroup(`app ${index}`));
    const entitlements = resolve({ groups: many, rules, catalogue });
    expect(entitlements.groups).toHaveLength(100);
    expect(entitlements.reasons).toHaveLength(20_000);
  });

  it('R17 resolves 10,000 groups by wildcards that each of them matches', () => {
    const rules = [rule('*', 'developers', 'glob'), rule('^group (.+)$', 'writers', 'regex'), rule('.*\\d', 'builder', 'regex')];
    const entitlements = resolve({ groups: many, rules, catalogue: [developers, writers] });
    expect(granted(entitlements)).toEqual({ matched: true, role: 'builder', groups: ['developers', 'writers'] });
    expect(entitlements.reasons).toHaveLength(30_000);
  });

  it.each<[string, ReturnType<typeof rule>[], string[]]>([
    ['matches that multiply', Array.from({ length: 100 }, (_, index) => rule('*', `app ${index}`, 'glob')), many],
    [
      'expressions made to be slow',
      Array.from({ length: 40 }, (_, index) => rule(`(?:.*a.{${index}}){1,2}b`, 'x', 'regex')),
      many.map((name) => name.repeat(10)),
    ],
  ])('R17 refuses %s, with a code that says so', (_, rules, groups) => {
    const mapping = compileMapping({ rules, oneToOne: true });
    const refused = expect.objectContaining({ code: 'upstream_misconfigured', reason: 'mapping_too_costly' });
    const catalogue = compileCatalogue([]);
    expect(() => resolveEntitlements({ mapping, catalogue, ladder, groups })).toThrowError(refused);
    expect(resolveEntitlements({ mapping, catalogue, ladder, groups: groups.slice(0, 20) }).role).toBe('end-user');
  });
});
