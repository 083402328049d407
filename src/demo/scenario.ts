import type { Person } from './people.ts';

/** The imaginary customer whose identity provider the demo plays, and the workspace of the demo app that it signs in to. */
export const company = { name: 'Tidewater', domain: 'tidewater.example' } as const;

/** As `rollcall.yaml` declares it. */
export const workspace = { slug: 'tidewater' } as const;

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
