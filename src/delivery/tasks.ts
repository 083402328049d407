import type { Log } from '../infra/log.ts';
import { type Database, isDatabaseUnavailable, type Transaction } from '../infra/postgres.ts';
import { createPollLoop } from './poll-loop.ts';

export type EndpointTaskKind = 'snapshot' | 'replay';

/** Work for one endpoint that goes on in the background, batch after batch. */
export interface EndpointTask {
  readonly taskId: string;
  readonly endpointId: string;
  readonly kind: EndpointTaskKind;
  /** As its kind wrote it when the task was made. */
  readonly filter: unknown;
  /** As the batch before returned it; null: this is the first. */
  readonly progress: unknown;
}

export interface TaskBatch {
  /** Nothing is left to do. */
  readonly done: boolean;
  /** Where the next batch begins; what JSON can say. */
  readonly progress: unknown;
  /** How many deliveries the batch made, or will have made once its events are fanned out. */
  readonly deliveries: number;
}

/** Does the next part of a task within `tx`, in which the task's progress moves too: a death on the way loses nothing and doubles nothing. */
export type CarryBatch = (
  tx: Transaction,
  task: EndpointTask,
  options: { readonly now: Date; readonly batchSize: number },
) => Promise<TaskBatch>;

export interface TaskRunner {
  start(): void;
  /** There is a new task: look now, not at the next poll. */
  wake(): void;
  /** Resolves when the batch under way has ended. */
  stop(): Promise<void>;
  /** Carries everything out, then returns the number of batches; throws what a batch throws. For a runner that was not started. */
  runOnce(): Promise<number>;
}

const defaultBatchSize = 500;
/** A task whose batches fail so often one after the other, by no fault of Postgres, would fail for ever. */
const failuresUntilGivenUp = 5;

/**
 * Carries out the tasks of endpoints: one batch at a time in a process, the task that rested longest first, so that a long one does
 * not keep others waiting. Several processes share the tasks: one that is under way is passed by.
 *
 * Tasks of a disabled endpoint rest until it is enabled; those of a removed one have failed.
 */
export function createTaskRunner(deps: {
  readonly db: Database;
  readonly carry: Readonly<Record<EndpointTaskKind, CarryBatch>>;
  readonly now: () => Date;
  readonly log: Log;
  readonly pollSeconds: number;
  /** Called when a batch has made deliveries, after its commit. */
  readonly onDeliveries?: () => void;
  readonly batchSize?: number;
}): TaskRunner {
  const { db, now, log, batchSize = defaultBatchSize } = deps;
  const pollMilliseconds = deps.pollSeconds * 1_000;
  /** In a row, by task. */
  const failures = new Map<string, number>();

  const loop = createPollLoop({
    step: async () => ((await carryNext()) ? 0 : pollMilliseconds),
    onError: (error, count) => log.warn({ err: error, failures: count }, 'endpoint tasks: failed, to be tried again'),
  });

  /** @returns false: there was nothing to do */
  async function carryNext(): Promise<boolean> {
    const taken: { task: EndpointTask | null } = { task: null };
    try {
      const batch = await db.transaction(async (tx) => {
        taken.task = await takeTask(tx);
        return taken.task === null ? null : carry(tx, taken.task);
      });
      if (taken.task !== null) failures.delete(taken.task.taskId);
      if (batch !== null && batch.deliveries > 0) deps.onDeliveries?.();
      return batch !== null;
    } catch (error) {
      if (taken.task !== null && !isDatabaseUnavailable(error)) await noteFailure(taken.task, error);
      throw error;
    }
  }

  async function carry(tx: Transaction, task: EndpointTask): Promise<TaskBatch> {
    const batch = await deps.carry[task.kind](tx, task, { now: now(), batchSize });
    await tx('endpoint_tasks')
      .where({ task_id: task.taskId })
      .update({
        status: batch.done ? 'done' : 'waiting',
        progress: JSON.stringify(batch.progress),
        deliveries: tx.raw('deliveries + ?', [batch.deliveries]),
        updated_at: now(),
      });
    return batch;
  }

  /** The task goes to the end of the queue, and is given up when it never succeeds: it must not keep the others waiting. */
  async function noteFailure({ taskId, endpointId, kind }: EndpointTask, error: unknown): Promise<void> {
    const count = (failures.get(taskId) ?? 0) + 1;
    const givenUp = count >= failuresUntilGivenUp;
    if (givenUp) failures.delete(taskId);
    else failures.set(taskId, count);
    log.error({ err: error, taskId, endpointId, kind, failures: count, givenUp }, 'endpoint tasks: a batch failed');
    await db('endpoint_tasks')
      .where({ task_id: taskId, status: 'waiting' })
      .update({ status: givenUp ? 'failed' : 'waiting', updated_at: now() });
  }

  return {
    start: loop.start,
    wake: loop.wake,
    stop: loop.stop,
    async runOnce() {
      let batches = 0;
      while (await carryNext()) batches += 1;
      return batches;
    },
  };
}

/** The task's row stays locked until the batch commits. Index: endpoint_tasks_waiting, which holds few. */
async function takeTask(tx: Transaction): Promise<EndpointTask | null> {
  await tx.raw(failRemovedSql);
  const { rows } = await tx.raw<{ rows: TaskRow[] }>(takeTaskSql);
  const row = rows[0];
  if (row === undefined) return null;
  return { taskId: row.task_id, endpointId: row.endpoint_id, kind: row.kind, filter: row.filter, progress: row.progress };
}

const failRemovedSql = `
  UPDATE endpoint_tasks SET status = 'failed', updated_at = now()
  WHERE task_id IN (
    SELECT task_id FROM endpoint_tasks JOIN endpoints USING (endpoint_id)
    WHERE status = 'waiting' AND deleted_at IS NOT NULL
    FOR UPDATE OF endpoint_tasks SKIP LOCKED
  )`;

const takeTaskSql = `
  SELECT task_id, endpoint_id, kind, filter, progress
  FROM endpoint_tasks AS task JOIN endpoints USING (endpoint_id)
  WHERE status = 'waiting' AND enabled AND deleted_at IS NULL
  ORDER BY task.updated_at, task_id
  LIMIT 1
  FOR NO KEY UPDATE OF task SKIP LOCKED`;

interface TaskRow {
  readonly task_id: string;
  readonly endpoint_id: string;
  readonly kind: EndpointTaskKind;
  readonly filter: unknown;
  readonly progress: unknown;
}
