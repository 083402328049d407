import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createMaintenance } from '../../../src/delivery/maintenance.ts';
import { listPartitions, makePartitions } from '../../../src/outbox/partitions.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { appendDaysAgo, aQuietEndpoint } from '../../support/old-events.ts';
import { recordingLog } from '../../support/quiet-log.ts';
import { untilEventsReadable } from '../../support/readable-events.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

function maintenance(days = 90) {
  const { log, lines } = recordingLog();
  return { lines, ...createMaintenance({ db: database.db, log, eventDays: days, attemptDays: days }) };
}
const weeks = async () => (await listPartitions(database.db, 'events')).length;
async function dropLastWeek(): Promise<void> {
  const last = (await listPartitions(database.db, 'events')).at(-1);
  await database.db.raw('DROP TABLE ??', [last?.name ?? '']);
}

it('runs at the start, and ends the round under way when it is stopped', async () => {
  await makePartitions(database.db, 'events');
  const before = await weeks();
  await dropLastWeek();
  const each = maintenance();
  each.start();
  await each.stop();
  expect(await weeks()).toBe(before);
});

it('is done once when several replicas are at it', async () => {
  const before = await weeks();
  await dropLastWeek();
  const replicas = [maintenance(), maintenance(), maintenance()];
  await Promise.all(replicas.map(({ run }) => run()));
  expect(await weeks()).toBe(before);
  const lines = replicas.flatMap((each) => each.lines);
  expect(lines.filter(({ level }) => level === 40 || level === 'warn')).toEqual([]);
});

it('goes on with the other steps when one fails, and says so', async () => {
  const before = await weeks();
  await dropLastWeek();
  await database.db.raw('ALTER TABLE endpoint_tasks RENAME TO endpoint_tasks_away');
  const each = maintenance();
  await each.run();
  await database.db.raw('ALTER TABLE endpoint_tasks_away RENAME TO endpoint_tasks');
  expect(await weeks()).toBe(before);
  expect(each.lines).toContainEqual(expect.objectContaining({ step: 'delete old tasks' }));
});

it('names the endpoints for which old events are kept', async () => {
  const endpointId = await aQuietEndpoint(database.db);
  await appendDaysAgo(database.db, 120, 2);
  await untilEventsReadable(database.db);
  const each = maintenance();
  await each.run();
  await vi.waitFor(() => expect(each.lines).toContainEqual(expect.objectContaining({ endpointIds: [endpointId] })));
});

it('clears what waits for a removed endpoint, also where its lanes are gone already; another one keeps its own', async () => {
  const [removed, kept] = [await aQuietEndpoint(database.db), await aQuietEndpoint(database.db)];
  await appendDaysAgo(database.db, 1, 2);
  await untilEventsReadable(database.db);
  const waiting = async (endpointId: string) => (await database.db('deliveries').where({ endpoint_id: endpointId })).length;
  expect([await waiting(removed), await waiting(kept)]).toEqual([2, 2]);
  await database.db('endpoints').where({ endpoint_id: removed }).update({ enabled: false, deleted_at: new Date() });
  await database.db('delivery_lanes').where({ endpoint_id: removed }).delete();
  await maintenance().run();
  expect([await waiting(removed), await waiting(kept)]).toEqual([0, 2]);
});
