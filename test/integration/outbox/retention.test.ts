import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createMaintenance } from '../../../src/delivery/maintenance.ts';
import { carryReplayBatch } from '../../../src/delivery/replay-task.ts';
import type { Transaction } from '../../../src/infra/postgres.ts';
import { appendEvents } from '../../../src/outbox/append.ts';
import { listPartitions, makePartitions } from '../../../src/outbox/partitions.ts';
import { readEvents } from '../../../src/outbox/read.ts';
import { dropExpiredEvents } from '../../../src/outbox/retention.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { appendDaysAgo, aQuietEndpoint } from '../../support/old-events.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { untilEventsReadable } from '../../support/readable-events.ts';
import { membershipEvent } from '../../support/webhook-events.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase({ poolSize: 12 });
});
beforeEach(() =>
  database.db.raw(
    'TRUNCATE events, outbox, event_log, delivery_attempts, endpoints, endpoint_health, endpoint_tasks, delivery_lanes, deliveries RESTART IDENTITY',
  ),
);
afterAll(() => database.drop());

const append = (count: number) =>
  database.db.transaction((tx) =>
    appendEvents(
      tx,
      Array.from({ length: count }, () => membershipEvent()),
      { now: new Date() },
    ),
  );
const maintain = () => createMaintenance({ db: database.db, log: quietLog, eventDays: 90, attemptDays: 90 }).run();
const eventIds = (): Promise<string[]> => database.db('events').orderBy('position').pluck('event_id');
const readIds = async (after: string | null) =>
  (await readEvents(database.db, { after, limit: 50 })).events.map(({ eventId }) => eventId);
const setDeliveries = (status: string) => database.db('deliveries').update({ status });

async function oldAndYoung() {
  const old = await appendDaysAgo(database.db, 120, 3);
  const middle = await appendDaysAgo(database.db, 80, 2);
  const young = await append(2);
  await untilEventsReadable(database.db);
  return { old, middle, young };
}

