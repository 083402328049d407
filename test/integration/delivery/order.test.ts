import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createDeliveryWorld, type DeliveryWorld } from '../../support/delivery-world.ts';
import { membershipEvent } from '../../support/webhook-events.ts';
import { type Answer, startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts';

const members = 50;
const versions = 20;
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
  await world.addEndpoint({ url: receiver.url });
});
afterEach(() => receiver.close());
afterAll(async () => {
  await world.close();
  await database.drop();
});

/** Commits the changes of all members while the workers run, several transactions at a time, each member in order. */
async function appendWhileRunning(userIds: readonly string[]): Promise<void> {
  const writers = 5;
  await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      const own = userIds.filter((__, index) => index % writers === writer);
      for (let version = 1; version <= versions; version += 1) {
        await world.append(...own.map((userId) => membershipEvent({ userId, version })));
        await sleep(Math.random() * 10);
      }
    }),
  );
}

async function runTwoWorkers(answer: () => Answer | Promise<Answer>, timeoutSeconds: number) {
  receiver.answer = answer;
  const userIds = Array.from({ length: members }, () => crypto.randomUUID());
  const workers = [1, 2].map(() =>
    world.worker({ retryDelaysSeconds: Array(20).fill(0.03), jitterFraction: 0.5, deliveriesPerLane: 4, timeoutSeconds }),
  );
  for (const worker of workers) worker.start();
  await appendWhileRunning(userIds);
  await world.untilDelivered(18);
  for (const worker of workers) await worker.stop();

  // A webhook whose answer came too late is repeated with its id: the first time counts.
  const firsts = receiver.accepted().filter(({ id }, index, all) => all.findIndex((other) => other.id === id) === index);
  const byMember = Map.groupBy(firsts, ({ userId }) => userId);
  for (const userId of userIds) {
    expect(byMember.get(userId)?.map(({ version }) => version)).toEqual(
      Array.from({ length: versions }, (_, index) => index + 1),
    );
  }
  expect(receiver.overlaps).toEqual([]);
  expect(await world.deliveries()).toEqual([]);
  return (await world.attempts()).map(({ outcome, attempt }) => [outcome, attempt]);
}

describe('two workers at once', () => {
  it('deliver 1,000 events of 50 members in order per member, each once', async () => {
    const attempts = await runTwoWorkers(async () => {
      await sleep(1);
      return 200;
    }, 9);
    expect(attempts).toEqual(Array(members * versions).fill(['delivered', 1]));
    expect(receiver.received).toHaveLength(members * versions);
  });

  it('keep the order while the receiver fails at random in every way', async () => {
    const faults: Answer[] = [500, 'reset', 'redirect', 'close-mid-body'];
    const attempts = await runTwoWorkers(() => {
      const dice = Math.random();
      if (dice < 0.005) return 'silence';
      return dice < 0.15 ? (faults[Math.floor(Math.random() * faults.length)] as Answer) : 200;
    }, 1);
    expect(attempts.filter(([outcome]) => outcome === 'delivered')).toHaveLength(members * versions);
    expect(receiver.received.length).toBeGreaterThan(members * versions);
  });
});
