import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createDeliveryStore } from '../../../src/delivery/delivery-store.ts';
import { fanOut } from '../../../src/delivery/fan-out.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createDeliveryWorld, type DeliveryWorld } from '../../support/delivery-world.ts';
import { membershipEvent } from '../../support/webhook-events.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts';

let database: TestDatabase;
let world: DeliveryWorld;
let receiver: WebhookReceiver;

beforeAll(async () => {
  database = await createTestDatabase({ poolSize: 16 });
  world = createDeliveryWorld(database.db);
});
beforeEach(async () => {
  await world.clear();
  receiver = await startWebhookReceiver();
});
afterEach(() => receiver.close());
afterAll(async () => {
  await world.close();
  await database.drop();
});

async function appendMembers(count: number): Promise<void> {
  await world.append(...Array.from({ length: count }, () => membershipEvent()));
}

/** Counts requests that are open at a time; they are answered when `release` is called. */
function holdAll(of: WebhookReceiver) {
  const state = { open: 0, most: 0, release: () => {} };
  const held = new Promise<void>((resolve) => {
    state.release = resolve;
  });
  of.answer = async () => {
    state.open += 1;
    state.most = Math.max(state.most, state.open);
    await held;
    state.open -= 1;
    return 200;
  };
  return state;
}

describe('an endpoint that answers slowly', () => {
  it('has at most half of the worker, and the others go on', async () => {
    const quick = await startWebhookReceiver();
    await world.addEndpoint({ url: receiver.url });
    const slow = holdAll(receiver);
    await appendMembers(50);
    const worker = world.worker({ concurrency: 8 });
    worker.start();
    await receiver.until(() => slow.open === 4);
    await world.addEndpoint({ url: quick.url });
    await appendMembers(50);
    await quick.until(() => quick.accepted().length === 50);
    expect(slow.most).toBe(4);
    slow.release();
    await world.untilDelivered(15);
    await worker.stop();
    await quick.close();
    expect(receiver.accepted()).toHaveLength(100);
  });

  it('keeps to its own concurrency, and one without has more', async () => {
    const other = await startWebhookReceiver();
    await world.addEndpoint({ url: receiver.url, maxConcurrency: 2 });
    await world.addEndpoint({ url: other.url });
    const [limited, free] = [holdAll(receiver), holdAll(other)];
    await appendMembers(30);
    const worker = world.worker({ concurrency: 16 });
    worker.start();
    await other.until(() => limited.open === 2 && free.open >= 6);
    await sleep(200);
    limited.release();
    free.release();
    await world.untilDelivered(15);
    await worker.stop();
    expect(limited.most).toBe(2);
    expect(free.most).toBeGreaterThan(2);
    await other.close();
  });

  it('also together with others like it leaves room for one that is quick', async () => {
    const slow = await Promise.all(Array.from({ length: 5 }, startWebhookReceiver));
    const states = slow.map(holdAll);
    for (const each of slow) await world.addEndpoint({ url: each.url });
    await appendMembers(80);
    const worker = world.worker({ concurrency: 64, lanesPerLease: 32 });
    worker.start();
    await receiver.until(() => states.every(({ open }) => open > 0));
    await sleep(200);
    await world.addEndpoint({ url: receiver.url });
    await appendMembers(20);
    await receiver.until(() => receiver.accepted().length === 20);
    for (const state of states) state.release();
    await world.untilDelivered(15);
    await worker.stop();
    for (const each of slow) await each.close();
  });
});

