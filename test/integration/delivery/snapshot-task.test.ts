import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSnapshotRequests } from '../../../src/delivery/snapshot-request.ts';
import { carrySnapshotBatch } from '../../../src/delivery/snapshot-task.ts';
import type { EndpointTask } from '../../../src/delivery/tasks.ts';
import { eventSchemas } from '../../../src/outbox/event-schema.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createSnapshotWorld, type SnapshotWorld } from '../../support/endpoint-snapshot-world.ts';
import { userEvent } from '../../support/webhook-events.ts';

let database: TestDatabase;
let world: SnapshotWorld;

beforeAll(async () => {
  database = await createTestDatabase();
  world = await createSnapshotWorld(database.db);
});
beforeEach(() => world.clearAll());
afterAll(async () => {
  await world.close();
  await database.drop();
});

const requests = () => createSnapshotRequests({ db: database.db, now: () => new Date() });

async function addMembers(count: number, workspaceId = world.workspaceIds[0]): Promise<string[]> {
  const userIds = await Promise.all(Array.from({ length: count }, world.addUser));
  for (const userId of userIds) await world.setMember(workspaceId, userId);
  return userIds;
}

async function addSnapshotEndpoint(options: object = {}, includeRemoved = false): Promise<string> {
  const { endpointId } = await world.addEndpoint({ url: `https://app.test/${crypto.randomUUID()}`, ...options });
  await requests().create(endpointId, { includeRemoved });
  return endpointId;
}

/** What is left when the events are taken one after the other, whatever their versions. */
function lastStates(sent: Awaited<ReturnType<SnapshotWorld['sent']>>) {
  return new Map(
    [...sent].flatMap(([member, events]) => {
      const last = events.at(-1);
      if (last === undefined || last.status === 'removed') return [];
      const { type: _, status: _status, ...state } = last;
      return [[member, state] as const];
    }),
  );
}