describe('retention of events', () => {
  it('drops weeks that are older, with their entries in the log, and keeps the others', async () => {
    const { middle, young } = await oldAndYoung();
    await maintain();
    expect(await eventIds()).toEqual([...middle, ...young]);
    expect(await readIds(null)).toEqual([...middle, ...young]);
    // The last entry that was dropped stays as a mark.
    expect(await database.db('event_log').count()).toEqual([{ count: 5 }]);
    const partitions = await listPartitions(database.db, 'events');
    const oldest = new Date(Date.now() - 90 * 24 * 60 * 60 * 1_000).toISOString().slice(0, 10);
    expect(partitions.filter(({ to }) => to < oldest)).toEqual([]);
  });

  it('R40 answers a cursor before the dropped events with the earliest one, from which everything that is left is read', async () => {
    const { middle, young } = await oldAndYoung();
    const [first] = await Promise.all([readEvents(database.db, { after: null, limit: 1 })]);
    const third = await readEvents(database.db, { after: null, limit: 3 });
    await maintain();
    await expect(readEvents(database.db, { after: first.cursor, limit: 10 })).rejects.toMatchObject({
      code: 'cursor_expired',
      reason: 'retention',
      members: { earliest_cursor: third.cursor },
    });
    // This one has read the last event that went: it missed nothing.
    expect(await readIds(third.cursor)).toEqual([...middle, ...young]);
  });

  it('R40 refuses a cursor from the moment on that the first entry is gone, before the first event is', async () => {
    const { old, middle, young } = await oldAndYoung();
    const second = await readEvents(database.db, { after: null, limit: 2 });
    await database.db('event_log').where('sequence', '<=', 2).delete();
    await expect(readEvents(database.db, { after: '1', limit: 10 })).rejects.toMatchObject({
      members: { earliest_cursor: '2' },
    });
    expect(await readIds(second.cursor)).toEqual([old[2], ...middle, ...young]);
    expect(await readIds(null)).toEqual([old[2], ...middle, ...young]);
  });

  it('R40 still knows the place of a reader when every event is gone', async () => {
    await appendDaysAgo(database.db, 120, 3);
    await untilEventsReadable(database.db);
    const end = await readEvents(database.db, { after: null, limit: 10 });
    await maintain();
    expect(await eventIds()).toEqual([]);
    expect(await readEvents(database.db, { after: end.cursor, limit: 10 })).toEqual({
      events: [],
      cursor: end.cursor,
      more: false,
    });
    expect(await readEvents(database.db, { after: null, limit: 10 })).toEqual({ events: [], cursor: end.cursor, more: false });
    await expect(readEvents(database.db, { after: '1', limit: 10 })).rejects.toMatchObject({ code: 'cursor_expired' });
    const later = await append(2);
    await untilEventsReadable(database.db);
    expect(await readIds(end.cursor)).toEqual(later);
  });

  it('drops entries that stand behind a younger one, because their transaction committed late', async () => {
    const [first = ''] = await appendDaysAgo(database.db, 120);
    await untilEventsReadable(database.db);
    const { rows } = await database.db.raw(
      "SELECT (date_trunc('week', recorded_on) + interval '7 days' - interval '1 day')::date::text AS sunday FROM events",
    );
    const on = async (day: string, id: string) => {
      await database.db('events').where({ event_id: id }).update({ recorded_on: day });
      await database.db('event_log').where({ event_id: id }).update({ recorded_on: day });
    };
    const nextDay = (day: string) => new Date(Date.parse(day) + 86_400_000).toISOString().slice(0, 10);
    const [monday = '', late = ''] = [...(await appendDaysAgo(database.db, 119)), ...(await appendDaysAgo(database.db, 119))];
    await untilEventsReadable(database.db);
    await on(rows[0].sunday, first);
    await on(nextDay(rows[0].sunday), monday);
    await on(rows[0].sunday, late);
    const young = await append(1);
    await untilEventsReadable(database.db);
    await makePartitions(database.db, 'events');
    const days = Math.floor((Date.now() - Date.parse(nextDay(rows[0].sunday))) / 86_400_000);
    const { dropped } = await dropExpiredEvents(database.db, days);
    expect(dropped).toHaveLength(1);
    expect(await eventIds()).toEqual([monday, ...young]);
    expect(await readIds(null)).toEqual(young);
    await expect(readEvents(database.db, { after: '1', limit: 10 })).rejects.toMatchObject({ members: { earliest_cursor: '3' } });
  });

  it('keeps a week of which a delivery waits, and all after it; drops it once that is delivered', async () => {
    const endpointId = await aQuietEndpoint(database.db);
    const { old, middle, young } = await oldAndYoung();
    await makePartitions(database.db, 'events');
    await database
      .db('deliveries')
      .whereNot({ event_id: old[1] ?? '' })
      .delete();
    expect(await dropExpiredEvents(database.db, 60)).toMatchObject({ dropped: [], held: { endpointIds: [endpointId] } });
    expect(await eventIds()).toEqual([...old, ...middle, ...young]);
    expect(await readIds(null)).toHaveLength(7);
    await database.db('deliveries').delete();
    expect((await dropExpiredEvents(database.db, 60)).held).toBeNull();
    expect(await eventIds()).toEqual(young);
  });

  it('keeps a week of which an event has not been fanned out', async () => {
    const old = await appendDaysAgo(database.db, 120, 2);
    await maintain();
    expect(await eventIds()).toEqual(old);
    await untilEventsReadable(database.db);
    await maintain();
    expect(await eventIds()).toEqual([]);
  });

  it('drops exhausted deliveries with their events', async () => {
    await aQuietEndpoint(database.db);
    const { middle, young } = await oldAndYoung();
    await setDeliveries('exhausted');
    await maintain();
    expect(await database.db('deliveries').orderBy('position').pluck('event_id')).toEqual([...middle, ...young]);
  });

  it('waits for nobody long: while somebody writes, the week stays until the next round', async () => {
    const { old, young } = await oldAndYoung();
    const writer = await database.db.transaction();
    await appendEvents(writer, [membershipEvent()], { now: new Date() });
    await maintain();
    expect((await eventIds()).slice(0, 3)).toEqual(old);
    // Told already: what the log no longer shows may go at any moment.
    expect((await readIds(null)).slice(-2)).toEqual(young);
    await writer.commit();
    await maintain();
    expect((await eventIds()).slice(0, 1)).not.toEqual(old.slice(0, 1));
  });

  describe('beside replays', () => {
    const orphans = async () => {
      const { rows } = await database.db.raw<{ rows: [{ count: number }] }>(
        `SELECT count(*) FROM deliveries AS d LEFT JOIN events AS e ON e.recorded_on = d.recorded_on AND e.position = d.position
         WHERE e.position IS NULL`,
      );
      return rows[0].count;
    };
    const aReplay = (endpointId: string) => ({
      taskId: randomUUID(),
      endpointId,
      kind: 'replay' as const,
      filter: { kind: 'range', from: new Date(Date.now() - 130 * 86_400_000).toISOString(), to: new Date().toISOString() },
      progress: null,
    });
    const replayBatch = (tx: Transaction, endpointId: string) =>
      carryReplayBatch(tx, aReplay(endpointId), { now: new Date(), batchSize: 7 });

    it('keeps a week when a replay that began before commits while the drop waits', async () => {
      const endpointId = await aQuietEndpoint(database.db);
      const old = await appendDaysAgo(database.db, 120, 3);
      await untilEventsReadable(database.db);
      await database.db('deliveries').delete();
      await makePartitions(database.db, 'events');
      const replay = await database.db.transaction();
      expect(await replayBatch(replay, endpointId)).toMatchObject({ deliveries: 3 });
      const dropping = dropExpiredEvents(database.db, 90).catch(() => null);
      await sleep(200);
      await replay.commit();
      await dropping;
      expect(await eventIds()).toEqual(old);
      expect(await orphans()).toBe(0);
    });

    it('never leaves a delivery without its event', async () => {
      const endpointId = await aQuietEndpoint(database.db);
      let replayed = 0;
      for (let round = 0; round < 6; round += 1) {
        await appendDaysAgo(database.db, 120, 20);
        await untilEventsReadable(database.db);
        await database.db('deliveries').delete();
        await makePartitions(database.db, 'events');
        let dropping = true;
        const replaying = (async () => {
          while (dropping) replayed += (await database.db.transaction((tx) => replayBatch(tx, endpointId))).deliveries;
        })();
        await dropExpiredEvents(database.db, 90).catch(() => {});
        dropping = false;
        await replaying;
        expect(await orphans()).toBe(0);
      }
      expect(replayed).toBeGreaterThan(0);
    });
  });
});

