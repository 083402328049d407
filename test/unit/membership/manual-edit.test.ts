import { describe, expect, it } from 'vitest';
import { reasonsAfter } from '../../../src/membership/manual-edit.ts';
import { aStored, engineers, groupReason, roleReason, support } from '../../support/sync-builder.ts';

const manual = { kind: 'kept', because: 'manual' };
const requires = { kind: 'group-requires', ...engineers, requiresRole: 'builder' } as const;
const byGroup = { grant: { kind: 'role', role: 'builder' } as const, idpGroup: 'engineers', via: requires };

describe('the reasons after an edit by hand', () => {
  it('R27 stay for grants that stay, and are manual for those that the edit gave', () => {
    const stored = aStored({ role: 'builder', groups: [engineers], reasons: [groupReason(engineers), roleReason('builder')] });
    expect(reasonsAfter(stored, { role: 'builder', groups: [engineers, support] })).toEqual([
      groupReason(engineers),
      roleReason('builder'),
      { grant: { kind: 'group', ...support }, idpGroup: null, via: manual },
    ]);
  });

  it('R27 a role that a group gave is manual once that group is gone', () => {
    const stored = aStored({ role: 'builder', groups: [engineers], reasons: [groupReason(engineers), byGroup] });
    expect(reasonsAfter(stored, { role: 'builder', groups: [engineers] })).toEqual([groupReason(engineers), byGroup]);
    expect(reasonsAfter(stored, { role: 'builder', groups: [] })).toEqual([
      { grant: { kind: 'role', role: 'builder' }, idpGroup: null, via: manual },
    ]);
  });

  it('R27 are all manual for somebody new, and for somebody who had left', () => {
    const left = aStored({ status: 'removed', role: 'admin', reasons: [roleReason('admin')] });
    for (const before of [null, left]) {
      expect(reasonsAfter(before, { role: 'admin', groups: [] })).toEqual([
        { grant: { kind: 'role', role: 'admin' }, idpGroup: null, via: manual },
      ]);
    }
  });
});
