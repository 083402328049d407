import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClaimSource } from '../../../src/domain/federated-identity.ts';
import { hasClaim, readGroups } from '../../../src/domain/group-claim.ts';
import type { GroupClaim } from '../../../src/domain/group-sync.ts';
import { nastyNames } from '../../support/mapping-world.ts';

function claim(overrides: Partial<GroupClaim> = {}): GroupClaim {
  return { name: 'groups', delimiter: null, nameProperty: null, truncationLimit: null, ...overrides };
}

function source(claims: Record<string, unknown>, kind: ClaimSource['source'] = 'id_token'): ClaimSource {
  return { source: kind, claims };
}

function known(names: string[], kind: ClaimSource['source'] = 'id_token') {
  return { state: 'known', names, source: kind };
}

function unknownBecause(reason: string) {
  return { state: 'unknown', reason, detail: expect.any(String) };
}

describe('where the claim stands', () => {
  it('R14 reads the configured claim name', () => {
    expect(readGroups([source({ teams: ['a'], groups: ['b'] })], claim({ name: 'teams' }))).toEqual(known(['a']));
  });

  it('R14 looks into the sources in their order and says where it found the claim', () => {
    const inIdToken = source({ groups: ['from ID token'] });
    const inUserinfo = source({ groups: ['from userinfo'] }, 'userinfo');
    const inAccessToken = source({ groups: ['from access token'] }, 'access_token');
    const nothing = source({ sub: '1' });
    expect(readGroups([inIdToken, inUserinfo, inAccessToken], claim())).toEqual(known(['from ID token']));
    expect(readGroups([nothing, inUserinfo, inAccessToken], claim())).toEqual(known(['from userinfo'], 'userinfo'));
    expect(readGroups([nothing, source({}, 'userinfo'), inAccessToken], claim())).toEqual(
      known(['from access token'], 'access_token'),
    );
  });

  it('R14 reads SAML attributes', () => {
    expect(readGroups([source({ memberOf: ['a', 'b'] }, 'saml_attributes')], claim({ name: 'memberOf' }))).toEqual(
      known(['a', 'b'], 'saml_attributes'),
    );
  });

  it('R14 follows a path with dots', () => {
    const claims = { realm_access: { roles: ['a'] } };
    expect(readGroups([source(claims)], claim({ name: 'realm_access.roles' }))).toEqual(known(['a']));
    expect(readGroups([source(claims)], claim({ name: 'realm_access.groups' }))).toEqual(unknownBecause('absent'));
    expect(readGroups([source({ realm_access: ['roles'] })], claim({ name: 'realm_access.0' }))).toEqual(
      unknownBecause('absent'),
    );
    expect(readGroups([source({ realm_access: 'roles' })], claim({ name: 'realm_access.length' }))).toEqual(
      unknownBecause('absent'),
    );
  });

  it('R14 tries the whole name before the path', () => {
    const claims = { 'a.b': ['whole'], a: { b: ['path'] } };
    expect(readGroups([source(claims)], claim({ name: 'a.b' }))).toEqual(known(['whole']));
    expect(readGroups([source({ 'https://example.com/groups': ['x'] })], claim({ name: 'https://example.com/groups' }))).toEqual(
      known(['x']),
    );
  });

  it('R14 sees own properties only, whatever the claim is called', () => {
    for (const name of [
      '__proto__',
      'constructor',
      'toString',
      'constructor.name',
      '__proto__.toString',
      'a.__proto__',
      'a.constructor.name',
    ]) {
      expect(readGroups([source({ a: {} })], claim({ name }))).toEqual(unknownBecause('absent'));
    }
    const hostile = JSON.parse('{ "__proto__": ["a"], "constructor": ["b"], "x": { "__proto__": ["c"] } }');
    expect(readGroups([source(hostile)], claim({ name: '__proto__' }))).toEqual(known(['a']));
    expect(readGroups([source(hostile)], claim({ name: 'constructor' }))).toEqual(known(['b']));
    expect(readGroups([source(hostile)], claim({ name: 'x.__proto__' }))).toEqual(known(['c']));
  });
});

