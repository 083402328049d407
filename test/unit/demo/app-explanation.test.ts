import { describe, expect, test } from 'vitest';
import { readExplanation } from '../../../src/demo/app-explanation.ts';
import { type Html, renderHtml } from '../../../src/http/html.ts';

const role = (name: string) => ({ kind: 'role', role: name }) as const;
const group = (name: string) => ({ kind: 'group', id: `id-${name}`, name }) as const;

/** The sentence as a reader sees it. */
const words = (html: Html | undefined) =>
  html === undefined
    ? ''
    : renderHtml(html)
        .replace(/<q>/g, '“')
        .replace(/<\/q>/g, '”')
        .replace(/<[^>]*>/g, '');

const sentence = (reason: unknown) => words(readExplanation({ reasons: [reason] }).grants[0]?.because[0]);
const warning = (one: unknown) => words(readExplanation({ warnings: [one] }).warnings[0]);

describe('readExplanation', () => {
  const cases: [unknown, string][] = [
    [
      {
        grant: group('marketing'),
        idp_group: 'Marketing Team',
        via: { kind: 'rule', rule_index: 0, from: 'Marketing Team', match: 'exact', to: 'marketing' },
      },
      'Rule 1 “Marketing Team → marketing” names the IdP group “Marketing Team”.',
    ],
    [
      {
        grant: role('builder'),
        idp_group: 'eng-web',
        via: { kind: 'rule', rule_index: 4, from: 'eng-*', match: 'glob', to: 'builder' },
      },
      'Rule 5 “eng-* → builder” fits the IdP group “eng-web”.',
    ],
    [
      { grant: role('admin'), idp_group: 'admin', via: { kind: 'one-to-one' } },
      'The name of the IdP group “admin” is the name of this role.',
    ],
    [
      { grant: group('analysts'), idp_group: 'analysts', via: { kind: 'one-to-one' } },
      'The name of the IdP group “analysts” is the name of this group.',
    ],
    [
      {
        grant: role('builder'),
        idp_group: 'Engineering',
        via: { kind: 'group-requires', group: { id: 'g', name: 'engineering' }, requires_role: 'builder' },
      },
      'Being in “engineering” requires at least this role; the IdP group “Engineering” led there.',
    ],
    [{ grant: role('end-user'), idp_group: null, via: { kind: 'fallback' } }, 'No group gave a role, so the lowest one applies.'],
    [
      { grant: role('admin'), idp_group: null, via: { kind: 'kept', because: 'last-admin' } },
      'Kept: nobody else is an admin of this workspace.',
    ],
    [
      { grant: group('x'), idp_group: null, via: { kind: 'kept', because: 'unknown-groups' } },
      'Kept as it was: the identity provider did not say which groups the person is in.',
    ],
    [
      { grant: group('x'), idp_group: null, via: { kind: 'kept', because: 'no-match-keep' } },
      'Kept as it was: no group matched, and this connection then keeps what people had.',
    ],
    [{ grant: group('x'), idp_group: null, via: { kind: 'kept', because: 'manual' } }, 'Kept: it was granted by hand.'],
  ];
  test.each(cases)('R37 says in a plain sentence why: %j', (reason, expected) => {
    expect(sentence(reason)).toBe(expected);
  });

  const warnings: [unknown, string][] = [
    [
      { kind: 'near-miss', idp_group: 'marketing team', name: 'Marketing Team', difference: 'case' },
      '“marketing team” gave nothing. It differs from “Marketing Team” only in upper and lower case.',
    ],
    [
      { kind: 'target-missing', idp_group: 'Ops', target: 'operations', rule_index: 2 },
      '“Ops” gave nothing by rule 3: the app has no group “operations”.',
    ],
    [{ kind: 'duplicate-group', idp_group: 'admin', times: 3 }, '“admin” came 3 times and counts once.'],
    [
      { kind: 'unmatched', idp_group: 'All Staff' },
      '“All Staff” gave nothing: no rule names it, and the app has no role or group of that name.',
    ],
  ];
  test.each(warnings)('R37 says what gave nothing: %j', (one, expected) => {
    expect(warning(one)).toBe(expected);
  });

  test('R16 says of a near miss what it is, and not also that it matched nothing', () => {
    const { warnings } = readExplanation({
      warnings: [
        { kind: 'unmatched', idp_group: 'marketing team' },
        { kind: 'near-miss', idp_group: 'marketing team', name: 'Marketing Team', difference: 'case' },
        { kind: 'unmatched', idp_group: 'All Staff' },
      ],
    });
    expect(warnings.map((one) => words(one).slice(0, 30))).toEqual([
      '“marketing team” gave nothing.',
      '“All Staff” gave nothing: no r',
    ]);
  });

  test('R37 keeps every reason of one grant, and puts the role first', () => {
    const rule = (from: string, rule_index: number) => ({
      grant: group('marketing'),
      idp_group: from,
      via: { kind: 'rule', rule_index, from, match: 'exact', to: 'marketing' },
    });
    const { grants } = readExplanation({
      reasons: [rule('A', 0), rule('B', 1), { grant: role('end-user'), idp_group: null, via: { kind: 'fallback' } }],
    });
    expect(grants.map(({ kind, name, because }) => [kind, name, because.length])).toEqual([
      ['role', 'end-user', 1],
      ['group', 'marketing', 2],
    ]);
  });

  test('says which sign-in decided, by which connection', () => {
    const login = { login_id: 'l', connection_id: 'c', connection: 'Tidewater', at: '2026-05-01T10:00:00Z' };
    expect(readExplanation({ login }).decidedBy).toEqual({ connection: 'Tidewater', at: new Date('2026-05-01T10:00:00Z') });
    expect(readExplanation({ login: { login_id: null, connection: null, at: null } }).decidedBy).toEqual({
      connection: null,
      at: null,
    });
  });

  test('leaves out what it does not know instead of failing', () => {
    for (const answer of [
      null,
      'x',
      [],
      {},
      { reasons: 'x', warnings: 1, login: 'y' },
      { reasons: [null, { grant: {} }], login: null },
    ]) {
      expect(readExplanation(answer)).toEqual({ grants: [], warnings: [], decidedBy: null });
    }
    expect(words(readExplanation({ reasons: [{ grant: role('x'), via: { kind: 'magic' } }] }).grants[0]?.because[0])).toContain(
      'does not know: “magic”',
    );
  });

  test('writes names with markup in them as text', () => {
    const hostile = '<img src=x onerror=alert(1)>';
    const { grants } = readExplanation({ reasons: [{ grant: role('admin'), idp_group: hostile, via: { kind: 'one-to-one' } }] });
    expect(grants[0]?.because.map(renderHtml).join('')).toContain('&lt;img src=x onerror=alert(1)&gt;');
  });
});
