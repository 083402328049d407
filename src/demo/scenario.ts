import type { Person } from './people.ts';

/** The imaginary customer whose identity provider the demo plays, and the workspace of the demo app that it signs in to. */
export const company = { name: 'Tidewater', domain: 'tidewater.example' } as const;

export const workspace = { slug: 'tidewater', displayName: 'Tidewater' } as const;

/** One person for each thing worth showing: a role by name, a rule, a one-to-one group, several groups, none at all. */
export const people: readonly Person[] = [
  {
    id: 'ada',
    name: 'Ada Lindqvist',
    givenName: 'Ada',
    familyName: 'Lindqvist',
    email: `ada@${company.domain}`,
    title: 'Head of IT',
    groups: ['admin', 'All Staff'],
  },
  {
    id: 'bruno',
    name: 'Bruno Okafor',
    givenName: 'Bruno',
    familyName: 'Okafor',
    email: `bruno@${company.domain}`,
    title: 'Software engineer',
    groups: ['Engineering', 'All Staff'],
  },
  {
    id: 'chiara',
    name: 'Chiara Marin',
    givenName: 'Chiara',
    familyName: 'Marin',
    email: `chiara@${company.domain}`,
    title: 'Marketing lead',
    groups: ['Marketing Team', 'All Staff'],
  },
  {
    id: 'devi',
    name: 'Devi Raman',
    givenName: 'Devi',
    familyName: 'Raman',
    email: `devi@${company.domain}`,
    title: 'Data analyst',
    groups: ['analysts', 'Marketing Team'],
  },
  {
    id: 'emil',
    name: 'Emil Novák',
    givenName: 'Emil',
    familyName: 'Novák',
    email: `emil@${company.domain}`,
    title: 'Contractor',
    groups: [],
  },
];

/** The catalogue of the demo app: groups of the workspace, and the role that their permissions require at least. */
export const appGroups = [
  { name: 'marketing', requiresRole: null },
  { name: 'engineering', requiresRole: 'builder' },
  { name: 'analysts', requiresRole: null },
] as const;

/** The group mapping of both connections, in the text form; `admin` and `analysts` need no rule (R16, R18). */
export const mappingText = 'Marketing Team -> marketing, Engineering -> engineering';
