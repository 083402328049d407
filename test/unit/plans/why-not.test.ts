import { describe, expect, it } from 'vitest';
import type { MappingRule } from '../../../src/domain/group-sync.ts';
import { type WhyNotInput, whyNot } from '../../../src/membership/why-not.ts';
import { aSettings, ladder } from '../../support/sync-builder.ts';

const rule = (from: string, to: string, match: MappingRule['match'] = 'exact'): MappingRule => ({ from, to, match });

function asking(
  asked: string,
  sent: readonly string[] | null,
  rules: readonly MappingRule[] = [],
  more: Partial<WhyNotInput> = {},
) {
  return whyNot({
    asked,
    ladder,
    catalogue: ['engineers', 'support'].map((name, index) => ({ groupId: String(index), name, requiresRole: null })),
    membership: { status: 'active', role: 'end-user', groups: [] },
    userArchived: false,
    source: {
      settings: aSettings({ mapping: { rules, oneToOne: true } }),
      groups: sent && { groups: sent },
      held: null,
    },
    ...more,
  });
}
const causes = (...given: Parameters<typeof asking>) => asking(...given).causes.map(({ cause }) => cause);

describe('R37 why-not', () => {
  it.each<[string, Parameters<typeof asking>, string[]]>([
    ['a group of that name was not sent', ['support', []], ['no_rule', 'idp_group_not_sent']],
    ['it was sent in another case', ['support', ['Support']], ['no_rule', 'idp_group_not_sent', 'near_miss']],
    [
      'the group of its rule was sent with a space',
      ['support', ['Help '], [rule('Help', 'support')]],
      ['idp_group_not_sent', 'near_miss', 'idp_group_not_sent'],
    ],
    ['a rule takes the group elsewhere', ['support', ['support'], [rule('support', 'engineers')]], ['named_elsewhere']],
    [
      'no group fits the pattern',
      ['support', ['x'], [rule('help-*', 'support', 'glob')]],
      ['idp_group_not_sent', 'idp_group_not_sent'],
    ],
    [
      'no group fits the expression',
      ['support', ['x'], [rule('app-(.+)', '$1', 'regex')]],
      ['idp_group_not_sent', 'idp_group_not_sent'],
    ],
    ['there is no such name', ['finance', ['finance']], ['not_in_catalogue']],
    ['nothing was ever told', ['support', null], ['groups_unknown', 'no_rule', 'idp_group_not_sent']],
    ['the mapping gives it since', ['support', ['support']], ['not_synced_since']],
  ])('says that %s', (_title, given, expected) => {
    expect(causes(...given)).toEqual(expected);
  });

  it('says that the 1:1 rule is off', () => {
    const source = {
      settings: aSettings({ mapping: { rules: [], oneToOne: false } }),
      groups: { groups: ['support'] },
      held: null,
    };
    expect(causes('support', [], [], { source })).toEqual(['one_to_one_off']);
  });

  it('says that a higher role won, that the user is archived, the membership ended, and nobody knows the user', () => {
    const membership = { status: 'active', role: 'admin', groups: [] } as const;
    expect(causes('builder', ['builder'], [], { membership })).toContain('higher_role');
    const ended = { membership: { ...membership, status: 'removed' as const }, userArchived: true, source: null };
    expect(causes('support', [], [], ended)).toEqual(['user_archived', 'membership_removed', 'no_connection']);
  });

  it('has nothing to say about what is held', () => {
    const membership = { status: 'active', role: 'builder', groups: ['support'] } as const;
    expect(asking('support', [], [], { membership })).toEqual({ asked: 'support', kind: 'group', held: true, causes: [] });
    expect(asking('builder', [], [], { membership }).held).toBe(true);
  });

  it('takes names such as __proto__ for names', () => {
    expect(causes('__proto__', ['__proto__'])).toEqual(['not_in_catalogue']);
  });
});
