import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { WebhookEvent } from '../../../src/domain/webhook-event.ts';
import { appendEvents, eventRows, insertEventsSql } from '../../../src/outbox/append.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { membershipEvent, userEvent } from '../../support/webhook-events.ts';

const now = new Date('2026-03-01T12:00:00.000Z');
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
beforeEach(() => database.db.raw('TRUNCATE events, outbox, event_log RESTART IDENTITY'));
afterAll(() => database.drop());

function append(...events: WebhookEvent[]): Promise<string[]> {
  return database.db.transaction((tx) => appendEvents(tx, events, { now }));
}

function storedEvents() {
  return database.db('events').orderBy('position').select('*', database.db.raw('payload::text AS body'));
}

describe('the outbox', () => {
  it('holds an event exactly if the business transaction committed', async () => {
    const failed = database.db.transaction(async (tx) => {
      await appendEvents(tx, [membershipEvent()], { now });
      throw new Error('the business failed');
    });
    await expect(failed).rejects.toThrow('the business failed');
    expect(await storedEvents()).toEqual([]);
    await append(membershipEvent());
    expect(await storedEvents()).toHaveLength(1);
  });

  it('gives positions in the order of the list, and returns the ids in it', async () => {
    const userIds = Array.from({ length: 200 }, (_, index) => `018f0000-0000-7000-8000-${String(index).padStart(12, '0')}`);
    const eventIds = await append(...userIds.toReversed().map((userId) => userEvent('user.created', userId)));
    const rows = await storedEvents();
    expect(rows.map((row) => row.user_id)).toEqual(userIds.toReversed());
    expect(rows.map((row) => row.event_id)).toEqual(eventIds);
  });

  it('keeps the envelope byte for byte', async () => {
    const event = membershipEvent();
    const odd = { ...event, data: { ...event.data, role: 'quote " backslash \\ brace } comma , null \ud800 \u0000 é 😀' } };
    await append(odd, { ...odd, data: { ...odd.data, role: 'NULL' } });
    const expected = eventRows([odd, { ...odd, data: { ...odd.data, role: 'NULL' } }], now).payloads;
    expect((await storedEvents()).map((row) => row.body)).toEqual(expected);
  });

  it('stores whose event it is and when it happened', async () => {
    const event = membershipEvent({ at: new Date('2026-03-01T11:59:59.123Z') });
    await append(event, userEvent());
    expect(await storedEvents()).toMatchObject([
      {
        workspace_id: event.workspaceId,
        user_id: event.userId,
        order_key: event.orderKey,
        type: 'membership.created',
        occurred_at: event.occurredAt,
        only_endpoint_id: null,
      },
      { workspace_id: null, type: 'user.created' },
    ]);
  });

  it('queues an event for fan-out exactly if the business transaction committed', async () => {
    const queued = () => database.db('outbox').orderBy('position').select('event_id', 'type', 'order_key', 'recorded_on');
    const failed = database.db.transaction(async (tx) => {
      await appendEvents(tx, [membershipEvent()], { now });
      throw new Error('the business failed');
    });
    await expect(failed).rejects.toThrow('the business failed');
    expect(await queued()).toEqual([]);
    const event = membershipEvent();
    const ids = await append(event, userEvent());
    const [{ recorded_on: recordedOn }] = await storedEvents();
    expect(await queued()).toMatchObject([
      { event_id: ids[0], type: event.type, order_key: event.orderKey, recorded_on: recordedOn },
      { event_id: ids[1], type: 'user.created' },
    ]);
  });

  it('takes no events without a word to the database', async () => {
    expect(await append()).toEqual([]);
  });

  it('can be a part of the caller’s own statement', async () => {
    await database.db.raw(`WITH appended AS (${insertEventsSql}) SELECT 1`, eventRows([userEvent(), membershipEvent()], now));
    expect((await storedEvents()).map((row) => row.type)).toEqual(['user.created', 'membership.created']);
  });
});
