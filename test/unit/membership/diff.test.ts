import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Membership } from '../../../src/domain/membership.ts';
import { diffMembership } from '../../../src/membership/diff.ts';
import { aStored, engineers, support } from '../../support/sync-builder.ts';

const { version: _, reasons: __, ...state } = aStored();

describe('diffMembership', () => {
  it('R28 starts a membership at version 1', () => {
    expect(diffMembership(null, { ...state, groups: [engineers] })).toMatchObject({
      type: 'membership.created',
      next: { version: 1 },
      previous: null,
      added: [engineers],
      removed: [],
    });
  });

  it('R28 raises the version by one with each change', () => {
    expect(diffMembership(aStored({ version: 3, groups: [engineers] }), { ...state, groups: [support] })).toMatchObject({
      type: 'membership.updated',
      next: { version: 4 },
      added: [support],
      removed: [engineers],
    });
  });

  it('R28 says nothing when role and groups are the same, in whatever order', () => {
    const stored = aStored({ groups: [engineers, support] });
    expect(diffMembership(stored, { ...state, groups: [support, engineers] })).toBeNull();
  });

  it('R28 counts on over a removal and a return', () => {
    const removed = diffMembership(aStored({ version: 3, groups: [engineers] }), { ...state, groups: [], status: 'removed' });
    expect(removed).toMatchObject({ type: 'membership.removed', next: { version: 4 }, removed: [engineers] });
    const returned = diffMembership(removed?.next as Membership, { ...state, groups: [] });
    expect(returned).toMatchObject({ type: 'membership.created', next: { version: 5 }, previous: null });
  });

  it('says nothing about a removal of what was not there', () => {
    expect(diffMembership(null, { ...state, status: 'removed' })).toBeNull();
    expect(diffMembership(aStored({ status: 'removed' }), { ...state, status: 'removed' })).toBeNull();
  });

  const aGroup = fc.integer({ min: 0, max: 8 }).map((n) => ({ groupId: `g${n}`, name: `group ${n}` }));
  const aState = fc.record({
    role: fc.constantFrom('admin', 'builder', 'end-user'),
    groups: fc.uniqueArray(aGroup, { selector: ({ groupId }) => groupId }),
    status: fc.constantFrom('active' as const, 'removed' as const),
  });

  it('R28 lets a reader who applies added and removed arrive at the same groups', () => {
    fc.assert(
      fc.property(fc.array(aState, { maxLength: 12 }), (states) => {
        let stored: Membership | null = null;
        let reader: string[] = [];
        for (const step of states) {
          const change = diffMembership(stored, { ...state, ...step, groups: step.status === 'active' ? step.groups : [] });
          if (!change) continue;
          expect(change.next.version).toBe(((stored as Membership | null)?.version ?? 0) + 1);
          const gone = new Set(change.removed.map(({ groupId }) => groupId));
          reader = [...reader.filter((id) => !gone.has(id)), ...change.added.map(({ groupId }) => groupId)];
          expect(reader.toSorted()).toEqual(change.next.groups.map(({ groupId }) => groupId).toSorted());
          stored = change.next;
        }
      }),
    );
  });
});
