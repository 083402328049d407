import { describe, expect, it } from 'vitest';
import type { Groups } from '../../../src/domain/federated-identity.ts';
import { decideMembership, keepLastAdmin, wouldDemoteAdmin } from '../../../src/membership/decision.ts';
import {
  anEntitlement,
  aSettings,
  aStored,
  aSync,
  engineers,
  groupReason,
  ladder,
  roleReason,
  support,
} from '../../support/sync-builder.ts';

const absent: Groups = { state: 'unknown', reason: 'absent', detail: 'no claim "groups"' };
const fallbackReason = { grant: { kind: 'role', role: 'end-user' }, idpGroup: null, via: { kind: 'fallback' } };

describe('known groups', () => {
  it('R18 grants what the mapping gave', () => {
    const entitlements = anEntitlement({ role: 'builder', groups: [engineers], reasons: [groupReason(engineers)] });
    expect(decideMembership(null, aSync({ entitlements }), ladder)).toEqual({
      kind: 'grant',
      role: 'builder',
      groups: [engineers],
      reasons: [groupReason(engineers)],
      warnings: [],
      held: null,
    });
  });

  const nothing = anEntitlement({ matched: false });

  it('R22 fallback: no match gives the fallback role', () => {
    const decision = decideMembership(aStored({ role: 'admin' }), aSync({ entitlements: nothing }), ladder);
    expect(decision).toMatchObject({ kind: 'grant', role: 'end-user' });
  });

  it('R22 deny: no match denies and removes', () => {
    const decision = decideMembership(
      aStored(),
      aSync({ entitlements: nothing, settings: aSettings({ noMatch: 'deny' }) }),
      ladder,
    );
    expect(decision).toEqual({ kind: 'deny', reason: 'no_matching_group', removes: true });
  });

  it('R22 deny grants when something matches', () => {
    const decision = decideMembership(aStored(), aSync({ settings: aSettings({ noMatch: 'deny' }) }), ladder);
    expect(decision.kind).toBe('grant');
  });

  it('R22 keep: no match leaves a member as is, and gives a newcomer the fallback role', () => {
    const sync = aSync({ entitlements: nothing, settings: aSettings({ noMatch: 'keep' }) });
    expect(decideMembership(aStored({ role: 'admin' }), sync, ladder)).toEqual({ kind: 'hold', held: null });
    expect(decideMembership(null, sync, ladder)).toMatchObject({ kind: 'grant', role: 'end-user' });
    expect(decideMembership(aStored({ status: 'removed', role: 'admin' }), sync, ladder)).toMatchObject({
      kind: 'grant',
      role: 'end-user',
    });
  });
});

describe('unknown groups', () => {
  const stored = aStored({ role: 'admin', groups: [engineers] });

  it('R25 hold leaves the membership as it was and says so', () => {
    const held = { reason: 'groups_absent', detail: 'no claim "groups"' };
    expect(decideMembership(stored, aSync({ groups: absent }), ladder)).toEqual({ kind: 'hold', held });
  });

  it('R25 hold gives the fallback role at a first login', () => {
    expect(decideMembership(null, aSync({ groups: absent }), ladder)).toMatchObject({
      kind: 'grant',
      role: 'end-user',
      reasons: [fallbackReason],
      held: { reason: 'groups_absent' },
    });
  });

  it('R25 treat-as-empty goes on as if no group had been sent', () => {
    const settings = aSettings({ unknownGroups: 'treat-as-empty' });
    const entitlements = anEntitlement({ matched: false });
    expect(decideMembership(stored, aSync({ groups: absent, settings, entitlements }), ladder)).toMatchObject({
      kind: 'grant',
      role: 'end-user',
      held: null,
    });
  });

  it('R25 deny refuses but never removes on the strength of missing data', () => {
    const settings = aSettings({ unknownGroups: 'deny', noMatch: 'deny' });
    expect(decideMembership(stored, aSync({ groups: absent, settings }), ladder)).toEqual({
      kind: 'deny',
      reason: 'groups_unknown',
      removes: false,
    });
  });

  it.each(['absent', 'overage', 'truncated', 'malformed'] as const)('R25 names the reason %s', (reason) => {
    const decision = decideMembership(stored, aSync({ groups: { state: 'unknown', reason, detail: 'd' } }), ladder);
    expect(decision).toEqual({ kind: 'hold', held: { reason: `groups_${reason}`, detail: 'd' } });
  });
});

