import { Webhook } from 'standardwebhooks';
import { describe, expect, test } from 'vitest';
import { createMemberCopy } from '../../../src/demo/app-member-copy.ts';
import { createWebhookInbox } from '../../../src/demo/app-webhooks.ts';

const secret = `whsec_${Buffer.from('a secret of thirty-two bytes ...').toString('base64')}`;

const groups = (...names: string[]) => names.map((name) => ({ id: `id-${name}`, name }));

function event(overrides: Record<string, unknown> = {}) {
  return {
    type: 'membership.updated',
    timestamp: '2026-05-01T10:00:00Z',
    data: {
      workspace: { id: 'w1', slug: 'tidewater' },
      user: { id: 'u1', email: 'devi@tidewater.example', name: 'Devi Raman' },
      role: 'builder',
      groups: groups('engineering'),
      version: 2,
      previous: { role: 'end-user', groups: groups('marketing') },
      added: groups('engineering'),
      removed: groups('marketing'),
      cause: { kind: 'login', connection_id: 'c', login_id: 'l' },
      ...overrides,
    },
  };
}

/** Headers and body as Rollcall sends them, signed by the package itself. */
function signed(id: string, payload: unknown, { with: key = secret, at = new Date() }: { with?: string; at?: Date } = {}) {
  const body = JSON.stringify(payload);
  const headers = {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(key).sign(id, at, body),
  };
  return { headers, body: Buffer.from(body) };
}

function newInbox(maxEntries?: number) {
  const copy = createMemberCopy();
  const now = () => new Date('2026-05-01T10:00:01Z');
  return { ...createWebhookInbox({ secret, copy, now, ...(maxEntries && { maxEntries }) }), member: copy.member };
}
const send = (inbox: ReturnType<typeof newInbox>, { headers, body }: ReturnType<typeof signed>) => inbox.receive(headers, body);

