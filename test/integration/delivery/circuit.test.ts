import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createDeliveryWorld, type DeliveryWorld } from '../../support/delivery-world.ts';
import { membershipEvent } from '../../support/webhook-events.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts';

let database: TestDatabase;
let world: DeliveryWorld;
let receiver: WebhookReceiver;
let endpointId: string;

beforeAll(async () => {
  database = await createTestDatabase();
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

interface Health {
  readonly consecutive_failures: number;
  readonly failing_since: Date | null;
  readonly last_success_at: Date | null;
  readonly last_failure_at: Date | null;
  readonly last_status: number | null;
  readonly last_error: string | null;
  readonly paused_until: Date | null;
  readonly failed_probes: number;
}

const health = (id = endpointId): Promise<Health | undefined> =>
  database.db('endpoint_health').where({ endpoint_id: id }).first();

/** One worker of one request at a time, so that failures come one after the other. */
const oneByOne = (options = {}) => world.worker({ concurrency: 1, circuitFailures: 3, random: () => 0.5, ...options });

async function endCircuitPause(): Promise<void> {
  await database.db('endpoint_health').update({ paused_until: database.db.raw('now()') });
}

async function appendMembers(count: number): Promise<void> {
  await world.append(...Array.from({ length: count }, () => membershipEvent()));
}

/** Seconds until the pause ends. */
async function pauseSeconds(): Promise<number> {
  return (((await health())?.paused_until?.getTime() ?? 0) - Date.now()) / 1_000;
}

describe('the circuit of an endpoint', () => {
  it('opens after so many failures in a row: none of its lanes is tried until the pause is over', async () => {
    receiver.answer = () => 500;
    await appendMembers(20);
    const worker = oneByOne();
    expect(await worker.runOnce()).toBe(3);
    expect(await health()).toMatchObject({
      consecutive_failures: 3,
      failing_since: expect.any(Date),
      last_success_at: null,
      last_status: 500,
      last_error: 'http_status',
    });
    expect(await pauseSeconds()).toBeGreaterThan(3);
    expect(await pauseSeconds()).toBeLessThan(6);
    expect(await worker.runOnce()).toBe(0);
    expect(await world.worker().runOnce()).toBe(0);
    expect(receiver.received).toHaveLength(3);
  });

  it('stays closed when a success comes between the failures', async () => {
    receiver.answer = () => (receiver.received.length % 3 === 2 ? 200 : 500);
    await appendMembers(20);
    expect(await oneByOne().runOnce()).toBe(20);
    expect(await health()).toMatchObject({ paused_until: null });
  });

  it('does not stop another endpoint', async () => {
    const other = await startWebhookReceiver();
    await world.addEndpoint({ url: other.url });
    receiver.answer = () => 500;
    await appendMembers(20);
    await oneByOne().runOnce();
    expect(receiver.received).toHaveLength(3);
    expect(other.accepted()).toHaveLength(20);
    await other.close();
  });

  it('lets one lane probe when the pause is over, over all workers, and grows the pause with each failed probe', async () => {
    receiver.answer = () => 500;
    await appendMembers(30);
    await oneByOne().runOnce();
    for (const [probes, seconds] of [
      [1, 10],
      [2, 20],
      [3, 40],
      [4, 60],
    ] as const) {
      await endCircuitPause();
      const workers = [1, 2, 3].map(() => world.worker({ circuitFailures: 3, circuitMaxPauseSeconds: 60, random: () => 0.5 }));
      const attempts = await Promise.all(workers.map((worker) => worker.runOnce()));
      expect(attempts.reduce((sum, count) => sum + count, 0)).toBe(1);
      expect(await health()).toMatchObject({ failed_probes: probes, consecutive_failures: 3 + probes });
      expect(Math.abs((await pauseSeconds()) - seconds)).toBeLessThan(3);
    }
  });

  it('is closed by a probe that succeeds: everything flows on, and members that failed need not wait for their pauses', async () => {
    receiver.answer = () => 500;
    await appendMembers(20);
    const worker = oneByOne();
    await worker.runOnce();
    receiver.answer = () => 200;
    await endCircuitPause();
    expect(await worker.runOnce()).toBe(20);
    expect(await health()).toMatchObject({
      consecutive_failures: 0,
      failing_since: null,
      paused_until: null,
      failed_probes: 0,
      last_success_at: expect.any(Date),
      last_status: 200,
      last_error: null,
    });
    expect(await world.deliveries()).toEqual([]);
  });

  it('is not made worse by failures that were in the air when it opened', async () => {
    receiver.answer = () => 500;
    await appendMembers(40);
    const worker = world.worker({ concurrency: 16, circuitFailures: 3 });
    const attempts = await worker.runOnce();
    expect(attempts).toBeLessThanOrEqual(8);
    expect(await health()).toMatchObject({ failed_probes: 0, consecutive_failures: attempts });
  });

  it('is tried again when the worker died that was to probe', async () => {
    receiver.answer = () => 500;
    await appendMembers(10);
    await oneByOne().runOnce();
    await endCircuitPause();
    let arrived = 0;
    receiver.answer = () => {
      arrived += 1;
      return arrived === 1 ? 'silence' : 200;
    };
    const dead = world.worker({ drainSeconds: 0, timeoutSeconds: 9 });
    dead.start();
    await receiver.until(() => arrived === 1);
    // Meanwhile nobody else probes, for as long as the lease lasts.
    expect(await pauseSeconds()).toBeGreaterThan(5);
    expect(await oneByOne().runOnce()).toBe(0);
    await dead.stop();
    await endCircuitPause();
    await world.endPauses();
    expect(await oneByOne().runOnce()).toBeGreaterThan(0);
    expect(receiver.accepted().length).toBeGreaterThan(0);
  });

  it('is closed by what a started worker tries by itself', async () => {
    receiver.answer = () => (receiver.received.length < 5 ? 500 : 200);
    await appendMembers(30);
    const worker = oneByOne({ circuitPauseSeconds: 0.1, circuitMaxPauseSeconds: 0.2, pollSeconds: 60 });
    worker.start();
    await receiver.until(() => receiver.accepted().length === 30);
    await worker.stop();
    expect(await health()).toMatchObject({ consecutive_failures: 0, paused_until: null });
  });
});

describe('an endpoint without one success', () => {
  /** As if the first failure had been so long ago. */
  async function failingFor(seconds: number): Promise<void> {
    const before = database.db.raw('now() - make_interval(secs => ?)', [seconds]);
    await database.db('endpoint_health').where({ endpoint_id: endpointId }).update({ failing_since: before });
    await database.db('endpoints').where({ endpoint_id: endpointId }).update({ updated_at: before });
  }

  const options = { retryDelaysSeconds: [100, 1_000], circuitFailures: 2 };

  it('for as long as the schedule lasts is disabled; what probed rests as exhausted, and the others are told', async () => {
    const other = await startWebhookReceiver();
    await world.addEndpoint({ url: other.url });
    receiver.answer = () => 503;
    await appendMembers(5);
    const worker = oneByOne(options);
    await worker.runOnce();
    await failingFor(1_101);
    await endCircuitPause();
    await worker.runOnce();

    expect(await world.endpoints.get(endpointId)).toMatchObject({ enabled: false, disabledReason: 'failing' });
    const statuses = (await world.deliveries()).map(({ status }) => status).toSorted();
    expect(statuses).toEqual(['exhausted', 'waiting', 'waiting', 'waiting', 'waiting']);
    const { length } = receiver.received;
    await worker.runOnce();
    expect(receiver.received).toHaveLength(length);
    const told = await database.db('events').where({ type: 'endpoint.disabled' });
    expect(told).toHaveLength(1);
    expect(told[0].payload.data).toMatchObject({ endpoint: { id: endpointId }, reason: 'failing', last_status: 503 });
    await other.close();
  });

  it('for a shorter time is probed on', async () => {
    receiver.answer = () => 503;
    await appendMembers(5);
    const worker = oneByOne(options);
    await worker.runOnce();
    await failingFor(1_000);
    await endCircuitPause();
    await worker.runOnce();
    expect(await world.endpoints.get(endpointId)).toMatchObject({ enabled: true });
    expect((await world.deliveries()).map(({ status }) => status)).toEqual(Array(5).fill('waiting'));
  });

  it('is not given up when it answers at last', async () => {
    receiver.answer = () => 503;
    await appendMembers(5);
    const worker = oneByOne(options);
    await worker.runOnce();
    await failingFor(100_000);
    await endCircuitPause();
    receiver.answer = () => 200;
    expect(await worker.runOnce()).toBe(5);
    expect(await world.endpoints.get(endpointId)).toMatchObject({ enabled: true });
  });

  it('that works for others is not given up for one delivery whose schedule is used up', async () => {
    const bad = membershipEvent();
    receiver.answer = ({ userId }) => (userId === bad.userId ? 500 : 200);
    const worker = oneByOne({ ...options, circuitFailures: 10 });
    await world.append(bad);
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      await world.endPauses();
      await appendMembers(1);
      await worker.runOnce();
    }
    expect((await world.deliveries()).map(({ status, attempts }) => [status, attempts])).toEqual([['exhausted', 3]]);
    expect(await world.endpoints.get(endpointId)).toMatchObject({ enabled: true });
  });
});