describe('the rate limit of an endpoint', () => {
  it('holds over all workers, evenly spaced, while another endpoint is not slowed', async () => {
    const other = await startWebhookReceiver();
    await world.addEndpoint({ url: receiver.url, rateLimitPerSecond: 20 });
    await world.addEndpoint({ url: other.url });
    const startedAt = Date.now();
    const workers = [1, 2, 3].map(() => world.worker({ pollSeconds: 60 }));
    await appendMembers(40);
    for (const worker of workers) worker.start();
    await other.until(() => other.accepted().length === 40, 5);
    await receiver.until(() => receiver.accepted().length === 40, 20);
    for (const worker of workers) await worker.stop();
    const seconds = (Date.now() - startedAt) / 1_000;
    // 40 deliveries, 1/20 s apart: 39 intervals.
    expect(seconds).toBeGreaterThan(1.9);
    const times = receiver.received.map(({ receivedAt }) => receivedAt).toSorted((a, b) => a - b);
    for (const [index, time] of times.entries()) {
      const within = times.slice(index).filter((each) => each - time < 1_000).length;
      // What was sent apart may arrive closer together on a busy machine.
      expect(within).toBeLessThanOrEqual(24);
    }
    await other.close();
  });

  it('is not used up while nothing is sent, and not saved either', async () => {
    await world.addEndpoint({ url: receiver.url, rateLimitPerSecond: 10 });
    const worker = world.worker({ pollSeconds: 60 });
    worker.start();
    await appendMembers(1);
    worker.wake();
    await receiver.until(() => receiver.accepted().length === 1);
    await sleep(1_000);
    const startedAt = Date.now();
    await appendMembers(11);
    worker.wake();
    await receiver.until(() => receiver.accepted().length === 12);
    await worker.stop();
    expect(Date.now() - startedAt).toBeGreaterThan(950);
  });

  it('holds for the deliveries of one member, in their order', async () => {
    await world.addEndpoint({ url: receiver.url, rateLimitPerSecond: 20 });
    const userId = crypto.randomUUID();
    await world.append(...Array.from({ length: 10 }, (_, index) => membershipEvent({ userId, version: index + 1 })));
    const startedAt = Date.now();
    const worker = world.worker({ pollSeconds: 60 });
    worker.start();
    await receiver.until(() => receiver.accepted().length === 10);
    await worker.stop();
    expect(Date.now() - startedAt).toBeGreaterThan(420);
    expect(receiver.received.map(({ version }) => version)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });
});

describe('the memory of a worker', () => {
  const room = { lanes: 32, free: 64, reserve: 8, busy: new Map<string, number>() };

  function store() {
    return createDeliveryStore({
      db: database.db,
      readTargets: async () => new Map(),
      now: () => new Date(),
      workerId: crypto.randomUUID(),
      leaseSeconds: 60,
      deliveriesPerLane: 20,
    });
  }

  async function waitingLanes(members: number, versions: number): Promise<number> {
    await world.addEndpoint({ url: 'https://app.example.com/' });
    const users = Array.from({ length: members }, () => crypto.randomUUID());
    for (let version = 1; version <= versions; version += 1)
      await world.append(...users.map((userId) => membershipEvent({ userId, version })));
    await fanOut(database.db, { batchEvents: 500 });
    const { rows } = await database.db.raw('SELECT max(octet_length(payload::text)) AS longest FROM events');
    return rows[0].longest;
  }

  it('is bounded by the length of the texts: heads first, and lanes that found no room are given back', async () => {
    const longest = await waitingLanes(10, 5);
    const { lanes } = await store().lease({ ...room, bodyBytes: longest * 4 });
    const read = lanes.reduce((sum, { deliveries }) => sum + deliveries.length, 0);
    expect(lanes.length).toBe(4);
    expect(read).toBe(4);
    expect(lanes.every(({ complete }) => !complete)).toBe(true);
    expect((await world.lanes()).filter(({ leased_by }) => leased_by !== null)).toHaveLength(4);
  });

  it('takes one text whatever its length, and all when there is room', async () => {
    await waitingLanes(10, 5);
    const [single, ...others] = (await store().lease({ ...room, bodyBytes: 1 })).lanes;
    expect(single?.deliveries).toHaveLength(1);
    expect(others).toEqual([]);
    const { lanes } = await store().lease({ ...room, bodyBytes: 1_000_000 });
    expect(lanes.map(({ deliveries, complete }) => [deliveries.length, complete])).toEqual(Array(9).fill([5, true]));
  });

  it('lets everything go out in order through a narrow room', async () => {
    await world.addEndpoint({ url: receiver.url });
    const users = Array.from({ length: 10 }, () => crypto.randomUUID());
    for (let version = 1; version <= 5; version += 1)
      await world.append(...users.map((userId) => membershipEvent({ userId, version })));
    const worker = world.worker({ maxBodyMebibytes: 0.002, pollSeconds: 60 });
    worker.start();
    worker.wake();
    await world.untilDelivered(15);
    await worker.stop();
    for (const [, received] of Map.groupBy(receiver.received, ({ userId }) => userId))
      expect(received.map(({ version }) => version)).toEqual([1, 2, 3, 4, 5]);
  });
});
