import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { appendEvents } from '../../../src/outbox/append.ts';
import { type EventFilter, readEvent, readEvents } from '../../../src/outbox/read.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { untilEventsReadable } from '../../support/readable-events.ts';
import { membershipEvent, userEvent } from '../../support/webhook-events.ts';

const now = new Date();
const otherWorkspace = '018f0000-0000-7000-8000-000000000002';
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase({ poolSize: 12 });
});
beforeEach(() => database.db.raw('TRUNCATE events, outbox, event_log RESTART IDENTITY'));
afterAll(() => database.drop());

async function append(count = 1): Promise<string[]> {
  const events = Array.from({ length: count }, () => membershipEvent());
  return database.db.transaction((tx) => appendEvents(tx, events, { now }));
}

/** Reads pages until one is the last, after everything that committed can be read. */
async function walkAll(filter: Partial<EventFilter> = {}) {
  await untilEventsReadable(database.db);
  return walk(filter);
}

/** Reads pages until one is the last. */
async function walk(filter: Partial<EventFilter> = {}) {
  const eventIds: string[] = [];
  let cursor = filter.after ?? null;
  for (;;) {
    const page = await readEvents(database.db, { limit: 7, ...filter, after: cursor });
    eventIds.push(...page.events.map(({ eventId }) => eventId));
    cursor = page.cursor;
    if (!page.more) return { eventIds, cursor };
  }
}

async function startFanOutProcess(): Promise<ChildProcessByStdio<null, Readable, null>> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./fan-out-process.ts', import.meta.url))], {
    env: { ...process.env, FAN_OUT_DATABASE_URL: database.url },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

/** @returns how many events it fanned out */
async function endFanOutProcess(child: ChildProcessByStdio<null, Readable, null>): Promise<number> {
  child.kill('SIGTERM');
  const [counted] = await once(child.stdout, 'data');
  return Number(String(counted));
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

  it('never skips an event that commits late, and waits for none: a transaction held open across reads', async () => {
    const before = await append();
    await untilEventsReadable(database.db);
    const held = await database.db.transaction();
    const late = await appendEvents(held, [membershipEvent()], { now });
    const after = await append(3);

    const whileOpen = await walkAll();
    expect(whileOpen.eventIds).toEqual([...before, ...after]);
    expect((await walkAll({ after: whileOpen.cursor })).eventIds).toEqual([]);

    await held.commit();
    expect((await walkAll({ after: whileOpen.cursor })).eventIds).toEqual(late);
    expect((await walk()).eventIds).toEqual([...before, ...after, ...late]);
  });

  it('goes on past a held transaction that rolled back', async () => {
    const held = await database.db.transaction();
    await appendEvents(held, [membershipEvent()], { now });
    const after = await append();
    await untilEventsReadable(database.db);
    await held.rollback();
    expect((await walkAll()).eventIds).toEqual(after);
  });

  it('shows nothing of a fan-out that has not committed', async () => {
    const before = await append();
    await untilEventsReadable(database.db);
    await append();
    const held = await database.db.transaction();
    const sequence = '(SELECT max(sequence) + 1 FROM event_log)';
    await held.raw(
      `INSERT INTO event_log (sequence, position, recorded_on, event_id, order_key, type) OVERRIDING SYSTEM VALUE
       SELECT ${sequence}, position, recorded_on, event_id, order_key, type FROM outbox`,
    );
    expect((await walk()).eventIds).toEqual(before);
    await held.rollback();
  });

  it('neither skips nor repeats while many write, commit out of order, and several processes fan out', async () => {
    const fanOuts = await Promise.all([startFanOutProcess(), startFanOutProcess()]);
    const written: string[] = [];
    const writers = Array.from({ length: 6 }, async () => {
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
    const readers = Array.from({ length: 2 }, async () => {
      const read: string[] = [];
      let cursor: string | null = null;
      while (writing) {
        const part = await walk({ after: cursor });
        read.push(...part.eventIds);
        cursor = part.cursor;
        await sleep(1);
      }
      return { read, cursor };
    });
    await done;
    const parts = await Promise.all(readers);
    const shares = await Promise.all(fanOuts.map(endFanOutProcess));
    for (const { read, cursor } of parts) {
      read.push(...(await walkAll({ after: cursor })).eventIds);
      expect(read).toHaveLength(new Set(read).size);
      expect(read.toSorted()).toEqual(written.toSorted());
    }
    expect(Math.min(...shares)).toBeGreaterThan(0);
    expect(parts[0]?.read).toEqual(parts[1]?.read);
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

  it('passes what a filter leaves out: a reader of rare events keeps up with the log', async () => {
    await append(5);
    const [rare] = await database.db.transaction((tx) => appendEvents(tx, [userEvent()], { now }));
    await append(5);
    await untilEventsReadable(database.db);
    const { cursor: end } = await walk();
    for (const filter of [{ types: ['user.created'] }, { types: ['user.deleted'] }, { workspaceId: otherWorkspace }]) {
      const page = await readEvents(database.db, { after: null, limit: 7, ...filter });
      expect(page.events.map(({ eventId }) => eventId)).toEqual(filter.types?.includes('user.created') ? [rare] : []);
      expect(page).toMatchObject({ cursor: end, more: false });
    }
  });

  it('says that there is more when it looked at many entries and found none, and goes on from there', async () => {
    await database.db.raw(
      `INSERT INTO event_log (position, recorded_on, event_id, order_key, type)
       SELECT n, current_date, gen_random_uuid(), 'x', 'sync.held' FROM generate_series(1, 20500) AS n`,
    );
    const [rare] = await database.db.transaction((tx) => appendEvents(tx, [userEvent()], { now }));
    await untilEventsReadable(database.db);
    const first = await readEvents(database.db, { after: null, limit: 7, types: ['user.created'] });
    expect(first).toEqual({ events: [], cursor: '20000', more: true });
    const second = await readEvents(database.db, { after: first.cursor, limit: 7, types: ['user.created'] });
    expect(second.events.map(({ eventId }) => eventId)).toEqual([rare]);
    expect(second.more).toBe(false);
  });

  it('gives no cursor while the log is empty, and keeps the one of the beginning', async () => {
    expect(await readEvents(database.db, { after: null, limit: 7 })).toEqual({ events: [], cursor: null, more: false });
    expect(await readEvents(database.db, { after: '0', limit: 7 })).toEqual({ events: [], cursor: '0', more: false });
  });

  it('refuses a cursor that lies ahead of the log: its database was restored from a backup', async () => {
    await append(3);
    await untilEventsReadable(database.db);
    expect((await readEvents(database.db, { after: '3', limit: 1 })).events).toEqual([]);
    await expect(readEvents(database.db, { after: '4', limit: 1 })).rejects.toMatchObject({
      code: 'cursor_expired',
      reason: 'ahead_of_log',
      members: { earliest_cursor: '0' },
    });
  });

  it('finds one event by its id once it can be read', async () => {
    const [eventId = ''] = await append(1);
    expect(await readEvent(database.db, eventId)).toBeNull();
    await untilEventsReadable(database.db);
    const page = await readEvents(database.db, { after: null, limit: 1 });
    expect(await readEvent(database.db, eventId)).toEqual(page.events[0]);
  });

  it.each(['', '7-1', '7-', '7-x', '-1-1', "7-1'; DROP TABLE events", `${'9'.repeat(19)}-1`, '1-2-3'])(
    'refuses the cursor %j, which no page returned',
    async (after) => {
      await expect(readEvents(database.db, { after, limit: 1 })).rejects.toMatchObject({
        code: 'validation_failed',
        reason: 'cursor_malformed',
      });
    },
  );
});