describe('shapes of the claim', () => {
  it('R24 reads an array of strings, exactly as sent', () => {
    const names = [...nastyNames];
    expect(readGroups([source({ groups: names })], claim())).toEqual(known(names));
    expect(readGroups([source({ groups: ['a', 'a'] })], claim())).toEqual(known(['a', 'a']));
  });

  it('R24 reads one string as one group', () => {
    expect(readGroups([source({ groups: 'a,b' })], claim())).toEqual(known(['a,b']));
  });

  it('R24 splits a string at the configured delimiter, without trimming', () => {
    const split = claim({ delimiter: ',' });
    expect(readGroups([source({ groups: 'a,b' })], split)).toEqual(known(['a', 'b']));
    expect(readGroups([source({ groups: 'a, b,,c,' })], split)).toEqual(known(['a', ' b', 'c']));
    expect(readGroups([source({ groups: 'a||b' })], claim({ delimiter: '||' }))).toEqual(known(['a', 'b']));
    expect(readGroups([source({ groups: 'ab' })], claim({ delimiter: '' }))).toEqual(known(['ab']));
  });

  it('R24 splits SAML values, which are always lists, and leaves the lists of OIDC alone', () => {
    const split = claim({ delimiter: ';' });
    expect(readGroups([source({ groups: ['a;b', 'c'] }, 'saml_attributes')], split)).toEqual(
      known(['a', 'b', 'c'], 'saml_attributes'),
    );
    expect(readGroups([source({ groups: ['a;b', 'c'] })], split)).toEqual(known(['a;b', 'c']));
  });

  it('R24 reads the configured property of an array of objects', () => {
    const objects = [{ id: 1, displayName: 'a' }, { displayName: 'b' }];
    expect(readGroups([source({ groups: objects })], claim({ nameProperty: 'displayName' }))).toEqual(known(['a', 'b']));
    expect(readGroups([source({ groups: ['a'] })], claim({ nameProperty: 'displayName' }))).toEqual(known(['a']));
  });

  it.each<[string, unknown, Partial<GroupClaim>]>([
    ['a number', 7, {}],
    ['true', true, {}],
    ['an object', { a: 'b' }, {}],
    ['an object with the name property', { name: 'a' }, { nameProperty: 'name' }],
    ['a list with a number', ['a', 7], {}],
    ['a list with null', ['a', null], {}],
    ['a list with a list', [['a']], {}],
    ['objects without a name property configured', [{ name: 'a' }], {}],
    ['objects without the property', [{ name: 'a' }, { id: 'b' }], { nameProperty: 'name' }],
    ['objects with a property that is no string', [{ name: ['a'] }], { nameProperty: 'name' }],
    ['objects that only inherit the property', [{}], { nameProperty: 'constructor' }],
    ['objects and strings mixed', ['a', { name: 'b' }], { nameProperty: 'name' }],
    ['lists where objects are expected', [['a']], { nameProperty: '0' }],
  ])('R24 records %s as malformed', (_, groups, overrides) => {
    expect(readGroups([source({ groups })], claim(overrides))).toEqual(unknownBecause('malformed'));
  });

  it('R24 does not fall through to another source when the first one is malformed', () => {
    expect(readGroups([source({ groups: 7 }), source({ groups: ['a'] }, 'userinfo')], claim())).toEqual(
      unknownBecause('malformed'),
    );
  });

  it('R24 keeps the values of the claim out of the detail', () => {
    const groups = readGroups([source({ groups: [{ name: 'ada@example.com' }, 7] })], claim({ nameProperty: 'name' }));
    expect(groups).toEqual(unknownBecause('malformed'));
    expect(JSON.stringify(groups)).not.toContain('ada@example.com');
  });

  it('R24 never throws, whatever JSON the IdP sends', () => {
    const config = fc.record({
      name: fc.constantFrom('groups', 'a.b', '__proto__', 'groups.name', ''),
      delimiter: fc.constantFrom(null, ',', ''),
      nameProperty: fc.constantFrom(null, 'name', '__proto__'),
      truncationLimit: fc.constantFrom(null, 0, 1, 100),
    });
    const value = fc.oneof(
      fc.jsonValue(),
      fc.dictionary(fc.constantFrom('groups', 'a', '_claim_names', 'hasgroups'), fc.jsonValue()),
    );
    fc.assert(
      fc.property(value, config, (claims, settings) => {
        const groups = readGroups(
          [source(claims as Record<string, unknown>)].filter(({ claims: own }) => own instanceof Object),
          settings,
        );
        if (groups.state === 'known') for (const name of groups.names) expect(name).toEqual(expect.any(String));
        else expect(groups.detail).not.toBe('');
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('unknown is not empty', () => {
  it('R25 knows that an empty list, or an empty string, means no groups', () => {
    expect(readGroups([source({ groups: [] })], claim({ truncationLimit: 100 }))).toEqual(known([]));
    expect(readGroups([source({ groups: '' })], claim())).toEqual(known([]));
    expect(readGroups([source({ groups: '' })], claim({ delimiter: ',', truncationLimit: 1 }))).toEqual(known([]));
    expect(readGroups([source({ groups: [''] }, 'saml_attributes')], claim())).toEqual(known([], 'saml_attributes'));
    expect(readGroups([source({ groups: [] }), source({ groups: ['a'] }, 'userinfo')], claim())).toEqual(known([]));
  });

  it('R25 says absent when no source has the claim', () => {
    expect(readGroups([source({ sub: '1' }), source({}, 'userinfo')], claim())).toEqual(unknownBecause('absent'));
    expect(readGroups([], claim())).toEqual(unknownBecause('absent'));
  });

  it('R25 takes null for absent, and looks further', () => {
    expect(readGroups([source({ groups: null })], claim())).toEqual(unknownBecause('absent'));
    expect(readGroups([source({ groups: null }), source({ groups: ['a'] }, 'userinfo')], claim())).toEqual(
      known(['a'], 'userinfo'),
    );
    expect(readGroups([source({ a: null })], claim({ name: 'a.b' }))).toEqual(unknownBecause('absent'));
  });

  const sources = { _claim_sources: { src1: { endpoint: 'https://graph.example.com' } } };

  it('R25 recognises the overage marker _claim_names, with and without the claim', () => {
    const marker = { _claim_names: { groups: 'src1' }, ...sources };
    expect(readGroups([source(marker)], claim())).toEqual(unknownBecause('overage'));
    expect(readGroups([source({ ...marker, groups: ['a'] })], claim())).toEqual(unknownBecause('overage'));
    expect(readGroups([source(marker), source({ groups: ['a'] }, 'userinfo')], claim())).toEqual(unknownBecause('overage'));
    expect(readGroups([source({ _claim_names: { realm_access: 'src1' } })], claim({ name: 'realm_access.roles' }))).toEqual(
      unknownBecause('overage'),
    );
  });

  it('R25 is not misled by a _claim_names that names other claims', () => {
    expect(readGroups([source({ _claim_names: { address: 'src1' }, groups: ['a'], ...sources })], claim())).toEqual(known(['a']));
    expect(readGroups([source({ _claim_names: ['groups'], groups: ['a'] })], claim())).toEqual(known(['a']));
    expect(readGroups([source({ _claim_names: {}, constructor: ['a'] })], claim({ name: 'constructor' }))).toEqual(known(['a']));
  });

  it('R25 recognises hasgroups', () => {
    expect(readGroups([source({ hasgroups: true })], claim())).toEqual(unknownBecause('overage'));
    expect(readGroups([source({ hasgroups: 'true' })], claim())).toEqual(unknownBecause('overage'));
    expect(readGroups([source({ hasgroups: true, groups: ['a'] })], claim())).toEqual(unknownBecause('overage'));
    expect(readGroups([source({ hasgroups: false, groups: ['a'] })], claim())).toEqual(known(['a']));
  });

  it('R25 keeps app roles readable for a user with too many groups: hasgroups speaks of groups alone', () => {
    expect(readGroups([source({ hasgroups: true, roles: ['admin'] })], claim({ name: 'roles' }))).toEqual(known(['admin']));
    expect(readGroups([source({ hasgroups: true })], claim({ name: 'roles' }))).toEqual(unknownBecause('overage'));
  });

  it('R25 recognises the overage attribute of Entra ID in SAML', () => {
    const name = 'http://schemas.microsoft.com/ws/2008/06/identity/claims/groups';
    const link = { 'http://schemas.microsoft.com/claims/groups.link': ['https://graph.example.com/getMemberObjects'] };
    expect(readGroups([source(link, 'saml_attributes')], claim({ name }))).toEqual(unknownBecause('overage'));
    expect(readGroups([source({ [name]: ['a'] }, 'saml_attributes')], claim({ name }))).toEqual(known(['a'], 'saml_attributes'));
  });

  it('R25 takes a list at or above the truncation limit for cut off', () => {
    const names = (count: number) => Array.from({ length: count }, (_, index) => `g${index}`);
    const limited = claim({ truncationLimit: 100 });
    expect(readGroups([source({ groups: names(99) })], limited)).toEqual(known(names(99)));
    expect(readGroups([source({ groups: names(100) })], limited)).toEqual(unknownBecause('truncated'));
    expect(readGroups([source({ groups: names(101) })], limited)).toEqual(unknownBecause('truncated'));
    expect(readGroups([source({ groups: names(10_000) })], claim())).toEqual(known(names(10_000)));
    expect(readGroups([source({ groups: names(100).join(',') })], claim({ truncationLimit: 100, delimiter: ',' }))).toEqual(
      unknownBecause('truncated'),
    );
    expect(readGroups([source({ groups: names(100).map((name) => ({ name })) })], { ...limited, nameProperty: 'name' })).toEqual(
      unknownBecause('truncated'),
    );
  });
});

describe('hasClaim', () => {
  it('R14 says whether a lookup ends at a source, exactly as readGroups does it', () => {
    expect(hasClaim(source({ groups: [] }), 'groups')).toBe(true);
    expect(hasClaim(source({ groups: 7 }), 'groups')).toBe(true);
    expect(hasClaim(source({ a: { b: 'x' } }), 'a.b')).toBe(true);
    expect(hasClaim(source({ _claim_names: { groups: 'src1' } }), 'groups')).toBe(true);
    expect(hasClaim(source({ groups: null }), 'groups')).toBe(false);
    expect(hasClaim(source({}), 'constructor')).toBe(false);
    expect(hasClaim(source({ a: {} }), 'a.b')).toBe(false);
  });
});
