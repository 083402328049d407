import type { Log } from '../infra/log.ts';
import { type Database, isDatabaseUnavailable } from '../infra/postgres.ts';
import { dropPartition, expiredPartitions, makePartitions, type PartitionedTable, partitionedBy } from '../outbox/partitions.ts';
import { dropExpiredEvents, inBatches } from '../outbox/retention.ts';

const intervalMilliseconds = 60 * 60 * 1_000;
const rowsPerStatement = 5_000;

export interface Maintenance {
  /** At once, and then every hour. */
  start(): void;
  /** Resolves when the round under way has ended. */
  stop(): Promise<void>;
  /** One round; every part is tried, whatever became of the others. */
  run(): Promise<void>;
}

/**
 * Makes the partitions of the weeks to come and drops what has served its time: events, attempts, and the remains of endpoints that
 * were removed. Several processes may do so: each step is left to the one that is at it.
 */
export function createMaintenance(deps: {
  readonly db: Database;
  readonly log: Log;
  readonly eventDays: number;
  readonly attemptDays: number;
}): Maintenance {
  const { db, log } = deps;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();

  const steps: Readonly<Record<string, () => Promise<unknown>>> = {
    'make partitions': async () => {
      for (const table of Object.keys(partitionedBy) as PartitionedTable[]) {
        const made = await makePartitions(db, table);
        if (made.length > 0) log.info({ made }, 'maintenance: partitions were made');
      }
    },
    'clear removed endpoints': () => clearRemovedEndpoints(db),
    'delete delivered rows': () => inBatches(() => db.raw(deleteDeliveredSql, [rowsPerStatement])),
    'drop events': dropEvents,
    'drop attempts': async () => {
      for (const partition of await expiredPartitions(db, 'delivery_attempts', deps.attemptDays)) {
        if (await dropPartition(db, partition)) log.info({ partition: partition.name }, 'maintenance: old attempts were dropped');
      }
    },
    'delete old tasks': () => inBatches(() => db.raw(deleteTasksSql, [deps.attemptDays, rowsPerStatement])),
  };

  async function dropEvents(): Promise<void> {
    const { dropped, held } = await dropExpiredEvents(db, deps.eventDays);
    if (dropped.length > 0) log.info({ dropped }, 'maintenance: old events were dropped');
    if (held !== null) {
      log.warn(
        { partition: held.name, endpointIds: held.endpointIds },
        'maintenance: old events are kept, because deliveries of them wait: enable or remove these endpoints',
      );
    }
  }

  async function run(): Promise<void> {
    for (const [step, work] of Object.entries(steps)) {
      try {
        await work();
      } catch (error) {
        const level = isLockTimeout(error) || isDatabaseUnavailable(error) ? 'info' : 'warn';
        log[level]({ err: error, step }, 'maintenance: a step failed; the next round tries again');
      }
    }
  }

  const begin = () => {
    running = running.then(run);
  };
  return {
    run,
    start() {
      begin();
      timer = setInterval(begin, intervalMilliseconds).unref();
    },
    stop() {
      clearInterval(timer);
      return running;
    },
  };
}

/** Somebody wrote for longer than a drop may make others wait. */
function isLockTimeout(error: unknown): boolean {
  return (error as { code?: unknown }).code === '55P03';
}

/** Nothing is sent to a removed endpoint: what waits there would keep its events for ever. */
async function clearRemovedEndpoints(db: Database): Promise<void> {
  const removed: string[] = await db('endpoints')
    .whereNotNull('deleted_at')
    .where((query) => {
      // Fan-out that began before the removal may have left deliveries when their lanes were gone already.
      for (const table of ['delivery_lanes', 'deliveries']) {
        query.orWhereExists(db(table).whereRaw('??.endpoint_id = endpoints.endpoint_id', [table]));
      }
    })
    .pluck('endpoint_id');
  for (const endpointId of removed) {
    await inBatches(() => db.raw(deleteQueueSql, [endpointId, rowsPerStatement]));
    await inBatches(() => db.raw(deleteLanesSql, [endpointId, rowsPerStatement]));
  }
}

const deleteQueueSql = `
  DELETE FROM deliveries WHERE (endpoint_id, order_key, position) IN (
    SELECT endpoint_id, order_key, position FROM deliveries WHERE endpoint_id = ?
    ORDER BY order_key, position LIMIT ? FOR UPDATE SKIP LOCKED)`;

/** A lane that a worker holds still is left to the next round. */
const deleteLanesSql = `
  DELETE FROM delivery_lanes WHERE (endpoint_id, order_key) IN (
    SELECT endpoint_id, order_key FROM delivery_lanes AS lane
    WHERE endpoint_id = ? AND (leased_until IS NULL OR leased_until <= now())
      AND NOT EXISTS (SELECT FROM deliveries WHERE deliveries.endpoint_id = lane.endpoint_id AND deliveries.order_key = lane.order_key)
    ORDER BY order_key LIMIT ? FOR UPDATE SKIP LOCKED)`;

/** Versions that kept delivered ones in the queue left them there. */
const deleteDeliveredSql = `
  DELETE FROM deliveries WHERE (endpoint_id, order_key, position) IN (
    SELECT endpoint_id, order_key, position FROM deliveries WHERE status = 'delivered' LIMIT ? FOR UPDATE SKIP LOCKED)`;

const deleteTasksSql = `
  DELETE FROM endpoint_tasks WHERE task_id IN (
    SELECT task_id FROM endpoint_tasks WHERE status <> 'waiting' AND updated_at < now() - make_interval(days => ?)
    LIMIT ? FOR UPDATE SKIP LOCKED)`;
