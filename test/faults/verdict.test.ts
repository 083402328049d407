import { describe, expect, test } from 'vitest';
import type { HeldMember, ReceivedEvent } from '../support/fault-receiver.ts';
import { digestOf, type Evidence, isClean, judge } from './verdict.ts';

const key = 'workspace/ada';
const member = (version: number, groups: string[] = []): HeldMember => ({
  version,
  status: 'active',
  role: 'builder',
  groups: groups.map((name) => ({ id: `id of ${name}`, name })),
});
const truth = new Map([[key, member(2, ['design'])]]);
const payload = (version: number) => `{"type":"membership.updated","data":{"version":${version}}}`;
const taken = (moment: number, version: number): ReceivedEvent => ({
  text: payload(version),
  firstReceipt: moment,
  firstAcceptance: moment + 1,
  receipts: 1,
  duplicates: 0,
  needless: 0,
  acknowledged: true,
});

/** Two changes of one member, both taken in order, both told by a login, both read from the log. */
function evidence(changes: Partial<Omit<Evidence, 'app'>> & { readonly app?: Partial<Evidence['app']> } = {}): Evidence {
  return {
    committed: [1, 2].map((version) => ({ id: `evt_${version}`, orderKey: key, payload: payload(version) })),
    members: truth,
    snapshot: truth,
    digest: digestOf(truth),
    claims: [
      {
        sub: 'ada',
        memberships: [{ workspace_id: 'workspace', role: 'builder', groups: ['design'], membership_version: 2 }],
      },
    ],
    log: ['evt_1', 'evt_2'],
    ...changes,
    app: {
      events: new Map([
        ['evt_1', taken(1, 1)],
        ['evt_2', taken(3, 2)],
      ]),
      members: truth,
      versions: new Map([
        [
          key,
          new Map([
            [1, member(1)],
            [2, member(2, ['design'])],
          ]),
        ],
      ]),
      counts: { altered: 0, wronglySigned: 0 },
      ...changes.app,
    },
  };
}

const events = (...entries: [string, ReceivedEvent][]) => new Map(entries);

describe('the verdict over a run with faults', () => {
  test('is clean when the app took every event in order and holds what is stored', () => {
    const verdict = judge(evidence());
    expect(isClean(verdict)).toBe(true);
    expect(verdict).toMatchObject({ changed: 2, events: 2, deliveries: 2, attempts: 2, duplicates: 0 });
  });

  test('stays clean over a repeat with the same id and body, and counts it', () => {
    const repeated = { ...taken(1, 1), receipts: 2, duplicates: 1, needless: 1 };
    const verdict = judge(evidence({ app: { events: events(['evt_1', repeated], ['evt_2', taken(3, 2)]) } }));
    expect(isClean(verdict)).toBe(true);
    expect(verdict).toMatchObject({ attempts: 3, duplicates: 1, needless: 1 });
  });

  test.each<[keyof ReturnType<typeof judge>, string, Evidence]>([
    ['lost', 'an event that never came', evidence({ app: { events: events(['evt_1', taken(1, 1)]) } })],
    [
      'lost',
      'an event that came and was never taken',
      evidence({ app: { events: events(['evt_1', taken(1, 1)], ['evt_2', { ...taken(3, 2), firstAcceptance: null }]) } }),
    ],
    [
      'lost',
      'a version that a login told and no event did',
      evidence({ app: { versions: new Map([[key, new Map([[1, member(1)]])]]) } }),
    ],
    ['reordered', 'a later event first', evidence({ app: { events: events(['evt_1', taken(3, 1)], ['evt_2', taken(1, 2)]) } })],
    [
      'reordered',
      'a later event before the earlier one was taken',
      evidence({ app: { events: events(['evt_1', { ...taken(1, 1), firstAcceptance: 9 }], ['evt_2', taken(3, 2)]) } }),
    ],
    [
      'reordered',
      'versions against the order of positions',
      evidence({
        committed: [2, 1].map((version) => ({ id: `evt_${version}`, orderKey: key, payload: payload(version) })),
        app: { events: events(['evt_2', taken(1, 2)], ['evt_1', taken(3, 1)]) },
        log: ['evt_2', 'evt_1'],
      }),
    ],
    ['drift', 'another state than the stored one', evidence({ members: new Map([[key, member(2)]]) })],
    ['drift', 'another state than the snapshot says', evidence({ snapshot: new Map([[key, member(2)]]) })],
    ['drift', 'a member who is not stored', evidence({ members: new Map() })],
    ['drift', 'a member whom the snapshot does not know', evidence({ snapshot: new Map() })],
    ['drift', 'another digest', evidence({ digest: digestOf(new Map([[key, member(1)]])) })],
    ['drift', 'a member of whom the app knows nothing', evidence({ members: new Map([...truth, ['workspace/eve', member(1)]]) })],
    [
      'drift',
      'a login that told other groups than the event',
      evidence({
        claims: [
          { sub: 'ada', memberships: [{ workspace_id: 'workspace', role: 'builder', groups: [], membership_version: 2 }] },
        ],
      }),
    ],
    [
      'phantom',
      'an event that never committed',
      evidence({ app: { events: events(['evt_1', taken(1, 1)], ['evt_2', taken(3, 2)], ['evt_3', taken(5, 3)]) } }),
    ],
    [
      'phantom',
      'a version that is left out',
      evidence({ claims: [], app: { versions: new Map([[key, new Map([[2, member(2)]])]]) } }),
    ],
    [
      'altered',
      'another body than the stored one',
      evidence({ app: { events: events(['evt_1', { ...taken(1, 1), text: '{}' }], ['evt_2', taken(3, 2)]) } }),
    ],
    ['altered', 'two bodies of one id', evidence({ app: { counts: { altered: 1, wronglySigned: 0 } } })],
    ['altered', 'a wrong signature', evidence({ app: { counts: { altered: 0, wronglySigned: 1 } } })],
    ['log', 'an event that the log skipped', evidence({ log: ['evt_2'] })],
    ['log', 'an event that the log repeated', evidence({ log: ['evt_1', 'evt_2', 'evt_2'] })],
    ['log', 'a log in another order', evidence({ log: ['evt_2', 'evt_1'] })],
  ])('finds %s: %s', (count, _, found) => {
    const verdict = judge(found);
    expect(verdict[count]).toBe(1);
    expect(isClean(verdict)).toBe(false);
  });
});
