import { describe, expect, it } from 'vitest';
import { parseMappingText } from '../../../src/mapping/text-form.ts';
import { appGroup, granted, type MappingWorld, resolve, told } from '../../support/mapping-world.ts';

interface Scenario {
  readonly title: string;
  readonly groups: readonly string[];
  readonly catalogue: MappingWorld['catalogue'];
  readonly mapping: string;
  readonly gets: ReturnType<typeof granted>;
  readonly because: readonly string[];
}

/** The group mapping scenarios of the sources, row by row. */
const scenarios: readonly Scenario[] = [
  {
    title: 'R18 admin from the IdP is the role admin',
    groups: ['admin'],
    catalogue: [],
    mapping: '',
    gets: { matched: true, role: 'admin', groups: [] },
    because: ['admin: role admin by one-to-one'],
  },
  {
    title: 'R18 builder from the IdP is the role builder',
    groups: ['builder'],
    catalogue: [],
    mapping: '',
    gets: { matched: true, role: 'builder', groups: [] },
    because: ['builder: role builder by one-to-one'],
  },
  {
    title: 'R18 end-user from the IdP is the role end-user',
    groups: ['end-user'],
    catalogue: [],
    mapping: '',
    gets: { matched: true, role: 'end-user', groups: [] },
    because: ['end-user: role end-user by one-to-one'],
  },
  {
    title: 'R18 of several roles the highest wins',
    groups: ['end-user', 'admin', 'builder'],
    catalogue: [],
    mapping: '',
    gets: { matched: true, role: 'admin', groups: [] },
    because: ['admin: role admin by one-to-one'],
  },
  {
    title: 'R19 a same-named group is joined, with the role end-user',
    groups: ['engineers'],
    catalogue: [appGroup('engineers')],
    mapping: '',
    gets: { matched: true, role: 'end-user', groups: ['engineers'] },
    because: ['engineers: role end-user by membership of engineers', 'engineers: engineers by one-to-one'],
  },
  {
    title: 'R19 a same-named group is joined, with the role builder if its permissions require it',
    groups: ['engineers'],
    catalogue: [appGroup('engineers', 'builder')],
    mapping: '',
    gets: { matched: true, role: 'builder', groups: ['engineers'] },
    because: ['engineers: role builder by membership of engineers', 'engineers: engineers by one-to-one'],
  },
  {
    title: 'R20 the same-named group is missing, and a rule leads to one that exists',
    groups: ['engineers'],
    catalogue: [appGroup('developers')],
    mapping: 'engineers → developers',
    gets: { matched: true, role: 'end-user', groups: ['developers'] },
    because: ['engineers: role end-user by membership of developers', 'engineers: developers by rule 0'],
  },
  {
    title: 'R20 the rule leads to a group that requires builder',
    groups: ['engineers'],
    catalogue: [appGroup('developers', 'builder')],
    mapping: 'engineers -> developers',
    gets: { matched: true, role: 'builder', groups: ['developers'] },
    because: ['engineers: role builder by membership of developers', 'engineers: developers by rule 0'],
  },
  {
    title: 'R21 admin and an app group: both, and the role admin',
    groups: ['admin', 'developers'],
    catalogue: [appGroup('developers', 'builder')],
    mapping: '',
    gets: { matched: true, role: 'admin', groups: ['developers'] },
    because: ['admin: role admin by one-to-one', 'developers: developers by one-to-one'],
  },
  {
    title: 'R21 end-user and a group that requires builder: raised to builder',
    groups: ['end-user', 'developers'],
    catalogue: [appGroup('developers', 'builder')],
    mapping: '',
    gets: { matched: true, role: 'builder', groups: ['developers'] },
    because: ['developers: role builder by membership of developers', 'developers: developers by one-to-one'],
  },
  {
    title: 'R22 no groups: end-user',
    groups: [],
    catalogue: [appGroup('developers', 'builder')],
    mapping: '',
    gets: { matched: false, role: 'end-user', groups: [] },
    because: ['nobody: role end-user by fallback'],
  },
  {
    title: 'R22 no group that matches: end-user',
    groups: ['cooks'],
    catalogue: [appGroup('developers', 'builder')],
    mapping: 'engineers -> developers',
    gets: { matched: false, role: 'end-user', groups: [] },
    because: ['nobody: role end-user by fallback'],
  },
];

describe('scenarios of the sources', () => {
  it.each(scenarios)('$title', ({ groups, catalogue, mapping, gets, because }) => {
    const entitlements = resolve({ groups, catalogue, rules: parseMappingText(mapping) });
    expect(granted(entitlements)).toEqual(gets);
    expect(told(entitlements.reasons)).toEqual(because);
  });
});