describe('retention of the rest', () => {
  const attempt = (daysAgo: number, endpointId: string) =>
    database.db('delivery_attempts').insert({
      attempted_on: new Date(Date.now() - daysAgo * 86_400_000).toISOString().slice(0, 10),
      endpoint_id: endpointId,
      order_key: 'x',
      position: 1,
      event_id: randomUUID(),
      attempt: daysAgo,
      outcome: 'delivered',
      duration_milliseconds: 5,
    });

  it('drops attempts of older weeks', async () => {
    for (const daysAgo of [120, 100, 80, 0]) await attempt(daysAgo, randomUUID());
    await maintain();
    expect(await database.db('delivery_attempts').orderBy('attempt', 'desc').pluck('attempt')).toEqual([80, 0]);
  });

  it('clears the queue of a removed endpoint, whose events may then go', async () => {
    const endpointId = await aQuietEndpoint(database.db);
    const other = await aQuietEndpoint(database.db);
    await appendDaysAgo(database.db, 120, 3);
    await untilEventsReadable(database.db);
    await database.db('deliveries').where({ endpoint_id: other }).delete();
    await database.db('endpoints').where({ endpoint_id: endpointId }).update({ enabled: false });
    await maintain();
    // Disabled is not removed: somebody may enable it.
    expect(await eventIds()).toHaveLength(3);
    await database.db('endpoints').where({ endpoint_id: endpointId }).update({ deleted_at: new Date() });
    await maintain();
    expect(await eventIds()).toEqual([]);
    expect(await database.db('deliveries').pluck('endpoint_id')).toEqual([]);
    expect(await database.db('delivery_lanes').distinct().pluck('endpoint_id')).toEqual([other]);
  });

  it('deletes what an earlier version left in the queue as delivered, and tasks that ended long ago', async () => {
    const endpointId = await aQuietEndpoint(database.db);
    const [kept, gone] = await append(2);
    await untilEventsReadable(database.db);
    await database
      .db('deliveries')
      .where({ event_id: gone ?? '' })
      .update({ status: 'delivered' });
    const ago = (days: number) => new Date(Date.now() - days * 86_400_000);
    const task = (status: string, days: number) => ({
      task_id: randomUUID(),
      endpoint_id: endpointId,
      kind: 'replay',
      filter: '{}',
      status,
      created_at: ago(days),
      updated_at: ago(days),
    });
    await database.db('endpoint_tasks').insert([task('done', 100), task('failed', 100), task('waiting', 100), task('done', 10)]);
    await maintain();
    expect(await database.db('deliveries').pluck('event_id')).toEqual([kept]);
    expect(await database.db('endpoint_tasks').orderBy('created_at').pluck('status')).toEqual(['waiting', 'done']);
  });
});
