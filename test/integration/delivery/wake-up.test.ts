import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventsChannel } from '../../../src/delivery/fan-out.ts';
import { createNotifications } from '../../../src/infra/notifications.ts';
import { createDatabase } from '../../../src/infra/postgres.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createDeliveryWorld, type DeliveryWorld, silentLog } from '../../support/delivery-world.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';
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
  await world.addEndpoint({ url: receiver.url });
});
afterEach(() => receiver.close());
afterAll(async () => {
  await world.close();
  await database.drop();
});

/** A worker that looks for itself once in `pollSeconds`, and is woken through the given address. */
function startListening(url: string, pollSeconds: number) {
  let connected = 0;
  const worker = world.worker({ pollSeconds });
  const notifications = createNotifications({ url, log: silentLog });
  notifications.listen(eventsChannel, worker.wake, () => {
    connected += 1;
    worker.wake();
  });
  notifications.start();
  worker.start();
  return {
    async untilConnected(times: number) {
      while (connected < times) await sleep(10);
      // The look that follows each connection is over.
      await sleep(100);
    },
    async stop() {
      await Promise.all([worker.stop(), notifications.stop()]);
    },
  };
}

describe('a commit', () => {
  it('of another process wakes a worker that polls but once a minute', async () => {
    const listening = startListening(database.url, 60);
    await listening.untilConnected(1);
    const elsewhere = createDatabase({ url: database.url, poolSize: 1, statementTimeoutSeconds: 5 });
    await createDeliveryWorld(elsewhere).append(membershipEvent());
    await receiver.until(() => receiver.received.length === 1, 10);
    await elsewhere.destroy();
    await listening.stop();
  });

  it('that is rolled back wakes nobody, and neither does the worker find anything', async () => {
    const listening = startListening(database.url, 60);
    await listening.untilConnected(1);
    const tx = await database.db.transaction();
    await tx.raw("SELECT pg_notify('rollcall_events', '')");
    await tx.rollback();
    await sleep(200);
    expect(receiver.received).toEqual([]);
    await listening.stop();
  });

  it('whose notice is lost is found by polling, and after a reconnection without it', async () => {
    const target = new URL(database.url);
    const relay = await startTcpProxy({ host: target.hostname, port: Number(target.port) });
    target.port = String(relay.port);

    const polling = startListening(target.href, 1);
    await polling.untilConnected(1);
    await relay.cut();
    await world.append(membershipEvent());
    await receiver.until(() => receiver.received.length === 1, 10);
    await polling.stop();

    await relay.restore();
    const reconnecting = startListening(target.href, 60);
    await reconnecting.untilConnected(1);
    await relay.cut();
    await world.append(membershipEvent());
    await sleep(300);
    expect(receiver.received).toHaveLength(1);
    await relay.restore();
    await receiver.until(() => receiver.received.length === 2, 10);
    await reconnecting.stop();
    await relay.close();
  });
});
