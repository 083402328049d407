import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AppGroup, MappingRule } from '../../../src/domain/group-sync.ts';
import type { Entitlements } from '../../../src/domain/membership.ts';
import { anyName, granted, ladder, type MappingWorld, resolve, rule } from '../../support/mapping-world.ts';

/** Few names, so that groups, rules and catalogue meet often; and nasty ones. */
const name = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.constantFrom('a', 'b', 'c', 'ab', 'app-a', 'app-admin', 'A', ' a', 'admin', 'builder', 'end-user', '__proto__'),
  },
  { weight: 1, arbitrary: anyName },
);
const pattern = fc.constantFrom<MappingRule>(
  rule('a*', 'b', 'glob'),
  rule('*', 'c', 'glob'),
  rule('*-a', 'builder', 'glob'),
  rule('^app-(.+)$', '$1', 'regex'),
  rule('(a)(b)?', '$2$1', 'regex'),
  rule('.*', 'gone', 'regex'),
);
const anyMappingRule = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(name, name).map(([from, to]) => rule(from, to)) },
  { weight: 1, arbitrary: pattern },
);
const group: fc.Arbitrary<AppGroup> = fc.record({
  groupId: fc.uuid(),
  name,
  requiresRole: fc.constantFrom(null, null, 'end-user', 'builder', 'admin', 'unheard of'),
});
const world: fc.Arbitrary<Required<Omit<MappingWorld, 'ladder'>>> = fc.record({
  rules: fc.array(anyMappingRule, { maxLength: 8 }),
  oneToOne: fc.boolean(),
  catalogue: fc.uniqueArray(group, { maxLength: 8, selector: (one) => one.name }),
  groups: fc.array(name, { maxLength: 8 }),
});
const runs = { numRuns: 1_000 };

function holds(property: (given: Required<Omit<MappingWorld, 'ladder'>>) => void): void {
  fc.assert(fc.property(world, property), runs);
}

function rankOf(role: string): number {
  return ladder.indexOf(role);
}

/** The requirements as plainly as they can be said; the patterns of this file by JavaScript's own engine, for names without line breaks. */
function plainly({ rules, oneToOne, catalogue, groups }: Required<Omit<MappingWorld, 'ladder'>>): ReturnType<typeof granted> {
  const targetsOf = (idpGroup: string): string[] => {
    const naming = rules.flatMap(({ from, match, to }) => {
      if (match === 'exact') return from === idpGroup ? [to] : [];
      const source = match === 'glob' ? from.replaceAll('*', '[^]*') : from;
      const found = new RegExp(`^(?:${source})$`, 'u').exec(idpGroup);
      if (!found) return [];
      return [match === 'regex' ? to.replace(/\$(\d)/g, (_, digit) => found[Number(digit)] ?? '') : to];
    });
    return naming.length > 0 ? naming : oneToOne ? [idpGroup] : [];
  };
  const targets = groups.flatMap(targetsOf);
  const joined = catalogue.filter((app) => !ladder.includes(app.name) && targets.includes(app.name));
  const roles = [
    ...targets.filter((target) => ladder.includes(target)),
    ...joined.map(({ requiresRole }) => (requiresRole !== null && ladder.includes(requiresRole) ? requiresRole : 'end-user')),
  ];
  return {
    matched: roles.length > 0,
    role: ladder.find((role) => roles.includes(role)) ?? 'end-user',
    groups: joined.map((app) => app.name).sort(),
  };
}