describe('a snapshot for an endpoint', () => {
  it('R40 tells every member once, in batches, whatever event types the endpoint wants', async () => {
    await addMembers(7);
    await addMembers(4, world.workspaceIds[1]);
    await world.fanOutAll();
    const endpointId = await addSnapshotEndpoint({ eventTypes: ['user.created'] });
    expect(await world.runner().runOnce()).toBe(4);
    await world.fanOutAll();
    const sent = await world.sent(endpointId);
    expect(lastStates(sent)).toEqual(await world.members());
    expect([...sent.values()].flat().map(({ type }) => type)).toEqual(Array(11).fill('membership.snapshot'));
    expect(await requests().list(endpointId, { after: null, limit: 10 })).toMatchObject([{ status: 'done', events: 11 }]);
  });

  it('is sent to no other endpoint, stands in no log, and fits its schema', async () => {
    await addMembers(2);
    await world.fanOutAll();
    const logged = await database.db('event_log').count().first();
    const { endpointId: other } = await world.addEndpoint({ url: 'https://other.test/' });
    await addSnapshotEndpoint();
    await world.runner().runOnce();
    await world.fanOutAll();
    expect((await world.sent(other)).size).toBe(0);
    expect(await database.db('event_log').count().first()).toEqual(logged);
    const payloads = await database.db('events').where({ type: 'membership.snapshot' }).pluck('payload');
    for (const payload of payloads) expect(eventSchemas['membership.snapshot'].parse(payload)).toEqual(payload);
    expect(payloads).toHaveLength(2);
  });

  it('is of the workspaces of the endpoint alone', async () => {
    await addMembers(3);
    const [userId] = await addMembers(1, world.workspaceIds[1]);
    await world.fanOutAll();
    const endpointId = await addSnapshotEndpoint({ workspaceIds: [world.workspaceIds[1]] });
    await world.runner().runOnce();
    await world.fanOutAll();
    expect([...(await world.sent(endpointId)).keys()]).toEqual([`${world.workspaceIds[1]}:${userId}`]);
  });

  it('leaves out who is no member any more, unless they were asked for', async () => {
    const [gone = '', kept = ''] = await addMembers(2);
    await world.removeMember(world.workspaceIds[0], gone);
    await world.fanOutAll();
    const without = await addSnapshotEndpoint();
    const including = await addSnapshotEndpoint({}, true);
    await world.runner().runOnce();
    await world.fanOutAll();
    expect([...(await world.sent(without)).keys()]).toEqual([`${world.workspaceIds[0]}:${kept}`]);
    expect((await world.sent(including)).get(`${world.workspaceIds[0]}:${gone}`)).toMatchObject([
      { status: 'removed', version: 2 },
    ]);
  });

  it('R40 tells nobody twice and misses nobody when it dies in the middle of batches', async () => {
    await addMembers(8);
    await world.fanOutAll();
    const endpointId = await addSnapshotEndpoint();
    let batches = 0;
    const dying = world.runner(async (tx, task, options) => {
      const batch = await carrySnapshotBatch(tx, task, options);
      batches += 1;
      if (batches % 2 === 0) throw new Error('killed before the commit');
      return batch;
    });
    while (!(await dying.runOnce().then(() => true, isKilled)));
    await world.fanOutAll();
    const sent = await world.sent(endpointId);
    expect(batches).toBeGreaterThan(4);
    expect([...sent.values()].map(({ length }) => length)).toEqual(Array(8).fill(1));
  });

  it('R40 has what a change says that was under way, after its event', async () => {
    const [userId = ''] = await addMembers(1);
    await world.fanOutAll();
    const endpointId = await addSnapshotEndpoint();
    const blocker = await database.db.transaction();
    await blocker('users').where({ user_id: userId }).forNoKeyUpdate();
    const edited = world.removeMember(world.workspaceIds[0], userId);
    await sleep(50);
    const snapshot = world.runner().runOnce();
    await sleep(50);
    await blocker.commit();
    await Promise.all([edited, snapshot]);
    await world.fanOutAll();
    const events = (await world.sent(endpointId)).get(`${world.workspaceIds[0]}:${userId}`) ?? [];
    // Whoever got the lock first: the removal is the last word.
    expect(events.at(-1)).toMatchObject({ status: 'removed', version: 2 });
  });

  it('R40 keeps changes waiting only until its batch is told, and comes before them', async () => {
    const [userId = ''] = await addMembers(1);
    await world.fanOutAll();
    const endpointId = await addSnapshotEndpoint();
    let edited: Promise<boolean> | undefined;
    const runner = world.runner(async (tx, task, options) => {
      const batch = await carrySnapshotBatch(tx, task, options);
      edited ??= world.removeMember(world.workspaceIds[0], userId);
      await sleep(50);
      return batch;
    });
    await runner.runOnce();
    await edited;
    await world.fanOutAll();
    expect((await world.sent(endpointId)).get(`${world.workspaceIds[0]}:${userId}`)).toMatchObject([
      { type: 'membership.snapshot', version: 1 },
      { type: 'membership.removed', version: 2 },
    ]);
  });

  it('does not run ahead of fan-out, so that live events of others need not wait', async () => {
    await addMembers(6);
    await world.append(...Array.from({ length: 1_000 }, () => userEvent()));
    const endpointId = await addSnapshotEndpoint();
    const task: EndpointTask = { taskId: '', endpointId, kind: 'snapshot', filter: { includeRemoved: false }, progress: null };
    const carry = () => database.db.transaction((tx) => carrySnapshotBatch(tx, task, { now: new Date(), batchSize: 3 }));
    expect(await carry()).toEqual({ done: false, progress: null, deliveries: 0 });
    await world.fanOutAll();
    expect(await carry()).toMatchObject({ done: false, deliveries: 3 });
  });

  it('R40 begins anew for an endpoint that was disabled on the way, because it was not told of changes', async () => {
    const [first = ''] = await addMembers(4);
    await world.fanOutAll();
    const endpointId = await addSnapshotEndpoint();
    const task = () => database.db('endpoint_tasks').first();
    let batches = 0;
    const runner = world.runner(async (tx, given, options) => {
      const batch = await carrySnapshotBatch(tx, given, options);
      batches += 1;
      if (batches === 1) void world.endpoints.update(endpointId, { enabled: false });
      return batch;
    }, 2);
    runner.start();
    while ((await world.endpoints.get(endpointId)).enabled) await sleep(5);
    await runner.stop();
    expect((await task()).status).toBe('waiting');
    await world.fanOutAll();
    await world.removeMember(world.workspaceIds[0], first);
    await world.fanOutAll();
    await world.setMember(world.workspaceIds[0], first);
    await world.fanOutAll();
    await world.endpoints.update(endpointId, { enabled: true });
    expect((await task()).progress).toBeNull();
    await world.runner().runOnce();
    await world.fanOutAll();
    expect(lastStates(await world.sent(endpointId))).toEqual(await world.members());
  });

  it('is asked for once at a time, and not while the endpoint is disabled', async () => {
    const endpointId = await addSnapshotEndpoint();
    await expect(requests().create(endpointId, { includeRemoved: false })).rejects.toMatchObject({
      code: 'conflict',
      reason: 'snapshot_under_way',
    });
    await world.runner().runOnce();
    await requests().create(endpointId, { includeRemoved: false });
    await world.endpoints.update(endpointId, { enabled: false });
    await expect(requests().create(endpointId, { includeRemoved: false })).rejects.toMatchObject({ reason: 'endpoint_disabled' });
  });
});

