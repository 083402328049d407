import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { appendEvents } from '../../../src/outbox/append.ts';
import { type EventType, eventSchemas } from '../../../src/outbox/event-schema.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createDeliveryWorld, type DeliveryWorld, sealingKey } from '../../support/delivery-world.ts';
import { membershipEvent, syncHeldEvent, userEvent } from '../../support/webhook-events.ts';
import { type Answer, startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts';

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

describe('a delivery', () => {
  it('reaches the receiver signed, as the envelope that its schema describes', async () => {
    const { secret } = await world.addEndpoint({ url: receiver.url });
    receiver.secrets = [secret];
    const events = [userEvent(), membershipEvent(), syncHeldEvent()];
    const ids = await world.append(...events);
    expect(await world.worker().runOnce()).toBe(3);
    expect(receiver.refused).toBe(0);
    const byId = new Map(receiver.received.map((webhook) => [webhook.id, webhook]));
    for (const [index, event] of events.entries()) {
      const webhook = byId.get(`evt_${ids[index]?.replaceAll('-', '')}`);
      const envelope = JSON.parse(webhook?.text ?? '');
      expect(eventSchemas[event.type as EventType].parse(envelope)).toEqual(envelope);
      expect(envelope).toEqual({ type: event.type, timestamp: event.occurredAt.toISOString(), data: event.data });
      expect(webhook?.headers['content-type']).toBe('application/json');
    }
    expect(await world.deliveries()).toEqual([]);
    expect((await world.attempts()).toSorted((a, b) => a.position - b.position)).toMatchObject(
      ids.map((event_id) => ({ event_id, outcome: 'delivered', attempt: 1, status: 200, error: null, answer: null })),
    );
    expect((await world.lanes()).map(({ due_at, leased_by }) => [due_at, leased_by])).toEqual(ids.map(() => [null, null]));
  });

  it('is not made of a change that was rolled back', async () => {
    await world.addEndpoint({ url: receiver.url });
    const failed = database.db.transaction(async (tx) => {
      await appendEvents(tx, [membershipEvent()], { now: new Date() });
      throw new Error('the business failed');
    });
    await expect(failed).rejects.toThrow();
    expect(await world.worker().runOnce()).toBe(0);
    expect(receiver.received).toEqual([]);
  });

  it('is signed with the old and the new secret during a rotation', async () => {
    const { secret: old } = await world.addEndpoint({ url: receiver.url });
    const fresh = `whsec_${randomBytes(32).toString('base64')}`;
    await world.endpoints.apply({
      url: receiver.url,
      description: '',
      eventTypes: null,
      workspaceIds: null,
      enabled: true,
      headers: {},
      rateLimitPerSecond: null,
      maxConcurrency: null,
      secret: fresh,
    });
    for (const secret of [old, fresh]) {
      receiver.secrets = [secret];
      await world.append(userEvent());
      await world.worker().runOnce();
    }
    expect(receiver.refused).toBe(0);
    expect(receiver.accepted()).toHaveLength(2);
  });

  it.each<[Answer, number | null, string]>([
    [500, 500, 'http_status'],
    [429, 429, 'http_status'],
    ['redirect', 307, 'redirect'],
    ['reset', null, 'connect'],
    ['close-mid-body', null, 'connect'],
    ['silence', null, 'timeout'],
    ['huge', null, 'too_large'],
  ])('that is answered by %s fails, and is tried again with the same id and the same bytes', async (answer, status, error) => {
    await world.addEndpoint({ url: receiver.url });
    receiver.answer = (_, count) => (count === 1 ? answer : 204);
    await world.append(membershipEvent());
    const worker = world.worker({ timeoutSeconds: 9 });
    expect(await world.worker({ timeoutSeconds: answer === 'silence' ? 0.3 : 9 }).runOnce()).toBe(1);
    expect(await world.deliveries()).toMatchObject([{ status: 'waiting', attempts: 1, last_status: status, last_error: error }]);
    expect(await worker.runOnce()).toBe(0);

    await world.endPauses();
    expect(await worker.runOnce()).toBe(1);
    expect(await world.deliveries()).toEqual([]);
    expect(await world.attempts()).toMatchObject([
      { outcome: 'failed', attempt: 1, status, error },
      { outcome: 'delivered', attempt: 2, status: 204, error: null },
    ]);
    const [first, second] = receiver.received;
    expect(second?.id).toBe(first?.id);
    expect(second?.text).toBe(first?.text);
  });

  it('fails where nobody listens, and where the guard forbids the address', async () => {
    await world.addEndpoint({ url: receiver.url });
    await receiver.close();
    await world.append(membershipEvent());
    await world.worker().runOnce();
    expect(await world.deliveries()).toMatchObject([{ status: 'waiting', last_status: null, last_error: 'connect' }]);

    receiver = await startWebhookReceiver();
    await world.clear();
    const guarded = createDeliveryWorld(database.db, { guarded: true });
    await guarded.addEndpoint({ url: receiver.url });
    await guarded.append(membershipEvent());
    await guarded.worker().runOnce();
    await guarded.close();
    expect(await world.deliveries()).toMatchObject([{ status: 'waiting', last_status: null, last_error: 'blocked_address' }]);
    expect(receiver.received).toEqual([]);
  });

  it('fails where the secret cannot be opened, and goes out when the key is back', async () => {
    await world.addEndpoint({ url: receiver.url });
    await world.append(membershipEvent());
    const keyless = createDeliveryWorld(database.db, { sealingKeys: [`other:${randomBytes(32).toString('base64')}`] });
    await keyless.worker().runOnce();
    expect(await world.deliveries()).toMatchObject([{ status: 'waiting', attempts: 1, last_error: 'secret_unavailable' }]);
    await keyless.close();
    const rotated = createDeliveryWorld(database.db, { sealingKeys: [`new:${randomBytes(32).toString('base64')}`, sealingKey] });
    await world.endPauses();
    await rotated.worker().runOnce();
    await rotated.close();
    expect(receiver.accepted()).toHaveLength(1);
  });

  it('that is answered by 410 disables its endpoint; enabled again, it goes out', async () => {
    const { endpointId } = await world.addEndpoint({ url: receiver.url });
    receiver.answer = () => 410;
    await world.append(membershipEvent(), membershipEvent());
    const worker = world.worker({ concurrency: 1 });
    await worker.runOnce();
    expect(await world.endpoints.get(endpointId)).toMatchObject({ enabled: false, disabledReason: 'gone' });
    expect(receiver.received).toHaveLength(1);
    await world.endPauses();
    expect(await worker.runOnce()).toBe(0);

    receiver.answer = () => 200;
    await world.endpoints.update(endpointId, { enabled: true });
    expect(await worker.runOnce()).toBe(2);
    expect(await world.deliveries()).toEqual([]);
    expect((await world.attempts()).map(({ outcome }) => outcome)).toEqual(['failed', 'delivered', 'delivered']);
  });

  it('is not sent while its endpoint is disabled, nor after it was removed', async () => {
    const { endpointId } = await world.addEndpoint({ url: receiver.url });
    receiver.answer = () => 500;
    await world.append(membershipEvent());
    const worker = world.worker();
    await worker.runOnce();
    await world.endPauses();
    await world.endpoints.update(endpointId, { enabled: false });
    expect(await worker.runOnce()).toBe(0);
    await world.endpoints.remove(endpointId);
    expect(await worker.runOnce()).toBe(0);
    expect(await world.deliveries()).toMatchObject([{ status: 'waiting', attempts: 1 }]);
  });
});

describe('a worker', () => {
  it('sends at once when it is woken after a commit', async () => {
    await world.addEndpoint({ url: receiver.url });
    const worker = world.worker({ pollSeconds: 60 });
    worker.start();
    await world.append(membershipEvent());
    worker.wake();
    await receiver.until(() => receiver.received.length === 1, 5);
    await worker.stop();
  });

  it('finds what was committed elsewhere by polling', async () => {
    await world.addEndpoint({ url: receiver.url });
    const worker = world.worker({ pollSeconds: 0.1 });
    worker.start();
    await world.append(membershipEvent());
    await receiver.until(() => receiver.received.length === 1, 5);
    await worker.stop();
  });

  it('never has more requests open than its concurrency, whatever number of endpoints', async () => {
    const receivers = await Promise.all(Array.from({ length: 6 }, startWebhookReceiver));
    let open = 0;
    let most = 0;
    let release = () => {};
    const fiveOpen = new Promise<void>((resolve) => {
      release = resolve;
    });
    for (const each of receivers) {
      await world.addEndpoint({ url: each.url });
      each.answer = async () => {
        open += 1;
        most = Math.max(most, open);
        if (open === 5) release();
        await fiveOpen;
        await sleep(5);
        open -= 1;
        return 200;
      };
    }
    await world.append(...Array.from({ length: 20 }, () => membershipEvent()));
    const worker = world.worker({ concurrency: 5, lanesPerLease: 3 });
    worker.start();
    await world.untilDelivered(15);
    await worker.stop();
    for (const each of receivers) {
      expect(each.received).toHaveLength(20);
      await each.close();
    }
    expect(most).toBe(5);
  });

  it('finishes what is in the air when it stops, records it, and starts nothing more', async () => {
    await world.addEndpoint({ url: receiver.url });
    const userId = crypto.randomUUID();
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let arrived = 0;
    receiver.answer = async () => {
      arrived += 1;
      await held;
      return 200;
    };
    const worker = world.worker();
    worker.start();
    await world.append(
      membershipEvent({ userId }),
      membershipEvent({ userId, version: 2 }),
      membershipEvent({ userId, version: 3 }),
    );
    worker.wake();
    await receiver.until(() => arrived === 1);
    const stopped = worker.stop();
    release();
    await stopped;
    expect((await world.attempts()).map(({ outcome }) => outcome)).toEqual(['delivered']);
    expect((await world.deliveries()).map(({ status }) => status)).toEqual(['waiting', 'waiting']);
    expect(await world.lanes()).toMatchObject([{ leased_by: null, due_at: expect.any(Date) }]);
    expect(await world.worker().runOnce()).toBe(2);
    expect(receiver.received.map(({ version }) => version)).toEqual([1, 2, 3]);
  });

  it('stops within its drain time when a receiver does not answer', async () => {
    await world.addEndpoint({ url: receiver.url });
    let arrived = 0;
    receiver.answer = () => {
      arrived += 1;
      return 'silence';
    };
    const worker = world.worker({ drainSeconds: 0.2, timeoutSeconds: 9 });
    worker.start();
    await world.append(membershipEvent());
    worker.wake();
    await receiver.until(() => arrived === 1);
    const before = Date.now();
    await worker.stop();
    expect(Date.now() - before).toBeLessThan(5_000);
  });

  it('refuses a lease that an attempt could outlast', () => {
    expect(() => world.worker({ leaseSeconds: 15, timeoutSeconds: 15 })).toThrow(RangeError);
    expect(() => world.worker({ leaseSeconds: 16, timeoutSeconds: 15 })).not.toThrow();
  });
});