describe('sync switched off', () => {
  const sync = aSync({
    settings: aSettings({ enabled: false }),
    entitlements: anEntitlement({ role: 'admin', reasons: [roleReason('admin')] }),
  });

  it('R12 applies nothing to a member', () => {
    expect(decideMembership(aStored({ role: 'builder' }), sync, ladder)).toEqual({ kind: 'hold', held: null });
  });

  it('R12 lets a newcomer in with the fallback role', () => {
    expect(decideMembership(null, sync, ladder)).toMatchObject({ kind: 'grant', role: 'end-user', groups: [] });
  });
});

describe('managed-only', () => {
  const settings = aSettings({ mode: 'managed-only' });
  const sync = aSync({
    settings,
    entitlements: anEntitlement({ groups: [engineers], reasons: [groupReason(engineers), roleReason('end-user')] }),
  });

  it('R27 leaves a group and a higher role that Rollcall did not grant', () => {
    const stored = aStored({ role: 'admin', groups: [support], reasons: [] });
    expect(decideMembership(stored, sync, ladder)).toMatchObject({ role: 'admin', groups: [engineers, support] });
  });

  it('R27 takes back what Rollcall itself granted', () => {
    const stored = aStored({ role: 'admin', groups: [support], reasons: [groupReason(support), roleReason('admin')] });
    expect(decideMembership(stored, sync, ladder)).toMatchObject({ role: 'end-user', groups: [engineers] });
  });

  it('R27 goes on leaving manual grants at the login after', () => {
    const first = decideMembership(aStored({ role: 'admin', groups: [support] }), sync, ladder);
    if (first.kind !== 'grant') throw new Error('expected a grant');
    const second = decideMembership(aStored({ ...first, version: 4 }), sync, ladder);
    expect(second).toEqual(first);
  });

  it('R27 authoritative overwrites manual grants', () => {
    const stored = aStored({ role: 'admin', groups: [support] });
    expect(decideMembership(stored, { ...sync, settings: aSettings() }, ladder)).toMatchObject({
      role: 'end-user',
      groups: [engineers],
    });
  });
});

describe('the last admin', () => {
  const admin = aStored({ role: 'admin' });
  const demotion = decideMembership(
    admin,
    aSync({ entitlements: anEntitlement({ groups: [engineers], reasons: [groupReason(engineers), roleReason('end-user')] }) }),
    ladder,
  );

  it.each([
    ['a lower role', admin, demotion, true],
    ['removal', admin, { kind: 'deny', reason: 'no_matching_group', removes: true }, true],
    ['a refusal without removal', admin, { kind: 'deny', reason: 'groups_unknown', removes: false }, false],
    ['a hold', admin, { kind: 'hold', held: null }, false],
    ['the same role', admin, { ...demotion, role: 'admin' }, false],
    ['a lower role of a builder', aStored({ role: 'builder' }), demotion, false],
    ['a lower role of a removed admin', aStored({ role: 'admin', status: 'removed' }), demotion, false],
  ] as const)('R30 %s demotes: %#', (_, stored, decision, expected) => {
    expect(wouldDemoteAdmin(stored, decision as typeof demotion, ladder)).toBe(expected);
  });

  it('R30 keeps the role, follows the groups, and says why', () => {
    expect(keepLastAdmin(demotion, ladder)).toMatchObject({
      kind: 'grant',
      role: 'admin',
      groups: [engineers],
      reasons: [groupReason(engineers), { grant: { kind: 'role', role: 'admin' }, via: { kind: 'kept', because: 'last-admin' } }],
      held: { reason: 'last_admin' },
    });
  });

  it('R30 turns a removal into a hold', () => {
    expect(keepLastAdmin({ kind: 'deny', reason: 'no_matching_group', removes: true }, ladder)).toMatchObject({
      kind: 'hold',
      held: { reason: 'last_admin' },
    });
  });
});
