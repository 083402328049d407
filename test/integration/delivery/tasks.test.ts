import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type CarryBatch, createTaskRunner } from '../../../src/delivery/tasks.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { aQuietEndpoint } from '../../support/old-events.ts';
import { quietLog } from '../../support/quiet-log.ts';

let database: TestDatabase;
let endpointId: string;

beforeAll(async () => {
  database = await createTestDatabase();
});
beforeEach(async () => {
  await database.db.raw('TRUNCATE endpoints, endpoint_tasks, endpoint_health, delivery_lanes, deliveries');
  endpointId = await aQuietEndpoint(database.db);
});
afterAll(() => database.drop());

const unused: CarryBatch = async () => {
  throw new Error('no snapshot was asked for');
};
const runner = (replay: CarryBatch, onDeliveries?: () => void) =>
  createTaskRunner({
    db: database.db,
    carry: { snapshot: unused, replay },
    now: () => new Date(),
    log: quietLog,
    pollSeconds: 0.05,
    batchSize: 3,
    ...(onDeliveries ? { onDeliveries } : {}),
  });

async function aTask(name: string, given: { kind?: string; endpoint?: string; secondsAgo?: number } = {}): Promise<string> {
  const taskId = randomUUID();
  const at = new Date(Date.now() - (given.secondsAgo ?? 0) * 1_000);
  await database.db('endpoint_tasks').insert({
    task_id: taskId,
    endpoint_id: given.endpoint ?? endpointId,
    kind: given.kind ?? 'replay',
    filter: { name },
    created_at: at,
    updated_at: at,
  });
  return taskId;
}
const task = (taskId: string) => database.db('endpoint_tasks').where({ task_id: taskId }).first();

/** Counts up to 3, a number a batch. */
function counting(seen: string[]): CarryBatch {
  return async (_tx, { filter, progress }) => {
    const count = ((progress as number | null) ?? 0) + 1;
    seen.push(`${(filter as { name: string }).name}${count}`);
    return { done: count === 3, progress: count, deliveries: 2 };
  };
}

describe('tasks of endpoints', () => {
  it('are carried out batch by batch, from where the batch before ended', async () => {
    const seen: string[] = [];
    const taskId = await aTask('a');
    let told = 0;
    const batches = await runner(counting(seen), () => {
      told += 1;
    }).runOnce();
    expect(seen).toEqual(['a1', 'a2', 'a3']);
    expect(batches).toBe(3);
    expect(told).toBe(3);
    expect(await task(taskId)).toMatchObject({ status: 'done', progress: 3, deliveries: 6 });
  });

  it('take turns: a long one does not keep the others waiting', async () => {
    const seen: string[] = [];
    await aTask('a', { secondsAgo: 2 });
    await aTask('b', { secondsAgo: 1 });
    await runner(counting(seen)).runOnce();
    expect(seen).toEqual(['a1', 'b1', 'a2', 'b2', 'a3', 'b3']);
  });

  it('move on together with what a batch wrote, or not at all', async () => {
    const taskId = await aTask('a');
    let fail = true;
    const carry: CarryBatch = async (tx, { progress }) => {
      await tx('endpoints')
        .where({ endpoint_id: endpointId })
        .update({ description: tx.raw("description || 'x'") });
      if (progress === 1 && fail) throw new Error('the second batch failed');
      return { done: progress === 1, progress: 1, deliveries: 1 };
    };
    await expect(runner(carry).runOnce()).rejects.toThrow('the second batch failed');
    const description = () => database.db('endpoints').where({ endpoint_id: endpointId }).pluck('description');
    expect(await description()).toEqual(['x']);
    expect(await task(taskId)).toMatchObject({ status: 'waiting', progress: 1, deliveries: 1 });
    fail = false;
    await runner(carry).runOnce();
    expect(await description()).toEqual(['xx']);
    expect(await task(taskId)).toMatchObject({ status: 'done', deliveries: 2 });
  });

  it('are shared by processes, none carried out by two at once', async () => {
    const taskIds = await Promise.all(['a', 'b', 'c'].map((name) => aTask(name)));
    const open = new Set<string>();
    const seen: string[] = [];
    const carry: CarryBatch = async (tx, each, options) => {
      expect(open.has(each.taskId)).toBe(false);
      open.add(each.taskId);
      await tx.raw('SELECT pg_sleep(0.01)');
      open.delete(each.taskId);
      return counting(seen)(tx, each, options);
    };
    const runners = [runner(carry), runner(carry), runner(carry)];
    for (const each of runners) each.start();
    await vi.waitFor(async () => {
      for (const taskId of taskIds) expect(await task(taskId)).toMatchObject({ status: 'done', deliveries: 6 });
    }, 5_000);
    await Promise.all(runners.map((each) => each.stop()));
    expect(seen.toSorted()).toEqual(['a1', 'a2', 'a3', 'b1', 'b2', 'b3', 'c1', 'c2', 'c3']);
  });

  it('are given up when they fail again and again, without keeping others', async () => {
    const seen: string[] = [];
    const bad = await aTask('bad', { kind: 'snapshot', secondsAgo: 10 });
    const good = await aTask('a');
    const each = runner(counting(seen));
    each.start();
    await vi.waitFor(async () => {
      expect(await task(bad)).toMatchObject({ status: 'failed' });
      expect(await task(good)).toMatchObject({ status: 'done' });
    }, 8_000);
    await each.stop();
  }, 10_000);

  it('rest while their endpoint is disabled, and fail once it is removed', async () => {
    const seen: string[] = [];
    const taskId = await aTask('a');
    await database.db('endpoints').update({ enabled: false });
    expect(await runner(counting(seen)).runOnce()).toBe(0);
    expect(await task(taskId)).toMatchObject({ status: 'waiting', progress: null });
    await database.db('endpoints').update({ enabled: true });
    expect(await runner(counting(seen)).runOnce()).toBe(3);
    const other = await aTask('b');
    await database.db('endpoints').update({ enabled: false, deleted_at: new Date() });
    expect(await runner(counting(seen)).runOnce()).toBe(0);
    expect(await task(other)).toMatchObject({ status: 'failed' });
  });
});
