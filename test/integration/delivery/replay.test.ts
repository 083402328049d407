import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createReplayStore, type Replay } from '../../../src/delivery/replay-store.ts';
import { carryReplayBatch, type ReplayFilter } from '../../../src/delivery/replay-task.ts';
import { createTaskRunner } from '../../../src/delivery/tasks.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createDeliveryWorld, type DeliveryWorld } from '../../support/delivery-world.ts';
import { appendDaysAgo } from '../../support/old-events.ts';
import { quietLog, recordingLog } from '../../support/quiet-log.ts';
import { untilEventsReadable } from '../../support/readable-events.ts';
import { membershipEvent, userEvent, workspaceId } from '../../support/webhook-events.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts';

const otherWorkspace = '018f0000-0000-7000-8000-000000000002';
let database: TestDatabase;
let world: DeliveryWorld;
let receiver: WebhookReceiver;
let endpointId: string;

beforeAll(async () => {
  database = await createTestDatabase({ poolSize: 16 });
  world = createDeliveryWorld(database.db);
});
beforeEach(async () => {
  await world.clear();
  receiver = await startWebhookReceiver();
  ({ endpointId } = await world.addEndpoint({ url: receiver.url }));
});
afterEach(() => receiver.close());
afterAll(async () => {
  await world.close();
  await database.drop();
});

const now = () => new Date();
const store = () => createReplayStore({ db: database.db, now });
const runner = (batchSize = 2, log = quietLog) =>
  createTaskRunner({
    db: database.db,
    carry: {
      replay: carryReplayBatch,
      snapshot: async () => ({ done: true, progress: null, deliveries: 0 }),
    },
    now,
    log,
    pollSeconds: 0.05,
    batchSize,
  });

/** Carries a replay out, all of it. */
async function replay(filter: ReplayFilter): Promise<number> {
  const { replayId } = await store().create(endpointId, filter);
  await runner().runOnce();
  const done = await store().get(endpointId, replayId);
  expect(done.status).toBe('done');
  return done.deliveries;
}
const deliverAll = () => world.worker().runOnce();
const takeReceived = () => receiver.received.splice(0).map(({ userId, version }) => `${userId.at(-1)}${version}`);
const ofUser = (digit: string) => `018f0000-0000-7000-8000-00000000000${digit}`;
const change = (digit: string, version: number, more: { workspaceId?: string; at?: Date } = {}) =>
  membershipEvent({ userId: ofUser(digit), version, ...more });
const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000);

