import { afterAll, beforeAll, expect, it } from 'vitest';
import { createLog } from '../../../src/infra/log.ts';
import { uniqueId } from '../../../src/infra/unique-id.ts';
import { createSweeper } from '../../../src/login/sweeper.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const now = new Date('2026-06-15T12:00:00Z');
const hours = (count: number) => new Date(now.getTime() + count * 3_600_000);
const sweep = () =>
  createSweeper({ db: database.db, now: () => now, log: createLog({ level: 'silent' }), traceDays: 30 }).sweep();

it('keeps the mark of a used answer for a day longer than the answer is good for: clocks of replicas differ', async () => {
  const connectionId = uniqueId(now);
  const marks = {
    'still good': hours(1),
    'over for an hour': hours(-1),
    'over for 23 hours': hours(-23),
    'over for 25 hours': hours(-25),
  };
  for (const [id, until] of Object.entries(marks)) {
    await database.db('used_answers').insert({ connection_id: connectionId, answer_id: id, used_until: until });
  }
  expect(await sweep()).toBe(1);
  const left = await database.db('used_answers').where({ connection_id: connectionId }).pluck('answer_id');
  expect(left.toSorted()).toEqual(['over for 23 hours', 'over for an hour', 'still good']);
});

it('deletes traces after their retention, more than one statement takes, and no younger ones', async () => {
  await database.db.raw(
    `INSERT INTO login_traces (login_id, outcome, detail, occurred_at)
     SELECT gen_random_uuid(), 'signed_in', '{}', ?::timestamptz - interval '31 days' FROM generate_series(1, 5001)`,
    [now],
  );
  const young = uniqueId(now);
  await database.db('login_traces').insert({ login_id: young, outcome: 'signed_in', detail: {}, occurred_at: hours(-29 * 24) });
  expect(await sweep()).toBe(5_001);
  expect(await database.db('login_traces').pluck('login_id')).toEqual([young]);
});

it('keeps the audit log for ever unless it is told how long, and then deletes what is older', async () => {
  const entries = { old: hours(-101 * 24), young: hours(-99 * 24) };
  for (const [action, at] of Object.entries(entries)) {
    await database.db('audit_log').insert({
      entry_id: uniqueId(at),
      actor_kind: 'api_key',
      action,
      resource: 'workspaces',
      outcome: 'done',
      at,
    });
  }
  const actions = () => database.db('audit_log').orderBy('entry_id').pluck('action');
  await sweep();
  expect(await actions()).toEqual(['old', 'young']);
  const log = createLog({ level: 'silent' });
  expect(await createSweeper({ db: database.db, now: () => now, log, traceDays: 30, auditLogDays: 100 }).sweep()).toBe(1);
  expect(await actions()).toEqual(['young']);
});

it('leaves everything to the other one when two replicas sweep at once, and nothing twice', async () => {
  await database.db.raw(
    `INSERT INTO login_traces (login_id, outcome, detail, occurred_at)
     SELECT gen_random_uuid(), 'signed_in', '{}', ?::timestamptz - interval '31 days' FROM generate_series(1, 300)`,
    [now],
  );
  const counts = await Promise.all([sweep(), sweep()]);
  expect(counts[0] + counts[1]).toBe(300);
});
