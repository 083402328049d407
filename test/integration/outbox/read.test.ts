import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { appendEvents } from '../../../src/outbox/append.ts';
import { type EventFilter, readEvents } from '../../../src/outbox/read.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { untilEventsReadable } from '../../support/readable-events.ts';
import { membershipEvent, userEvent } from '../../support/webhook-events.ts';

const now = new Date();
const otherWorkspace = '018f0000-0000-7000-8000-000000000002';
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase({ poolSize: 12 });
});
beforeEach(() => database.db.raw('TRUNCATE events RESTART IDENTITY'));
afterAll(() => database.drop());

async function append(count = 1): Promise<string[]> {
  const events = Array.from({ length: count }, () => membershipEvent());
  return database.db.transaction((tx) => appendEvents(tx, events, { now }));
}

/** Reads pages until one is empty, after everything that committed can be read. */
async function walkAll(filter: Partial<EventFilter> = {}) {
  await untilEventsReadable(database.db);
  return walk(filter);
}

/** Reads pages until one is empty. */
async function walk(filter: Partial<EventFilter> = {}) {
  const eventIds: string[] = [];
  let cursor = filter.after ?? null;
  for (;;) {
    const page = await readEvents(database.db, { limit: 7, ...filter, after: cursor });
    if (page.events.length === 0) return { eventIds, cursor: page.cursor };
    eventIds.push(...page.events.map(({ eventId }) => eventId));
    cursor = page.cursor;
  }
}

describe('R40 reading the event log', () => {
  it('walks everything once, in order, in pages of any size', async () => {
    const ids = [...(await append(10)), ...(await append(1)), ...(await append(12))];
    for (const limit of [1, 5, 23, 100]) expect((await walkAll({ limit })).eventIds).toEqual(ids);
  });

  it('goes on where it ended, and keeps its place while nothing comes', async () => {
    await append(3);
    const first = await walkAll();
    expect(await walk({ after: first.cursor })).toEqual({ eventIds: [], cursor: first.cursor });
    const later = await append(2);
    expect((await walkAll({ after: first.cursor })).eventIds).toEqual(later);
  });

  it('never skips an event that commits late: a transaction held open across reads', async () => {
    const before = await append();
    await untilEventsReadable(database.db);
    const held = await database.db.transaction();
    const late = await appendEvents(held, [membershipEvent()], { now });
    const after = await append(3);

    const whileOpen = await walk();
    expect(whileOpen.eventIds).toEqual(before);
    expect((await walk({ after: whileOpen.cursor })).eventIds).toEqual([]);

    await held.commit();
    expect((await walkAll({ after: whileOpen.cursor })).eventIds).toEqual([...late, ...after]);
  });

  it('goes on after a held transaction that rolled back', async () => {
    const held = await database.db.transaction();
    await appendEvents(held, [membershipEvent()], { now });
    const after = await append();
    expect((await walk()).eventIds).toEqual([]);
    await held.rollback();
    expect((await walkAll()).eventIds).toEqual(after);
  });

  it('neither skips nor repeats while many write and commit out of order', async () => {
    const written: string[] = [];
    const writers = Array.from({ length: 8 }, async () => {
      for (let round = 0; round < 15; round += 1) {
        const tx = await database.db.transaction();
        const ids = await appendEvents(tx, [membershipEvent(), membershipEvent()], { now });
        await sleep(Math.random() * 8);
        ids.push(...(await appendEvents(tx, [membershipEvent()], { now })));
        if (Math.random() < 0.2) await tx.rollback();
        else {
          await tx.commit();
          written.push(...ids);
        }
      }
    });
    let writing = true;
    const done = Promise.all(writers).finally(() => {
      writing = false;
    });
    const read: string[] = [];
    let cursor: string | null = null;
    while (writing) {
      const part = await walk({ after: cursor });
      read.push(...part.eventIds);
      cursor = part.cursor;
      await sleep(1);
    }
    await done;
    read.push(...(await walkAll({ after: cursor })).eventIds);
    expect(read).toHaveLength(new Set(read).size);
    expect(read.toSorted()).toEqual(written.toSorted());
  });

  it('returns what the webhook carried: id, type, text', async () => {
    const event = membershipEvent();
    const [eventId] = await database.db.transaction((tx) => appendEvents(tx, [event], { now }));
    await untilEventsReadable(database.db);
    const page = await readEvents(database.db, { after: null, limit: 10 });
    expect(page.events).toEqual([
      {
        eventId,
        webhookId: `evt_${eventId?.replaceAll('-', '')}`,
        type: 'membership.created',
        workspaceId: event.workspaceId,
        userId: event.userId,
        occurredAt: event.occurredAt,
        body: JSON.stringify({ type: event.type, timestamp: event.occurredAt.toISOString(), data: event.data }),
      },
    ]);
  });

  it('filters by type and by workspace', async () => {
    const events = [userEvent(), membershipEvent(), membershipEvent({ workspaceId: otherWorkspace })];
    const ids = await database.db.transaction((tx) => appendEvents(tx, events, { now }));
    expect((await walkAll({ types: ['user.created'] })).eventIds).toEqual([ids[0]]);
    expect((await walkAll({ workspaceId: otherWorkspace })).eventIds).toEqual([ids[2]]);
    expect((await walkAll({ types: ['user.created'], workspaceId: otherWorkspace })).eventIds).toEqual([]);
  });

  it.each(['', '7', '7-', '7-x', '-1-1', "7-1'; DROP TABLE events", `${'9'.repeat(19)}-1`, '1-2-3'])(
    'refuses the cursor %j, which no page returned',
    async (after) => {
      await expect(readEvents(database.db, { after, limit: 1 })).rejects.toMatchObject({
        code: 'validation_failed',
        reason: 'cursor_malformed',
      });
    },
  );
});