describe('a replay', () => {
  it('sends events by id once more, with the same id and body', async () => {
    const ids = await world.append(change('1', 1), change('1', 2), change('2', 1));
    await deliverAll();
    const first = new Map(receiver.received.map(({ id, text }) => [id, text]));
    receiver.received.length = 0;
    expect(await replay({ kind: 'events', eventIds: [ids[2] ?? '', ids[0] ?? ''] })).toBe(2);
    await deliverAll();
    for (const { id, text } of receiver.received) expect(first.get(id)).toBe(text);
    expect(takeReceived().toSorted()).toEqual(['11', '21']);
  });

  it('sends what happened within a time, over weeks and however many batches that takes', async () => {
    await appendDaysAgo(database.db, 50, 3, ofUser('9'));
    await appendDaysAgo(database.db, 20, 5, ofUser('8'));
    await world.append(change('1', 1, { at: minutesAgo(10) }), change('1', 2, { at: minutesAgo(5) }), change('1', 3));
    await deliverAll();
    takeReceived();
    expect(await replay({ kind: 'range', from: minutesAgo(10.5).toISOString(), to: minutesAgo(4).toISOString() })).toBe(2);
    await deliverAll();
    expect(takeReceived()).toEqual(['11', '12']);
    const days = (count: number) => minutesAgo(count * 24 * 60).toISOString();
    expect(await replay({ kind: 'range', from: days(51), to: days(19) })).toBe(8);
    await deliverAll();
    expect(takeReceived()).toHaveLength(8);
  });

  it('sends the events of one member, all or those within a time', async () => {
    await world.append(
      change('1', 1, { at: minutesAgo(10) }),
      change('2', 1),
      change('1', 2, { at: minutesAgo(5) }),
      change('1', 1, { workspaceId: otherWorkspace }),
    );
    await deliverAll();
    takeReceived();
    const member = { kind: 'member', workspaceId, userId: ofUser('1'), from: null, to: null } as const;
    expect(await replay(member)).toBe(2);
    await deliverAll();
    expect(takeReceived()).toEqual(['11', '12']);
    expect(await replay({ ...member, from: minutesAgo(7).toISOString() })).toBe(1);
    expect(await replay({ ...member, userId: randomUUID() })).toBe(0);
  });

  it('lets what rests as exhausted begin anew, and nothing else', async () => {
    receiver.answer = ({ userId }) => (userId === ofUser('1') ? 500 : 200);
    await world.append(change('1', 1), change('2', 1), change('1', 2), change('1', 3));
    await world.worker({ retryDelaysSeconds: [] }).runOnce();
    expect((await world.deliveries()).map(({ status }) => status)).toEqual(['exhausted', 'exhausted', 'exhausted']);
    takeReceived();
    receiver.answer = () => 200;
    expect(await replay({ kind: 'exhausted' })).toBe(3);
    expect(await world.deliveries()).toMatchObject(
      [1, 2, 3].map(() => ({ status: 'waiting', attempts: 0, last_status: null, last_error: null, finished_at: null })),
    );
    await world.endPauses();
    await database.db('endpoint_health').delete();
    await deliverAll();
    expect(takeReceived()).toEqual(['11', '12', '13']);
    expect(await replay({ kind: 'exhausted' })).toBe(0);
  });

  it('puts an older event before newer ones that wait, and leaves those as they are', async () => {
    await world.append(change('1', 1));
    await deliverAll();
    takeReceived();
    receiver.answer = () => 500;
    await world.append(change('1', 2), change('1', 3));
    await deliverAll();
    const [waiting] = await world.deliveries();
    expect(waiting).toMatchObject({ status: 'waiting', attempts: 1 });
    takeReceived();
    const [lane] = await world.lanes();
    expect(await replay({ kind: 'range', from: minutesAgo(5).toISOString(), to: now().toISOString() })).toBe(1);
    expect((await world.deliveries()).map(({ attempts }) => attempts)).toEqual([0, 1, 0]);
    // The lane keeps its pause: the receiver is no healthier for the replay.
    const [after] = await world.lanes();
    expect(after?.due_at).toEqual(lane?.due_at);
    expect(after?.revision).toBeGreaterThan(lane?.revision ?? Number.POSITIVE_INFINITY);
    receiver.answer = () => 200;
    await database.db('endpoint_health').delete();
    await world.endPauses();
    await deliverAll();
    expect(takeReceived()).toEqual(['11', '12', '13']);
  });

  it('sends nothing that the endpoint does not want now', async () => {
    await world.append(change('1', 1), change('1', 2), change('1', 1, { workspaceId: otherWorkspace }), userEvent());
    await deliverAll();
    takeReceived();
    const everything = { kind: 'range', from: minutesAgo(5).toISOString() } as const;
    await world.endpoints.update(endpointId, { eventTypes: ['membership.created'], workspaceIds: [otherWorkspace] });
    expect(await replay({ ...everything, to: now().toISOString() })).toBe(1);
    await world.endpoints.update(endpointId, { eventTypes: null, workspaceIds: null });
    expect(await replay({ ...everything, to: now().toISOString() })).toBe(3);
  });

  it('gives an endpoint events that happened before it was there', async () => {
    await world.append(change('1', 1));
    await untilEventsReadable(database.db);
    const other = await startWebhookReceiver();
    ({ endpointId } = await world.addEndpoint({ url: other.url }));
    expect(await replay({ kind: 'range', from: minutesAgo(5).toISOString(), to: now().toISOString() })).toBe(1);
    await deliverAll();
    expect(other.received).toHaveLength(1);
    await other.close();
  });

  it('leaves to fan-out what that has not seen: the event comes once', async () => {
    await world.append(change('1', 1));
    expect(await replay({ kind: 'range', from: minutesAgo(5).toISOString(), to: now().toISOString() })).toBe(0);
    await deliverAll();
    expect(takeReceived()).toEqual(['11']);
  });

  it('is refused while the endpoint is disabled, and for events that the log does not hold', async () => {
    const [eventId = ''] = await world.append(change('1', 1));
    await expect(store().create(endpointId, { kind: 'events', eventIds: [eventId] })).rejects.toMatchObject({
      code: 'validation_failed',
      reason: 'event_unknown',
      fields: [{ path: 'events.0' }],
    });
    await untilEventsReadable(database.db);
    expect(await store().create(endpointId, { kind: 'events', eventIds: [eventId] })).toMatchObject({ status: 'waiting' });
    await world.endpoints.update(endpointId, { enabled: false });
    await expect(store().create(endpointId, { kind: 'exhausted' })).rejects.toMatchObject({
      code: 'conflict',
      reason: 'endpoint_disabled',
    });
    await expect(store().create(randomUUID(), { kind: 'exhausted' })).rejects.toMatchObject({ code: 'not_found' });
  });

  it('neither locks itself out nor loses order beside workers that fan out and send', async () => {
    const digits = ['1', '2', '3', '4', '5'];
    for (let version = 1; version <= 6; version += 1) await world.append(...digits.map((digit) => change(digit, version)));
    await deliverAll();
    takeReceived();
    const { log, lines } = recordingLog();
    const workers = [world.worker({ log }), world.worker({ log })];
    const runners = [runner(7, log), runner(7, log)];
    for (const each of [...workers, ...runners]) each.start();
    const replays: Replay[] = [];
    for (let version = 7; version <= 16; version += 1) {
      await world.append(...digits.map((digit) => change(digit, version)));
      replays.push(
        await store().create(endpointId, { kind: 'range', from: minutesAgo(5).toISOString(), to: now().toISOString() }),
      );
    }
    await vi.waitFor(async () => {
      for (const { replayId } of replays) expect((await store().get(endpointId, replayId)).status).toBe('done');
    }, 15_000);
    await world.untilDelivered(15);
    await Promise.all([...workers, ...runners].map((each) => each.stop()));
    expect(lines.filter((line) => JSON.stringify(line).includes('40P01'))).toEqual([]);
    expect(receiver.overlaps).toEqual([]);
    for (const digit of digits) {
      // Each version is new once, and the new ones come in their order, whatever came again between them.
      const firsts = [
        ...new Set(receiver.received.filter(({ userId }) => userId === ofUser(digit)).map(({ version }) => version)),
      ];
      expect(firsts.filter((version) => version > 6)).toEqual([7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    }
  }, 40_000);
});

describe('a replay whose process dies', () => {
  async function startRunner(): Promise<ChildProcess> {
    const child = spawn(process.execPath, [fileURLToPath(new URL('./replay-process.ts', import.meta.url))], {
      env: { ...process.env, REPLAY_DATABASE_URL: database.url },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    return child;
  }

  it('goes on where it was, and makes each delivery once', async () => {
    const count = 300;
    await world.append(...Array.from({ length: count }, () => membershipEvent()));
    await untilEventsReadable(database.db);
    await database.db('deliveries').delete();
    const { replayId } = await store().create(endpointId, {
      kind: 'range',
      from: minutesAgo(5).toISOString(),
      to: now().toISOString(),
    });
    let kills = 0;
    for (;;) {
      const child = await startRunner();
      const before = (await store().get(endpointId, replayId)).deliveries;
      await vi.waitFor(
        async () => {
          const { status, deliveries } = await store().get(endpointId, replayId);
          expect(status === 'done' || deliveries > before).toBe(true);
        },
        { timeout: 10_000, interval: 5 },
      );
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
      const { status } = await store().get(endpointId, replayId);
      if (status === 'done') break;
      kills += 1;
      if (kills === 3) break;
    }
    expect(kills).toBeGreaterThan(0);
    // The server holds the locks of a killed process until it notices; the task is passed by for so long.
    await vi.waitFor(async () => {
      await runner(50).runOnce();
      expect(await store().get(endpointId, replayId)).toMatchObject({ status: 'done', deliveries: count });
    }, 10_000);
    const waiting = await world.deliveries();
    expect(waiting).toHaveLength(count);
    expect(waiting.every(({ status, attempts }) => status === 'waiting' && attempts === 0)).toBe(true);
  }, 30_000);
});
