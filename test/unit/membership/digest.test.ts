import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMemberDigest, type DigestedMember, digestAlgorithm, digestText } from '../../../src/membership/digest.ts';

interface Vector {
  readonly name: string;
  readonly members: readonly { id: string; version: number; role: string; groups: readonly string[] }[];
  readonly count: number;
  readonly digest: string;
}
const published: { algorithm: string; vectors: readonly Vector[] } = JSON.parse(
  readFileSync(new URL('../../../docs/digest-vectors.json', import.meta.url), 'utf8'),
);

const member: fc.Arbitrary<DigestedMember> = fc.record({
  userId: fc.uuid(),
  version: fc.integer({ min: 1, max: 1_000_000_000 }),
  role: fc.oneof(fc.constantFrom('admin', 'builder', 'end-user', '', 'a\nb', 'a,b', '1'), fc.string({ unit: 'grapheme' })),
  groupIds: fc.uniqueArray(fc.uuid(), { maxLength: 6 }),
});
const members = fc.uniqueArray(member, { maxLength: 12, selector: ({ userId }) => userId });

function digestOf(list: readonly DigestedMember[]): string {
  const digest = createMemberDigest();
  for (const each of list) digest.add(each);
  return digest.hex();
}

describe('R40 the digest of members', () => {
  it.each(published.vectors)('is what docs/digest-vectors.json has for $name', ({ members: given, count, digest: expected }) => {
    const digest = createMemberDigest();
    for (const { id, version, role, groups } of given) digest.add({ userId: id, version, role, groupIds: groups });
    expect([digest.count(), digest.hex(), digestAlgorithm]).toEqual([count, expected, published.algorithm]);
  });

  it('hashes id, version, role and sorted groups on a line each', () => {
    const text = digestText({ userId: 'u', version: 7, role: 'admin', groupIds: ['b', 'a', 'b'] });
    expect(text).toBe('u\n7\nadmin\na,b');
  });

  it('does not depend on the order of members or groups', () => {
    const shuffled = members.chain((list) =>
      fc.tuple(
        fc.constant(list),
        fc.shuffledSubarray([...list], { minLength: list.length }),
        fc.array(fc.boolean(), { minLength: list.length, maxLength: list.length }),
      ),
    );
    fc.assert(
      fc.property(shuffled, ([list, other, turned]) => {
        const moved = other.map((each, at) => (turned[at] ? { ...each, groupIds: [...each.groupIds].reverse() } : each));
        expect(digestOf(moved)).toBe(digestOf(list));
      }),
    );
  });

  const changes = fc.constantFrom<(member: DigestedMember) => DigestedMember>(
    (given) => ({ ...given, version: given.version + 1 }),
    (given) => ({ ...given, role: `${given.role}x` }),
    (given) => ({ ...given, role: `${given.role}\n` }),
    (given) => ({ ...given, userId: `${given.userId.slice(0, -1)}${given.userId.endsWith('0') ? '1' : '0'}` }),
    (given) => ({ ...given, groupIds: [...given.groupIds, '018f0000-0000-7000-8000-000000000001'] }),
    (given) => (given.groupIds.length > 0 ? { ...given, groupIds: given.groupIds.slice(1) } : { ...given, version: 0 }),
  );

  it('changes with any single change of one member', () => {
    fc.assert(
      fc.property(members, member, changes, (others, one, change) => {
        expect(digestOf([...others, change(one)])).not.toBe(digestOf([...others, one]));
      }),
    );
  });

  it('changes when a member is missing, one too many, or there twice', () => {
    fc.assert(
      fc.property(members, member, (others, one) => {
        const all = digestOf([...others, one]);
        expect(digestOf(others)).not.toBe(all);
        expect(digestOf([...others, one, one])).not.toBe(all);
      }),
    );
  });

  it('never gives two states of a member the same text', () => {
    fc.assert(
      fc.property(member, member, (one, other) => {
        const sorted = (given: DigestedMember) => ({ ...given, groupIds: [...given.groupIds].sort() });
        expect(digestText(one) === digestText(other)).toBe(JSON.stringify(sorted(one)) === JSON.stringify(sorted(other)));
      }),
    );
  });

  it('is kept up to date by taking out the old state and adding the new one', () => {
    fc.assert(
      fc.property(members, member, changes, (others, one, change) => {
        const digest = createMemberDigest();
        digest.add(one);
        for (const each of others) digest.add(each);
        digest.remove(one);
        digest.add(change(one));
        expect(digest.hex()).toBe(digestOf([...others, change(one)]));
        for (const each of others) digest.remove(each);
        digest.remove(change(one));
        expect([digest.count(), digest.hex()]).toEqual([0, '0'.repeat(64)]);
      }),
    );
  });
});
