import { setTimeout as sleep } from 'node:timers/promises';
import type { Database, Transaction } from '../../src/infra/postgres.ts';

/**
 * Runs `act` in an open transaction, starts `run`, and commits when `run` waits for one of the transaction's locks: whatever `run` read
 * before was read without what `act` did.
 * @returns what became of `run`
 * @throws if `run` ends or goes on without ever waiting
 */
export async function whileWaiting<T>(
  db: Database,
  run: () => Promise<T>,
  act: (tx: Transaction) => Promise<unknown>,
): Promise<{ readonly result: T | null; readonly error: unknown }> {
  const tx = await db.transaction();
  await act(tx);
  const pid = await processOf(tx);
  const running = run().then(
    (result) => ({ result, error: null }),
    (error: unknown) => ({ result: null, error }),
  );
  try {
    await untilBlocked(db, pid);
  } finally {
    await tx.commit();
  }
  return running;
}

/** Until somebody waits for a lock of this server process. */
export async function untilBlocked(db: Database, pid: number): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (Date.now() < deadline) {
    const { rows } = await db.raw('SELECT 1 FROM pg_stat_activity WHERE ? = ANY (pg_blocking_pids(pid)) LIMIT 1', [pid]);
    if (rows.length > 0) return;
    await sleep(5);
  }
  throw new Error('nobody waited for a lock of the transaction');
}

/** The server process of an open transaction. */
export async function processOf(tx: Transaction): Promise<number> {
  const { rows } = await tx.raw('SELECT pg_backend_pid() AS pid');
  return rows[0].pid;
}

/** The server process that waits for this transaction. */
export async function blockedBy(tx: Transaction): Promise<number> {
  const { rows } = await tx.raw('SELECT pid FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)) LIMIT 1');
  return rows[0].pid;
}