describe('a snapshot while everybody changes', () => {
  it('R40 with the live events after it is exactly the members that there are, in order', { timeout: 60_000 }, async () => {
    const random = <Item>(items: readonly Item[]) => items[Math.floor(Math.random() * items.length)] as Item;
    const [acme, globex] = world.workspaceIds;
    const userIds = [...(await addMembers(20)), ...(await addMembers(10, globex))];
    let running = true;
    const change = async () => {
      while (running) {
        const [workspaceId, userId] = [random([acme, globex]), random(userIds)];
        const step = Math.random();
        if (step < 0.1) userIds.push(await world.addUser());
        else if (step < 0.3) await world.removeMember(workspaceId, userId).catch(ignoreStrangers);
        else await world.setMember(workspaceId, userId);
      }
    };
    const fanOut = async () => {
      while (running) {
        await world.fanOutAll();
        await sleep(2);
      }
    };
    const work = [change(), change(), change(), fanOut()];
    const runners = [world.runner(), world.runner()];
    for (const runner of runners) runner.start();
    const endpointIds: string[] = [];
    for (let count = 0; count < 5; count += 1) {
      await sleep(40);
      // With the live stream of all types, made in the midst of transactions.
      endpointIds.push(await addSnapshotEndpoint());
    }
    while ((await database.db('endpoint_tasks').where({ status: 'waiting' })).length > 0) await sleep(20);
    await sleep(50);
    running = false;
    await Promise.all([...work, ...runners.map((runner) => runner.stop())]);
    await world.fanOutAll();

    const members = await world.members();
    expect(members.size).toBeGreaterThan(10);
    expect(await database.db('endpoint_tasks').pluck('status')).toEqual(Array(5).fill('done'));
    for (const endpointId of endpointIds) {
      const sent = await world.sent(endpointId);
      expect(lastStates(sent)).toEqual(members);
      for (const [member, events] of sent) {
        const versions = events.map(({ version }) => version);
        expect(versions, member).toEqual(versions.toSorted((a, b) => a - b));
        const live = events.filter(({ type }) => type !== 'membership.snapshot');
        expect(new Set(live.map(({ version }) => version)).size).toBe(live.length);
      }
    }
  });
});

/** @returns false: on with it */
function isKilled(error: unknown): boolean {
  if ((error as Error).message === 'killed before the commit') return false;
  throw error;
}

/** Who is no member cannot be removed. */
function ignoreStrangers(error: unknown): void {
  if ((error as { code?: unknown }).code !== 'not_found') throw error;
}
