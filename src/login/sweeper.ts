import type { Log } from '../infra/log.ts';
import type { Database } from '../infra/postgres.ts';
import { firstIdOf } from '../infra/unique-id.ts';

const intervalMilliseconds = 10 * 60 * 1_000;
const rowsPerStatement = 5_000;
const dayMilliseconds = 24 * 60 * 60 * 1_000;

/** Deletes what has served its time: marks of used answers that could not be presented again anyway, old traces, stored answers, old entries of the audit log. */
export function createSweeper(deps: {
  readonly db: Database;
  readonly now: () => Date;
  readonly log: Log;
  readonly traceDays: number;
  /** Null: the audit log is kept for ever. */
  readonly auditLogDays?: number | null;
}) {
  const { db, now, log, traceDays, auditLogDays = null } = deps;
  let timer: NodeJS.Timeout | undefined;

  /** @returns how many rows went */
  async function sweep(): Promise<number> {
    // A day longer than an answer is good for: a clock that runs ahead here must not open the way to a replay at another replica.
    const answersBefore = new Date(now().getTime() - dayMilliseconds);
    const tracesBefore = new Date(now().getTime() - traceDays * dayMilliseconds);
    // Indexes: used_answers_by_expiry, login_traces_by_time, idempotency_keys_by_expiry. Replicas that sweep at once pass over each other's rows.
    const answers = await inBatches(
      `DELETE FROM used_answers WHERE (connection_id, answer_id) IN (
         SELECT connection_id, answer_id FROM used_answers WHERE used_until < ? ORDER BY used_until LIMIT ? FOR UPDATE SKIP LOCKED)`,
      answersBefore,
    );
    const traces = await inBatches(
      `DELETE FROM login_traces WHERE login_id IN (
         SELECT login_id FROM login_traces WHERE occurred_at < ? ORDER BY occurred_at LIMIT ? FOR UPDATE SKIP LOCKED)`,
      tracesBefore,
    );
    const repeats = await inBatches(
      `DELETE FROM idempotency_keys WHERE claim_id IN (
         SELECT claim_id FROM idempotency_keys WHERE expires_at < ? ORDER BY expires_at LIMIT ? FOR UPDATE SKIP LOCKED)`,
      now(),
    );
    return answers + traces + repeats + (await sweepAuditLog());
  }

  /** Ids of entries begin with their time: the primary key leads to the oldest. */
  async function sweepAuditLog(): Promise<number> {
    if (auditLogDays === null) return 0;
    return inBatches(
      `DELETE FROM audit_log WHERE entry_id IN (
         SELECT entry_id FROM audit_log WHERE entry_id < ? ORDER BY entry_id LIMIT ? FOR UPDATE SKIP LOCKED)`,
      firstIdOf(new Date(now().getTime() - auditLogDays * dayMilliseconds)),
    );
  }

  async function inBatches(statement: string, before: Date | string): Promise<number> {
    let deleted = 0;
    for (;;) {
      const { rowCount } = await db.raw(statement, [before, rowsPerStatement]);
      deleted += rowCount ?? 0;
      if ((rowCount ?? 0) < rowsPerStatement) return deleted;
    }
  }

  return {
    sweep,
    start(): void {
      timer = setInterval(() => {
        sweep().catch((error: unknown) => log.warn({ err: error }, 'old rows could not be deleted; the next round tries again'));
      }, intervalMilliseconds).unref();
    },
    stop(): void {
      clearInterval(timer);
    },
  };
}
