import { z } from 'zod';

/** A user of the demo identity provider. */
export interface Person {
  /** Stable over restarts: the subject of SAML and OpenID Connect alike. */
  readonly id: string;
  readonly name: string;
  readonly givenName: string;
  readonly familyName: string;
  readonly email: string;
  readonly title: string;
  readonly groups: readonly string[];
}

/** What the identity provider knows about its users, in memory. */
export interface Directory {
  all(): readonly Person[];
  find(personId: string): Person | null;
  /** The person whom a `login_hint` or a SAML NameID means: by e-mail or id. */
  findByHint(hint: string | null): Person | null;
  /** Every group somebody is in, in name order. */
  groupNames(): readonly string[];
  /** Replaces the groups; an unknown person is a `RangeError`. */
  setGroups(personId: string, groups: readonly string[]): void;
}

export const maxGroupsPerPerson = 200;

/** A group name as typed in: any text a real directory would take, but no control characters (XML 1.0 has no way to write them). */
export const groupName = z
  .string()
  .trim()
  .min(1, 'Type a group name.')
  .max(100, 'A group name has at most 100 characters.')
  .regex(/^[^\p{Cc}\p{Cs}\uFFFE\uFFFF]*$/u, 'A group name has no control characters.');

export function createDirectory(initial: readonly Person[]): Directory {
  const byId = new Map(initial.map((person) => [person.id, person]));
  return {
    all: () => [...byId.values()],
    find: (personId) => byId.get(personId) ?? null,
    findByHint: (hint) => {
      if (hint === null) return null;
      return byId.get(hint) ?? [...byId.values()].find(({ email }) => email === hint.toLowerCase()) ?? null;
    },
    groupNames: () => [...new Set([...byId.values()].flatMap(({ groups }) => groups))].sort(),
    setGroups: (personId, groups) => {
      const person = byId.get(personId);
      if (person === undefined) throw new RangeError(`no person ${personId}`);
      byId.set(personId, { ...person, groups: [...new Set(groups)] });
    },
  };
}
