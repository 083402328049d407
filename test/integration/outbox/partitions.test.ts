import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { appendEvents } from '../../../src/outbox/append.ts';
import { listPartitions, makePartitions, type PartitionedTable } from '../../../src/outbox/partitions.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { appendDaysAgo } from '../../support/old-events.ts';
import { membershipEvent } from '../../support/webhook-events.ts';

const tables = ['events', 'delivery_attempts'] as const;
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase({ poolSize: 12 });
});
beforeEach(async () => {
  await database.db.raw('TRUNCATE events, outbox, event_log, delivery_attempts RESTART IDENTITY');
  for (const table of tables) await makePartitions(database.db, table);
});
afterAll(() => database.drop());

const names = async (table: PartitionedTable) => (await listPartitions(database.db, table)).map(({ name }) => name);
const eventIds = (table = 'events'): Promise<string[]> => database.db(table).orderBy('position').pluck('event_id');

async function dropWeekOf(table: PartitionedTable, daysAhead: number): Promise<string> {
  const { rows } = await database.db.raw<{ rows: [{ day: string }] }>(
    `SELECT ((now() AT TIME ZONE 'UTC')::date + ${daysAhead})::text AS day`,
  );
  const [{ day }] = rows;
  const partition = (await listPartitions(database.db, table)).find(({ from, to }) => from <= day && day < to);
  await database.db.raw('DROP TABLE ??', [partition?.name ?? '']);
  return partition?.name ?? '';
}

describe.each(tables)('the partitions of %s', (table) => {
  it('are there for this week and three more, each once, a week long and from Monday on', async () => {
    const partitions = await listPartitions(database.db, table);
    expect(partitions.length).toBeGreaterThanOrEqual(4);
    expect(await makePartitions(database.db, table)).toEqual([]);
    for (const [index, { from, to }] of partitions.entries()) {
      expect(new Date(from).getUTCDay()).toBe(1);
      expect(Date.parse(to) - Date.parse(from)).toBe(7 * 24 * 60 * 60 * 1_000);
      if (index > 0) expect(from >= (partitions[index - 1]?.to ?? '')).toBe(true);
    }
  });

  it('are made when they are missing, once although several processes try', async () => {
    const before = await names(table);
    const missing = [await dropWeekOf(table, 14), await dropWeekOf(table, 21)];
    const made = await Promise.allSettled(Array.from({ length: 3 }, () => makePartitions(database.db, table)));
    while ((await makePartitions(database.db, table)).length > 0);
    expect(made.every(({ status }) => status === 'fulfilled')).toBe(true);
    expect(await names(table)).toEqual(before);
    expect(missing).toHaveLength(2);
  });
});

describe('rows in the default partition', () => {
  it('of the running week are moved when its partition is made, and none is queued twice', async () => {
    const name = await dropWeekOf('events', 0);
    const { db } = database;
    const ids = await db.transaction((tx) => appendEvents(tx, [membershipEvent(), membershipEvent()], { now: new Date() }));
    expect(await eventIds('events_default')).toEqual(ids);
    expect(await makePartitions(db, 'events')).toEqual([name]);
    expect(await eventIds('events_default')).toEqual([]);
    expect(await eventIds(name)).toEqual(ids);
    expect(await eventIds('outbox')).toEqual(ids);
  });

  it('of past weeks are moved to a partition each, in every column as they were', async () => {
    const ids = [...(await appendDaysAgo(database.db, 40, 3)), ...(await appendDaysAgo(database.db, 60, 2))];
    const rows = () => database.db('events').orderBy('position').select('*', database.db.raw('payload::text AS body'));
    const before = await rows();
    expect(before.map(({ event_id: id }) => id)).toEqual(ids);
    expect(await makePartitions(database.db, 'events')).toHaveLength(2);
    expect(await rows()).toEqual(before);
    expect(await eventIds('events_default')).toEqual([]);
  });

  it('are all kept while others write: nothing is lost, nothing fails', async () => {
    const name = await dropWeekOf('events', 0);
    const { db } = database;
    const written: string[] = [];
    let making = true;
    const writers = Array.from({ length: 4 }, async () => {
      while (making || written.length < 40) {
        written.push(...(await db.transaction((tx) => appendEvents(tx, [membershipEvent()], { now: new Date() }))));
      }
    });
    const made: string[] = [];
    // A busy lock is no failure: the next round makes it.
    while (!made.includes(name)) made.push(...(await makePartitions(db, 'events').catch(() => [])));
    making = false;
    await Promise.all(writers);
    expect((await eventIds()).toSorted()).toEqual(written.toSorted());
    expect((await eventIds('outbox')).toSorted()).toEqual(written.toSorted());
    expect(await eventIds('events_default')).toEqual([]);
  });

  it('of the running week stay, if they are many, until it is over: writers would wait too long', async () => {
    const name = await dropWeekOf('events', 0);
    const insert = (count: number) =>
      database.db.raw(
        `INSERT INTO events (event_id, order_key, type, payload, occurred_at)
         SELECT gen_random_uuid(), 'x', 'sync.held', '{}', now() FROM generate_series(1, ?)`,
        [count],
      );
    await insert(20_001);
    expect(await makePartitions(database.db, 'events')).toEqual([]);
    expect(await database.db('events_default').count()).toEqual([{ count: 20_001 }]);
    await database.db('events_default').where('position', 1).delete();
    expect(await makePartitions(database.db, 'events')).toEqual([name]);
    expect(await database.db('events').count()).toEqual([{ count: 20_000 }]);
  });
});
