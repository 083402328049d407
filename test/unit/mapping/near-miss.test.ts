import { describe, expect, it } from 'vitest';
import { createNearMissIndex } from '../../../src/mapping/near-miss.ts';
import { appGroup, granted, resolve, rule } from '../../support/mapping-world.ts';

const developers = appGroup('developers');

describe('near misses', () => {
  const nearMisses = (world: Parameters<typeof resolve>[0]) =>
    resolve(world).warnings.flatMap((warning) =>
      warning.kind === 'near-miss' ? [`${warning.name}: ${warning.difference}`] : [],
    );

  it.each<[string, string, string[]]>([
    ['case', 'DEVELOPERS', ['developers: case']],
    ['a space at the edge', 'developers\u00a0', ['developers: edge-space']],
    ['full-width letters', 'ｄevelopers', ['developers: unicode-form']],
    ['all of them', ' Ｄevelopers', ['developers: case', 'developers: unicode-form', 'developers: edge-space']],
    ['the case of a role', 'Admin', ['admin: case']],
  ])('R16 reports %s and applies nothing', (_, name, expected) => {
    expect(nearMisses({ groups: [name], catalogue: [developers] })).toEqual(expected);
    expect(granted(resolve({ groups: [name], catalogue: [developers] }))).toEqual({
      matched: false,
      role: 'end-user',
      groups: [],
    });
  });

  it('R16 reports a Unicode form and a name of a rule', () => {
    expect(nearMisses({ groups: ['Équipe'.normalize('NFD')], catalogue: [appGroup('Équipe'.normalize('NFC'))] })).toEqual([
      `${'Équipe'.normalize('NFC')}: unicode-form`,
    ]);
    expect(nearMisses({ groups: ['cooks'], rules: [rule('Cooks', 'developers')], catalogue: [developers] })).toEqual([
      'Cooks: case',
    ]);
  });

  it('R16 reports what a rule nearly reaches', () => {
    expect(nearMisses({ groups: ['cooks'], rules: [rule('cooks', 'Developers')], catalogue: [developers] })).toEqual([
      'developers: case',
    ]);
    expect(nearMisses({ groups: ['cooks'], rules: [rule('cooks', 'ADMIN')] })).toEqual(['admin: case']);
  });

  it('R16 is silent about groups that match, about other names, and about names that would not count', () => {
    expect(nearMisses({ groups: ['developers'], catalogue: [developers, appGroup('Developers')] })).toEqual([]);
    expect(nearMisses({ groups: ['developer', 'cooks'], catalogue: [developers] })).toEqual([]);
    expect(nearMisses({ groups: ['Developers'], catalogue: [developers], oneToOne: false })).toEqual([]);
  });

  it('R16 does not take a name for a near miss of itself', () => {
    const neighboursOf = createNearMissIndex(() => ['a', 'A', 'b']);
    expect(neighboursOf('a')).toEqual(['A']);
    expect(neighboursOf('b')).toEqual([]);
  });

  it('R16 reports a few neighbours at the most, always the same', () => {
    const names = ['abcd', 'Abcd', 'aBcd', 'abCd', 'abcD'];
    const expected = ['Abcd: case', 'aBcd: case', 'abCd: case'];
    expect(nearMisses({ groups: ['ABCD'], catalogue: names.map((name) => appGroup(name)) })).toEqual(expected);
    expect(nearMisses({ groups: ['ABCD'], catalogue: names.toReversed().map((name) => appGroup(name)) })).toEqual(expected);
  });
});
