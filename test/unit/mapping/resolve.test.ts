import { describe, expect, it } from 'vitest';
import { appGroup, granted, ladder, nastyNames, resolve, rule, told } from '../../support/mapping-world.ts';

const developers = appGroup('developers');
const writers = appGroup('writers');

describe('1:1', () => {
  it('R16 maps a group to the app group of exactly its name', () => {
    expect(granted(resolve({ groups: ['developers'], catalogue: [developers] })).groups).toEqual(['developers']);
  });

  it.each(['Developers', 'developers ', ' developers', 'developers\u200b', 'developer', 'ｄevelopers'])(
    'R16 does not take %j for developers',
    (name) => {
      expect(granted(resolve({ groups: [name], catalogue: [developers] }))).toEqual({
        matched: false,
        role: 'end-user',
        groups: [],
      });
    },
  );

  it('R16 does not take one Unicode form for the other', () => {
    const [composed, decomposed] = ['Équipe'.normalize('NFC'), 'Équipe'.normalize('NFD')];
    expect(granted(resolve({ groups: [decomposed], catalogue: [appGroup(composed)] })).matched).toBe(false);
    expect(granted(resolve({ groups: [composed], catalogue: [appGroup(composed)] })).groups).toEqual([composed]);
  });

  it('R16 gives nasty names what is theirs and nothing else', () => {
    const catalogue = nastyNames.filter((name) => !ladder.includes(name)).map((name) => appGroup(name));
    for (const { name } of catalogue) {
      expect(granted(resolve({ groups: [name], catalogue })).groups).toEqual([name]);
      expect(granted(resolve({ groups: [name], catalogue: catalogue.filter((group) => group.name !== name) })).groups).toEqual(
        [],
      );
    }
  });

  it('R16 finds no app group through a prototype', () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expect(granted(resolve({ groups: [name], catalogue: [developers], rules: [rule('a', 'b')] })).matched).toBe(false);
    }
  });

  it('R16 survives half surrogate pairs and NUL in names that no edge has read', () => {
    const groups = ['\ud800', '\udc00', 'a\0b', ''];
    const rules = [rule('*\\?', 'developers', 'glob'), rule('.b', 'developers', 'regex')];
    expect(granted(resolve({ groups, rules, catalogue: [developers] })).matched).toBe(false);
  });

  it('R17 leaves groups alone that no rule names where 1:1 is off', () => {
    const world = {
      groups: ['developers', 'admin', 'cooks'],
      catalogue: [developers, writers],
      rules: [rule('cooks', 'writers')],
    };
    expect(granted(resolve({ ...world, oneToOne: false }))).toEqual({ matched: true, role: 'end-user', groups: ['writers'] });
    expect(granted(resolve({ ...world, oneToOne: true }))).toEqual({
      matched: true,
      role: 'admin',
      groups: ['developers', 'writers'],
    });
  });
});

describe('roles', () => {
  it('R18 gives the reasons of the role that won, and of no other', () => {
    const { reasons } = resolve({ groups: ['end-user', 'builder', 'makers'], rules: [rule('makers', 'builder')] });
    expect(told(reasons)).toEqual(['builder: role builder by one-to-one', 'makers: role builder by rule 0']);
  });

  it('R18 follows the ladder that is configured', () => {
    const own = ['owner', 'member'] as const;
    expect(granted(resolve({ groups: ['admin', 'owner'], ladder: own }))).toEqual({ matched: true, role: 'owner', groups: [] });
    expect(granted(resolve({ groups: ['admin'], ladder: own }))).toEqual({ matched: false, role: 'member', groups: [] });
    expect(granted(resolve({ groups: [], ladder: ['only'] }))).toEqual({ matched: false, role: 'only', groups: [] });
  });

  it('R18 prefers a role to an app group of its name, which cannot be joined', () => {
    expect(granted(resolve({ groups: ['admin'], catalogue: [appGroup('admin', 'builder')] }))).toEqual({
      matched: true,
      role: 'admin',
      groups: [],
    });
  });

  it('R19 joins several groups, in the order of their names, and takes the highest role that they require', () => {
    const catalogue = [appGroup('z'), appGroup('a', 'builder'), appGroup('m', 'admin')];
    const entitlements = resolve({ groups: ['z', 'm', 'a'], catalogue });
    expect(granted(entitlements)).toEqual({ matched: true, role: 'admin', groups: ['a', 'm', 'z'] });
    expect(told(entitlements.reasons)[0]).toBe('m: role admin by membership of m');
  });

  it('R19 asks for nothing when a group requires a role that the ladder does not have', () => {
    const entitlements = resolve({ groups: ['x'], catalogue: [appGroup('x', 'captain')] });
    expect(granted(entitlements)).toEqual({ matched: true, role: 'end-user', groups: ['x'] });
  });

  it('R19 joins a group that the catalogue has twice once, whatever the order', () => {
    const twice = [
      { groupId: '2', name: 'x', requiresRole: 'admin' },
      { groupId: '1', name: 'x', requiresRole: null },
    ];
    for (const catalogue of [twice, twice.toReversed()]) {
      expect(resolve({ groups: ['x'], catalogue }).groups).toEqual([{ groupId: '1', name: 'x' }]);
    }
  });
});

