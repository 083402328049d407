import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createDeliveryWorld, type DeliveryWorld } from '../../support/delivery-world.ts';
import { membershipEvent } from '../../support/webhook-events.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts';

let database: TestDatabase;
let world: DeliveryWorld;
let receiver: WebhookReceiver;

beforeAll(async () => {
  database = await createTestDatabase();
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

describe('the retries of a lane', () => {
  it('end after the last try: the delivery rests as exhausted, and the next one goes', async () => {
    await world.addEndpoint({ url: receiver.url });
    const first = membershipEvent({ version: 1 });
    const second = membershipEvent({ version: 2, userId: first.userId as string });
    receiver.answer = ({ version }) => (version === 1 ? 500 : 200);
    await world.append(first, second);
    const worker = world.worker({ retryDelaysSeconds: [100, 100] });
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      expect(receiver.accepted()).toEqual([]);
      await world.endPauses();
      await worker.runOnce();
    }
    expect(receiver.received.map(({ version }) => version)).toEqual([1, 1, 1, 2]);
    expect(await world.deliveries()).toMatchObject([
      { status: 'exhausted', attempts: 3, last_status: 500, finished_at: expect.any(Date) },
    ]);
    expect((await world.attempts()).map(({ outcome, attempt, status }) => [outcome, attempt, status])).toEqual([
      ['failed', 1, 500],
      ['failed', 2, 500],
      ['exhausted', 3, 500],
      ['delivered', 1, 200],
    ]);
    expect(await world.lanes()).toMatchObject([{ due_at: null, leased_by: null }]);
  });

  it('hold back the later events of their own member only', async () => {
    await world.addEndpoint({ url: receiver.url });
    const failing = membershipEvent();
    const others = [membershipEvent(), membershipEvent()];
    receiver.answer = ({ userId }) => (userId === failing.userId ? 503 : 200);
    await world.append(failing, ...others, membershipEvent({ version: 2, userId: failing.userId as string }));
    await world.worker().runOnce();
    expect(
      receiver
        .accepted()
        .map(({ userId }) => userId)
        .toSorted(),
    ).toEqual(others.map(({ userId }) => userId).toSorted());
    expect(receiver.received.filter(({ userId }) => userId === failing.userId)).toHaveLength(1);
    const waiting = (await world.deliveries()).filter(({ status }) => status === 'waiting');
    expect(waiting.map(({ attempts }) => attempts)).toEqual([1, 0]);
  });

  it('hold back nothing at another endpoint', async () => {
    const other = await startWebhookReceiver();
    await world.addEndpoint({ url: receiver.url });
    await world.addEndpoint({ url: other.url });
    receiver.answer = () => 500;
    await world.append(membershipEvent());
    await world.worker().runOnce();
    expect(receiver.accepted()).toHaveLength(0);
    expect(other.accepted()).toHaveLength(1);
    await other.close();
  });

  it('wait for the pause that the schedule gives', async () => {
    await world.addEndpoint({ url: receiver.url });
    receiver.answer = () => 500;
    await world.append(membershipEvent());
    const before = Date.now();
    await world.worker({ retryDelaysSeconds: [100, 100], jitterFraction: 0.2, random: () => 0.25 }).runOnce();
    const [lane] = await world.lanes();
    const pauseSeconds = ((lane?.due_at?.getTime() ?? 0) - before) / 1_000;
    expect(pauseSeconds).toBeGreaterThan(89);
    expect(pauseSeconds).toBeLessThan(92);
  });

  it('come by themselves in a started worker', async () => {
    await world.addEndpoint({ url: receiver.url });
    receiver.answer = (_, count) => (count < 3 ? 500 : 200);
    const worker = world.worker({ retryDelaysSeconds: [0.05, 0.05, 0.05] });
    worker.start();
    await world.append(membershipEvent());
    await receiver.until(() => receiver.accepted().length === 1);
    await worker.stop();
    expect(await world.deliveries()).toEqual([]);
    expect((await world.attempts()).map(({ outcome, attempt }) => [outcome, attempt])).toEqual([
      ['failed', 1],
      ['failed', 2],
      ['delivered', 3],
    ]);
  });
});
