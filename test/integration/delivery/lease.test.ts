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
const userId = '018f0000-0000-7000-8000-0000000000b1';

beforeAll(async () => {
  database = await createTestDatabase();
  world = createDeliveryWorld(database.db);
});
beforeEach(async () => {
  await world.clear();
  receiver = await startWebhookReceiver();
  await world.addEndpoint({ url: receiver.url });
});
afterEach(() => receiver.close());
afterAll(async () => {
  await world.close();
  await database.drop();
});

/** Holds the first request of each id until `release`; repeats are answered at once. */
function holdFirst() {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const arrived: string[] = [];
  receiver.answer = async ({ id }, count) => {
    arrived.push(id);
    if (count === 1 && arrived.length === 1) await held;
    return 200;
  };
  return { arrived, release };
}

describe('a lease', () => {
  it('keeps the lane to one worker', async () => {
    const { arrived, release } = holdFirst();
    await world.append(membershipEvent({ userId }), membershipEvent({ userId, version: 2 }));
    const first = world.worker().runOnce();
    await receiver.until(() => arrived.length === 1);
    expect(await world.worker().runOnce()).toBe(0);
    release();
    expect(await first).toBe(2);
    expect(receiver.received.map(({ version }) => version)).toEqual([1, 2]);
  });

  it('that ran out is taken over; who lost it records nothing, sends nothing more, and the repeat has the same id', async () => {
    const { arrived, release } = holdFirst();
    await world.append(membershipEvent({ userId }), membershipEvent({ userId, version: 2 }));
    const loser = world.worker().runOnce();
    await receiver.until(() => arrived.length === 1);
    await world.endLeases();
    expect(await world.worker().runOnce()).toBe(2);
    release();
    expect(await loser).toBe(1);
    // Version 1 twice, with one id; version 2 once.
    expect(receiver.received.map(({ version }) => version).toSorted()).toEqual([1, 1, 2]);
    expect(new Set(receiver.received.map(({ id }) => id)).size).toBe(2);
    expect(await world.deliveries()).toEqual([]);
    expect(await world.attempts()).toMatchObject([
      { outcome: 'delivered', attempt: 1 },
      { outcome: 'delivered', attempt: 1 },
    ]);
    expect(await world.lanes()).toMatchObject([{ due_at: null, leased_by: null }]);
  });

  it('that nobody renews runs out by itself', async () => {
    await world.append(membershipEvent({ userId }));
    await fanOut(database.db, { batchEvents: 10 });
    const dead = createDeliveryStore({
      db: database.db,
      readTargets: async () => new Map(),
      now: () => new Date(),
      workerId: crypto.randomUUID(),
      leaseSeconds: 2,
      deliveriesPerLane: 1,
    });
    const room = { lanes: 10, free: 10, reserve: 0, busy: new Map(), bodyBytes: 1_000_000 };
    expect((await dead.lease(room)).lanes).toHaveLength(1);
    expect(await world.worker().runOnce()).toBe(0);
    await sleep(2_100);
    expect(await world.worker().runOnce()).toBe(1);
  });

  it('that the very same worker took again is another lease', async () => {
    const { arrived, release } = holdFirst();
    await world.append(membershipEvent({ userId }));
    const worker = world.worker();
    const loser = worker.runOnce();
    await receiver.until(() => arrived.length === 1);
    await world.endLeases();
    // The second request is held as well: at this moment the lane is leased anew.
    let releaseSecond = () => {};
    const heldSecond = new Promise<void>((resolve) => {
      releaseSecond = resolve;
    });
    receiver.answer = async ({ id }) => {
      arrived.push(id);
      await heldSecond;
      return 500;
    };
    const winner = worker.runOnce();
    await receiver.until(() => arrived.length === 2);
    release();
    await loser;
    expect(await world.deliveries()).toMatchObject([{ status: 'waiting', attempts: 0 }]);
    releaseSecond();
    await winner;
    expect(await world.deliveries()).toMatchObject([{ status: 'waiting', attempts: 1, last_status: 500 }]);
  });

  it('that ran out but was taken by nobody still lets the outcome be recorded', async () => {
    const { arrived, release } = holdFirst();
    await world.append(membershipEvent({ userId }));
    const worker = world.worker().runOnce();
    await receiver.until(() => arrived.length === 1);
    await world.endLeases();
    release();
    await worker;
    expect(await world.deliveries()).toEqual([]);
    expect(await world.attempts()).toMatchObject([{ outcome: 'delivered', attempt: 1 }]);
  });

  it('is given back at once when deliveries came while it lasted', async () => {
    const { arrived, release } = holdFirst();
    await world.append(membershipEvent({ userId }));
    const worker = world.worker();
    const running = worker.runOnce();
    await receiver.until(() => arrived.length === 1);
    await world.append(membershipEvent({ userId, version: 2 }));
    await world.worker().runOnce();
    release();
    expect(await running).toBe(2);
    expect(receiver.received.map(({ version }) => version)).toEqual([1, 2]);
    expect(await world.lanes()).toMatchObject([{ due_at: null }]);
  });
});