describe('nothing matched', () => {
  it('R22 gives the fallback role, its reason, and says that nothing matched', () => {
    expect(resolve({ groups: [] })).toEqual({
      matched: false,
      role: 'end-user',
      groups: [],
      reasons: [{ grant: { kind: 'role', role: 'end-user' }, idpGroup: null, via: { kind: 'fallback' } }],
      warnings: [],
      missingTargets: [],
    });
  });

  it('R22 tells the fallback from the same role given by a group', () => {
    expect(resolve({ groups: ['end-user'] }).matched).toBe(true);
    expect(resolve({ groups: ['cooks'] }).matched).toBe(false);
    expect(resolve({ groups: ['cooks'] }).warnings).toEqual([{ kind: 'unmatched', idpGroup: 'cooks' }]);
  });
});

describe('missing targets', () => {
  it('R23 skips a target that does not exist, and records it', () => {
    const rules = [rule('engineers', 'gone'), rule('engineers', 'developers')];
    const entitlements = resolve({ groups: ['engineers'], rules, catalogue: [developers] });
    expect(granted(entitlements)).toEqual({ matched: true, role: 'end-user', groups: ['developers'] });
    expect(entitlements.warnings).toEqual([{ kind: 'target-missing', idpGroup: 'engineers', target: 'gone', ruleIndex: 0 }]);
    expect(entitlements.missingTargets).toEqual(['gone']);
  });

  it('R23 lists missing targets once, captures filled in, and no name that only 1:1 would give', () => {
    const rules = [rule('^app-(.+)$', '$1', 'regex'), rule('b', 'sales'), rule('c', 'developers')];
    const groups = ['app-sales', 'app-ops', 'b', 'c', 'unnamed'];
    expect(resolve({ groups, rules, catalogue: [developers] }).missingTargets).toEqual(['ops', 'sales']);
  });

  it('R23 gives everything once the missing targets exist', () => {
    const world = { groups: ['a', 'b'], rules: [rule('a', 'gone'), rule('b', 'lost')] };
    const catalogue = resolve(world).missingTargets.map((name) => appGroup(name));
    const entitlements = resolve({ ...world, catalogue });
    expect(granted(entitlements).groups).toEqual(['gone', 'lost']);
    expect(entitlements.missingTargets).toEqual([]);
    expect(entitlements.warnings).toEqual([]);
  });

  it('R23 never lists an empty target or one that no name may have the length of', () => {
    const empty = resolve({ groups: ['app-'], rules: [rule('^app-(.*)$', '$1', 'regex')] });
    expect(empty.missingTargets).toEqual([]);
    expect(empty.warnings).toEqual([{ kind: 'target-missing', idpGroup: 'app-', target: '', ruleIndex: 0 }]);

    const long = resolve({ groups: ['x'.repeat(600)], rules: [rule('^(.*)$', '$1$1', 'regex')] });
    expect(long.missingTargets).toEqual([]);
    expect(long.warnings).toEqual([{ kind: 'target-missing', idpGroup: 'x'.repeat(600), target: '$1$1', ruleIndex: 0 }]);
  });
});