describe('resolveEntitlements', () => {
  it('R17 R18 R19 R21 R22 agrees with the requirements said plainly', () => {
    const plain = world.filter(({ groups }) => groups.every((idpGroup) => !/[\r\n\u2028\u2029]/.test(idpGroup)));
    fc.assert(
      fc.property(plain, (given) => {
        expect(granted(resolve(given))).toEqual(plainly(given));
      }),
      { numRuns: 3_000 },
    );
  });

  it('R17 does not depend on the order of the groups', () => {
    const shuffled = world.chain((given) =>
      fc.tuple(fc.constant(given), fc.shuffledSubarray([...given.groups], { minLength: given.groups.length })),
    );
    fc.assert(
      fc.property(shuffled, ([given, groups]) => {
        expect(resolve({ ...given, groups })).toEqual(resolve(given));
      }),
      runs,
    );
  });

  it('R17 does not depend on repeated groups, but for the warning', () => {
    holds((given) => {
      const { warnings, ...once } = resolve({ ...given, groups: [...new Set(given.groups)] });
      const { warnings: repeated, ...twice } = resolve({ ...given, groups: [...given.groups, ...given.groups] });
      expect(twice).toEqual(once);
      expect(repeated.filter(({ kind }) => kind !== 'duplicate-group')).toEqual(warnings);
      expect(repeated.filter(({ kind }) => kind === 'duplicate-group')).toHaveLength(new Set(given.groups).size);
    });
  });

  it('R17 does not depend on the order of the rules or of the catalogue, but for the rule numbers', () => {
    holds((given) => {
      const turned = { ...given, rules: given.rules.toReversed(), catalogue: given.catalogue.toReversed() };
      expect(granted(resolve(turned))).toEqual(granted(resolve(given)));
    });
  });

  it('R18 never lowers the role, and takes no group away, when a group is added', () => {
    fc.assert(
      fc.property(world, name, (given, added) => {
        const before = resolve(given);
        const after = resolve({ ...given, groups: [...given.groups, added] });
        expect(rankOf(after.role)).toBeLessThanOrEqual(rankOf(before.role));
        expect(after.groups).toEqual(expect.arrayContaining([...before.groups]));
        expect(after.matched || !before.matched).toBe(true);
      }),
      runs,
    );
  });

  it('R17 gives for all groups what it gives for each: union of groups, highest role', () => {
    holds((given) => {
      const each = given.groups.map((idpGroup) => resolve({ ...given, groups: [idpGroup] }));
      const all = resolve(given);
      const union = new Set(each.flatMap(({ groups }) => groups.map(({ groupId }) => groupId)));
      expect(new Set(all.groups.map(({ groupId }) => groupId))).toEqual(union);
      expect(rankOf(all.role)).toBe(Math.min(rankOf('end-user'), ...each.map(({ role }) => rankOf(role))));
      expect(all.matched).toBe(each.some(({ matched }) => matched));
    });
  });

  it('R17 has a reason for every grant, and none for anything else', () => {
    holds((given) => {
      const entitlements = resolve(given);
      const grants = (of: Entitlements) =>
        new Set([`role ${of.role}`, ...of.groups.map(({ groupId, name: app }) => `${groupId} ${app}`)]);
      const explained = entitlements.reasons.map(({ grant }) =>
        grant.kind === 'role' ? `role ${grant.role}` : `${grant.groupId} ${grant.name}`,
      );
      expect(new Set(explained)).toEqual(grants(entitlements));
      expect(new Set(entitlements.reasons.map((reason) => JSON.stringify(reason))).size).toBe(entitlements.reasons.length);
    });
  });

  it('R17 has reasons that are true: each group gives alone what it is said to give', () => {
    holds((given) => {
      const entitlements = resolve(given);
      for (const { grant, idpGroup, via } of entitlements.reasons) {
        if (idpGroup === null) {
          expect([via.kind, entitlements.matched]).toEqual(['fallback', false]);
          continue;
        }
        expect(given.groups).toContain(idpGroup);
        const alone = resolve({ ...given, groups: [idpGroup] });
        if (grant.kind === 'role') expect(alone.role).toBe(grant.role);
        else expect(alone.groups.map(({ groupId }) => groupId)).toContain(grant.groupId);
        if (via.kind === 'rule') expect(given.rules[via.ruleIndex]).toEqual({ from: via.from, match: via.match, to: via.to });
      }
    });
  });

  it('R19 grants nothing outside of the catalogue and the ladder', () => {
    holds((given) => {
      const { role, groups } = resolve(given);
      expect(ladder).toContain(role);
      for (const { groupId, name: app } of groups) {
        expect(given.catalogue.some((known) => known.groupId === groupId && known.name === app)).toBe(true);
        expect(ladder).not.toContain(app);
      }
    });
  });

  it('R17 never lets a group that a rule names fall to the 1:1 rule', () => {
    holds((given) => {
      const named = new Set(given.rules.flatMap(({ from, match }) => (match === 'exact' ? [from] : [])));
      const patterns = given.rules.filter(({ match, from }) => match === 'glob' && from === '*').length > 0;
      for (const { idpGroup, via } of resolve(given).reasons) {
        if (via.kind === 'one-to-one') expect(patterns || named.has(idpGroup as string)).toBe(false);
      }
    });
  });

  it('R23 lists as missing what rules give and nobody has, and grants it once it exists', () => {
    holds((given) => {
      const { missingTargets } = resolve(given);
      for (const target of missingTargets) {
        expect(ladder).not.toContain(target);
        expect(given.catalogue.some((app) => app.name === target)).toBe(false);
      }
      const created = missingTargets.map((target, index) => ({ groupId: `new-${index}`, name: target, requiresRole: null }));
      const after = resolve({ ...given, catalogue: [...given.catalogue, ...created] });
      expect(after.missingTargets).toEqual([]);
      expect(after.groups.map(({ groupId }) => groupId)).toEqual(expect.arrayContaining(created.map(({ groupId }) => groupId)));
    });
  });

  it('R16 does not change the result by a near miss: the same without the names that nearly match', () => {
    holds((given) => {
      const near = new Set(resolve(given).warnings.flatMap((warning) => (warning.kind === 'near-miss' ? [warning.name] : [])));
      const unused = given.catalogue.filter(
        (app) =>
          near.has(app.name) &&
          !given.groups.includes(app.name) &&
          !given.rules.some(({ to }) => to === app.name || to.includes('$')),
      );
      const without = { ...given, catalogue: given.catalogue.filter((app) => !unused.includes(app)) };
      expect(granted(resolve(without))).toEqual(granted(resolve(given)));
    });
  });
});
