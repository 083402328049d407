import type { Database, Transaction } from '../infra/postgres.ts';
import { dropPartition, expiredPartitions, type Partition } from './partitions.ts';

/** Held shared by whoever makes deliveries of events from the log, and alone by what drops them. */
export const retentionLock = "hashtextextended('rollcall.retention', 0)";

export interface EventRetention {
  readonly dropped: readonly string[];
  /** The oldest partition that had to stay although its time is over. */
  readonly held: HeldPartition | null;
}

export interface HeldPartition {
  readonly name: string;
  /** Deliveries of these endpoints wait for some of its events. Empty: events of it have not been fanned out. */
  readonly endpointIds: readonly string[];
}

const rowsPerStatement = 5_000;

/**
 * Drops the events whose whole week is older than `days`, the oldest first, with their entries in the log and their exhausted
 * deliveries. A week of which a delivery waits, or an event has not been fanned out, stays, and all after it: the log loses its
 * beginning only, never its middle.
 */
export async function dropExpiredEvents(db: Database, days: number): Promise<EventRetention> {
  const dropped: string[] = [];
  for (const partition of await expiredPartitions(db, 'events', days)) {
    const held = await heldBy(db, partition);
    if (held !== null) return { dropped, held };
    // First the log: a reader is told that it comes too late before the first event is gone.
    await trimLog(db, partition);
    await deleteRested(db, partition);
    if (!(await dropPartition(db, partition, (tx) => lockAndLookAgain(tx, partition)))) break;
    dropped.push(partition.name);
  }
  return { dropped, held: null };
}

/**
 * Only a replay could make a delivery of an event so old; the lock keeps replays away until the partition is gone. Fan-out makes them
 * of what stands in the outbox, and nothing so old gets there any more.
 */
async function lockAndLookAgain(tx: Transaction, partition: Partition): Promise<boolean> {
  await tx.raw(`SELECT pg_advisory_xact_lock(${retentionLock})`);
  if ((await heldBy(tx, partition)) !== null) return false;
  await tx.raw("DELETE FROM deliveries WHERE status <> 'waiting' AND recorded_on >= ? AND recorded_on < ?", [
    partition.from,
    partition.to,
  ]);
  return true;
}

/** One statement: an event leaves the outbox and enters the queue of its endpoints in the same moment. */
async function heldBy(db: Database, { name, from, to }: Partition): Promise<HeldPartition | null> {
  const { rows } = await db.raw<{ rows: [{ queued: boolean; endpoint_ids: string[] | null }] }>(
    `SELECT EXISTS (SELECT FROM outbox WHERE recorded_on >= :from AND recorded_on < :to) AS queued,
            (SELECT array_agg(DISTINCT endpoint_id::text) FROM deliveries
             WHERE status = 'waiting' AND recorded_on >= :from AND recorded_on < :to) AS endpoint_ids`,
    { from, to },
  );
  const [{ queued, endpoint_ids: endpointIds }] = rows;
  return queued || endpointIds !== null ? { name, endpointIds: endpointIds ?? [] } : null;
}

/**
 * Deletes the log's entries up to the partition's last one, which stays: it tells that events before it are gone (`readEvents`), also
 * when nothing else is left.
 */
async function trimLog(db: Database, { to }: Partition): Promise<void> {
  const last = await lastSequenceBefore(db, to);
  if (last === null) return;
  await inBatches(() =>
    db.raw(
      `DELETE FROM event_log WHERE sequence IN (SELECT sequence FROM event_log WHERE sequence < ? ORDER BY sequence LIMIT ?)`,
      [last, rowsPerStatement],
    ),
  );
}

/**
 * The last entry that was recorded before `day`. Sequences follow the days but for transactions that committed late; no transaction
 * lasts a day. So the first entry of the day after is sought by halving, and the last one of the days before it from there down.
 */
async function lastSequenceBefore(db: Database, day: string): Promise<number | null> {
  const { rows: bounds } = await db.raw<{ rows: [{ low: number | null; high: number | null }] }>(
    'SELECT min(sequence) AS low, max(sequence) + 1 AS high FROM event_log',
  );
  let [{ low, high }] = bounds;
  if (low === null || high === null) return null;
  while (low < high) {
    const middle: number = Math.floor((low + high) / 2);
    const { rows } = await db.raw<{ rows: { sequence: number; later: boolean }[] }>(
      'SELECT sequence, recorded_on > ?::date AS later FROM event_log WHERE sequence >= ? ORDER BY sequence LIMIT 1',
      [day, middle],
    );
    const entry = rows[0];
    if (entry === undefined || entry.later) high = middle;
    else low = entry.sequence + 1;
  }
  const { rows } = await db.raw<{ rows: { sequence: number }[] }>(
    'SELECT sequence FROM event_log WHERE sequence < ? AND recorded_on < ?::date ORDER BY sequence DESC LIMIT 1',
    [high, day],
  );
  return rows[0]?.sequence ?? null;
}

/** Index: deliveries_exhausted. */
async function deleteRested(db: Database, { from, to }: Partition): Promise<void> {
  await inBatches(() =>
    db.raw(
      `DELETE FROM deliveries WHERE (endpoint_id, order_key, position) IN (
         SELECT endpoint_id, order_key, position FROM deliveries
         WHERE status = 'exhausted' AND recorded_on >= ? AND recorded_on < ? LIMIT ? FOR UPDATE SKIP LOCKED)`,
      [from, to, rowsPerStatement],
    ),
  );
}

/** Until a statement deletes nothing more. */
export async function inBatches(run: () => PromiseLike<{ readonly rowCount: number | null }>): Promise<number> {
  let deleted = 0;
  for (;;) {
    const count = (await run()).rowCount ?? 0;
    deleted += count;
    if (count === 0) return deleted;
  }
}
