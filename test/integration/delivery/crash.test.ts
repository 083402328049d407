import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createDatabase } from '../../../src/infra/postgres.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createDeliveryWorld, type DeliveryWorld, sealingKey } from '../../support/delivery-world.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';
import { membershipEvent } from '../../support/webhook-events.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts';

const workerProcess = fileURLToPath(new URL('./worker-process.ts', import.meta.url));
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
  await world.addEndpoint({ url: receiver.url });
});
afterEach(() => receiver.close());
afterAll(async () => {
  await world.close();
  await database.drop();
});

async function startWorkerProcess(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [workerProcess], {
    env: { ...process.env, WORKER_DATABASE_URL: database.url, WORKER_SEALING_KEY: sealingKey },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

/** As a crash; the leases that it held are over. */
async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
  await world.endLeases();
}

/** `versions` changes of each of `members` members, committed in turns. */
async function appendChanges(members: number, versions: number): Promise<string[]> {
  const userIds = Array.from({ length: members }, () => crypto.randomUUID());
  for (let version = 1; version <= versions; version += 1) {
    await world.append(...userIds.map((userId) => membershipEvent({ userId, version })));
  }
  return userIds;
}

/** Versions in the order of their first acceptance, and how often an id came more than once. */
function summary(userIds: readonly string[]) {
  const counts = new Map<string, number>();
  const firsts = new Map<string, number[]>(userIds.map((userId) => [userId, []]));
  for (const { id, userId, version } of receiver.accepted()) {
    const count = (counts.get(id) ?? 0) + 1;
    counts.set(id, count);
    if (count === 1) firsts.get(userId)?.push(version);
  }
  return { firsts, repeats: [...counts.values()].map((count) => count - 1), ids: counts.size };
}

describe('a worker that is killed', () => {
  it('in the middle of a request leaves it to the next worker, which repeats it once with the same id', async () => {
    let arrived = 0;
    receiver.answer = async (_, count) => {
      arrived += 1;
      return count === 1 && arrived === 1 ? 'silence' : 200;
    };
    const first = await startWorkerProcess();
    const [userId] = await appendChanges(1, 3);
    await receiver.until(() => arrived === 1);
    await kill(first);
    expect((await world.deliveries())[0]).toMatchObject({ status: 'waiting', attempts: 0 });

    const second = await startWorkerProcess();
    await world.untilDelivered(10);
    await kill(second);
    expect(receiver.received.map(({ version }) => version)).toEqual([1, 1, 2, 3]);
    expect(receiver.received[0]?.id).toBe(receiver.received[1]?.id);
    expect(receiver.received.every((webhook) => webhook.userId === userId)).toBe(true);
  });

  it('again and again at any moment loses nothing, reorders nothing, and repeats with equal ids only', async () => {
    receiver.answer = async () => {
      await sleep(2);
      return Math.random() < 0.02 ? 'silence' : 200;
    };
    const writing = appendChanges(20, 20);
    let kills = 0;
    for (; kills < 3; kills += 1) {
      const child = await startWorkerProcess();
      await sleep(100 + Math.random() * 150);
      await kill(child);
    }
    const userIds = await writing;
    receiver.answer = () => 200;
    await database
      .db('delivery_lanes')
      .whereNotNull('leased_by')
      .update({ leased_until: database.db.raw('now()') });
    await world.endPauses();
    const worker = world.worker({ timeoutSeconds: 9 });
    worker.start();
    await world.untilDelivered(30);
    await worker.stop();

    const { firsts, repeats, ids } = summary(userIds);
    expect(ids).toBe(400);
    for (const versions of firsts.values()) expect(versions).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    // A kill repeats at most the request that was in the air in each lane.
    expect(Math.max(...repeats)).toBeLessThanOrEqual(kills);
    expect(repeats.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(kills * 16);
  }, 90_000);
});

describe('a worker whose Postgres goes away', () => {
  it('backs off, goes on by itself, and records what it sent meanwhile: no repeats', async () => {
    const target = new URL(database.url);
    const relay = await startTcpProxy({ host: target.hostname, port: Number(target.port) });
    target.port = String(relay.port);
    const db = createDatabase({ url: target.href, poolSize: 4, statementTimeoutSeconds: 2 });
    const cutOff = createDeliveryWorld(db);
    const worker = cutOff.worker({ timeoutSeconds: 9 });
    receiver.answer = async () => {
      await sleep(5);
      return 200;
    };
    worker.start();
    const userIds = await appendChanges(20, 10);
    await receiver.until(() => receiver.received.length > 20);
    await relay.cut();
    await sleep(400);
    expect(await world.isDelivered()).toBe(false);
    await relay.restore();
    await world.untilDelivered(15);
    await worker.stop();
    await cutOff.close();
    await db.destroy();
    await relay.close();

    const { firsts, repeats, ids } = summary(userIds);
    expect(ids).toBe(200);
    for (const versions of firsts.values()) expect(versions).toEqual(Array.from({ length: 10 }, (_, index) => index + 1));
    expect(Math.max(...repeats)).toBe(0);
  });
});