describe('webhook inbox', () => {
  test('takes a signed event and tells the change', () => {
    const inbox = newInbox();
    expect(send(inbox, signed('evt_1', event()))).toBe('accepted');
    expect(inbox.received()).toEqual([
      {
        id: 'evt_1',
        type: 'membership.updated',
        receivedAt: new Date('2026-05-01T10:00:01Z'),
        copies: 1,
        effect: 'applied',
        subject: 'Devi Raman',
        workspace: 'tidewater',
        version: 2,
        change: { roleBefore: 'end-user', roleAfter: 'builder', groupsAdded: ['engineering'], groupsRemoved: ['marketing'] },
        heldBecause: null,
      },
    ]);
    expect(inbox.member('w1', 'u1')).toEqual({
      userId: 'u1',
      email: 'devi@tidewater.example',
      name: 'Devi Raman',
      role: 'builder',
      groups: groups('engineering'),
      active: true,
      version: 2,
    });
  });

  test('takes a snapshot event like an update, unless it knows as much already', () => {
    const inbox = newInbox();
    const snapshot = (version: number) => ({ ...event({ version, previous: null }), type: 'membership.snapshot' });
    send(inbox, signed('evt_1', snapshot(2)));
    send(inbox, signed('evt_2', event({ version: 3, role: 'admin' })));
    send(inbox, signed('evt_3', snapshot(2)));
    expect(inbox.received().map(({ effect }) => effect)).toEqual(['outdated', 'applied', 'applied']);
    expect(inbox.member('w1', 'u1')).toMatchObject({ role: 'admin', version: 3 });
    send(inbox, signed('evt_4', { ...snapshot(4), data: { ...snapshot(4).data, status: 'removed' } }));
    expect(inbox.member('w1', 'u1')).toMatchObject({ active: false, version: 4 });
  });

  test('keeps the row of a removed member, and what is older does not bring it back', () => {
    const inbox = newInbox();
    send(inbox, signed('evt_3', { ...event({ version: 3 }), type: 'membership.removed' }));
    send(inbox, signed('evt_2', event({ version: 2 })));
    expect(inbox.member('w1', 'u1')).toMatchObject({ active: false, version: 3 });
    send(inbox, signed('evt_4', { ...event({ version: 4 }), type: 'membership.created' }));
    expect(inbox.member('w1', 'u1')).toMatchObject({ active: true, version: 4 });
  });

  test('forgets address and name of a deleted user, not the row', () => {
    const inbox = newInbox();
    send(inbox, signed('evt_1', event()));
    send(inbox, signed('evt_2', { type: 'user.deleted', data: { user: { id: 'u1' } } }));
    expect(inbox.member('w1', 'u1')).toMatchObject({ email: null, name: null, version: 2 });
  });

  const genuine = signed('evt_1', event());
  test.each([
    ['another key', signed('evt_1', event(), { with: `whsec_${Buffer.from('another key').toString('base64')}` })],
    ['a changed body', { ...genuine, body: Buffer.from(genuine.body.toString().replace('builder', 'admin')) }],
    ['a changed id', { ...genuine, headers: { ...genuine.headers, 'webhook-id': 'evt_2' } }],
    ['a time long ago', signed('evt_1', event(), { at: new Date(Date.now() - 3_600_000) })],
    [
      'no signature',
      {
        ...genuine,
        headers: { 'webhook-id': 'evt_1', 'webhook-timestamp': genuine.headers['webhook-timestamp'], 'webhook-signature': '' },
      },
    ],
  ])('refuses an event with %s, and keeps nothing of it', (_name, forged) => {
    const inbox = newInbox();
    expect(send(inbox, forged)).toBe('refused');
    expect(inbox.received()).toEqual([]);
    expect(inbox.member('w1', 'u1')).toBeNull();
    expect(inbox.refusals()).toEqual({ count: 1, lastAt: new Date('2026-05-01T10:00:01Z') });
    expect(send(inbox, genuine)).toBe('accepted');
  });

  test('recognises a copy by its webhook-id and counts it once', () => {
    const inbox = newInbox();
    send(inbox, signed('evt_1', event()));
    expect(send(inbox, signed('evt_1', event()))).toBe('duplicate');
    expect(inbox.received().map(({ id, copies }) => [id, copies])).toEqual([['evt_1', 2]]);
  });

  test('ignores an older version that arrives late, and takes a newer one', () => {
    const inbox = newInbox();
    send(inbox, signed('evt_3', event({ version: 3, role: 'admin' })));
    send(inbox, signed('evt_2', event({ version: 2 })));
    expect(inbox.received().map(({ id, effect }) => [id, effect])).toEqual([
      ['evt_2', 'outdated'],
      ['evt_3', 'applied'],
    ]);
    expect(inbox.member('w1', 'u1')?.role).toBe('admin');
    send(inbox, signed('evt_4', event({ version: 4, role: 'end-user' })));
    expect(inbox.member('w1', 'u1')).toMatchObject({ role: 'end-user', version: 4 });
  });

  test('R25 shows why access was left as it was', () => {
    const inbox = newInbox();
    const held = {
      type: 'sync.held',
      data: {
        workspace: { id: 'w1', slug: 'tidewater' },
        user: { id: 'u1' },
        reason: 'groups_absent',
        detail: 'no groups came',
        version: 2,
      },
    };
    send(inbox, signed('evt_1', held));
    expect(inbox.received()[0]).toMatchObject({
      type: 'sync.held',
      effect: 'noted',
      subject: 'u1',
      heldBecause: 'no groups came',
      change: null,
    });
  });

  test('takes signed events of other types and shapes without applying them', () => {
    const inbox = newInbox();
    send(
      inbox,
      signed('evt_1', { type: 'user.created', data: { user: { id: 'u1', name: null, email: 'e@x.example', status: 'active' } } }),
    );
    send(inbox, signed('evt_2', ['surprise']));
    expect(inbox.received().map(({ type, effect, subject }) => [type, effect, subject])).toEqual([
      ['unknown', 'noted', null],
      ['user.created', 'noted', 'e@x.example'],
    ]);
  });

  test('keeps the newest events only', () => {
    const inbox = newInbox(2);
    for (const version of [1, 2, 3]) send(inbox, signed(`evt_${version}`, event({ version })));
    expect(inbox.received().map(({ id }) => id)).toEqual(['evt_3', 'evt_2']);
  });

  test('tells listeners of every arrival until they stop', () => {
    const inbox = newInbox();
    let calls = 0;
    const stop = inbox.onChange(() => {
      calls += 1;
    });
    send(inbox, genuine);
    inbox.receive({}, Buffer.from('{}'));
    stop();
    send(inbox, genuine);
    expect(calls).toBe(2);
  });
});
