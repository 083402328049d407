import { randomUUID } from 'node:crypto';
import { eventsChannel } from './delivery/fan-out.ts';
import { createMaintenance } from './delivery/maintenance.ts';
import { carryReplayBatch } from './delivery/replay-task.ts';
import { carrySnapshotBatch } from './delivery/snapshot-task.ts';
import { createTaskRunner } from './delivery/tasks.ts';
import { createDeliveryWorker } from './delivery/worker.ts';
import type { InstanceKeySet } from './infra/instance-keys.ts';
import type { Log } from './infra/log.ts';
import type { Notifications } from './infra/notifications.ts';
import type { Settings } from './settings/schema.ts';
import type { Stores } from './stores.ts';

/** What sends webhooks: the worker, the background work of endpoints, and the keeping of the log. */
export function composeDelivery(deps: {
  readonly settings: Settings;
  readonly stores: Pick<Stores, 'db' | 'outbound' | 'sealedBox'>;
  readonly keys: () => Pick<InstanceKeySet, 'webhookSigning'>;
  readonly notifications: Pick<Notifications, 'listen'>;
  readonly log: Log;
  readonly now: () => Date;
}) {
  const { settings, keys, log, now } = deps;
  const { db, outbound, sealedBox } = deps.stores;
  const worker = createDeliveryWorker({
    db,
    outbound,
    sealedBox,
    webhookKeys: () => keys().webhookSigning.map(({ privateKey }) => privateKey),
    now,
    log,
    ...settings.delivery,
    workerId: randomUUID(),
    drainSeconds: settings.http.drainSeconds,
  });
  if (settings.delivery.enabled) deps.notifications.listen(eventsChannel, worker.wake, worker.wake);
  const tasks = createTaskRunner({
    db,
    carry: { snapshot: carrySnapshotBatch, replay: carryReplayBatch },
    onDeliveries: worker.wake,
    pollSeconds: settings.delivery.pollSeconds,
    now,
    log,
  });
  const maintenance = createMaintenance({ db, log, ...settings.retention });

  return {
    /** Events were committed. */
    wake: worker.wake,
    /** There is background work for an endpoint. */
    wakeTasks: tasks.wake,
    start(): void {
      if (settings.delivery.enabled) {
        worker.start();
        tasks.start();
      }
      maintenance.start();
    },
    async stop(): Promise<void> {
      await Promise.all([tasks.stop(), maintenance.stop(), worker.stop()]);
    },
  };
}
