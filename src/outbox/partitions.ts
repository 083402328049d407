import type { Database, Transaction } from '../infra/postgres.ts';
import { withoutDeadline } from '../infra/postgres.ts';

/** Tables in weekly partitions, each with the day that decides, in UTC and by the clock of Postgres. */
export const partitionedBy = { events: 'recorded_on', delivery_attempts: 'attempted_on' } as const;
export type PartitionedTable = keyof typeof partitionedBy;

/** A week of a table. Days as `2026-03-02`; `to` is exclusive. */
export interface Partition {
  readonly table: PartitionedTable;
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

/** This week and the three after it: maintenance may stand still for that long before rows fall into the default partition. */
const weeksAhead = 3;
/** Writers wait while rows of the running week are moved: more than these stay where they are until the week is over. */
const mostRowsMovedUnderLock = 20_000;
/** Who waits for a lock on a table makes all wait that come later, logins among them: the next round tries again. */
const lockTimeoutMilliseconds = 500;

/** In the order of their weeks, without the default partition. */
export async function listPartitions(db: Database, table: PartitionedTable): Promise<Partition[]> {
  const { rows } = await db.raw<{ rows: Omit<Partition, 'table'>[] }>(listPartitionsSql, [table]);
  return rows.map((row) => ({ table, ...row }));
}

const listPartitionsSql = `
  SELECT name, substring(bound FROM $$FROM \\('([^']+)'\\)$$)::date::text AS from, substring(bound FROM $$TO \\('([^']+)'\\)$$)::date::text AS to
  FROM (
    SELECT relname::text AS name, pg_get_expr(relpartbound, pg_class.oid) AS bound
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = ?::regclass
  ) AS partition
  WHERE bound <> 'DEFAULT'
  ORDER BY 2`;

/**
 * Makes the partitions of this week and the next ones, and those of weeks whose rows fell into the default partition: they are moved.
 * @returns the names of those that were made
 */
export async function makePartitions(db: Database, table: PartitionedTable): Promise<string[]> {
  const known = await listPartitions(db, table);
  const { rows } = await db.raw<{ rows: Week[] }>(wantedWeeksSql(table), { weeksAhead });
  const made: string[] = [];
  for (const week of rows) {
    if (known.some(({ from, to }) => from <= week.from && week.from < to)) continue;
    if (await makePartition(db, table, week)) made.push(partitionName(table, week.from));
  }
  return made;
}

interface Week {
  readonly from: string;
  readonly to: string;
  readonly running: boolean;
}

const wantedWeeksSql = (table: PartitionedTable) => `
  WITH clock AS MATERIALIZED (
    SELECT date_trunc('week', now() AT TIME ZONE 'UTC')::date AS week
  )
  SELECT wanted.week::text AS from, (wanted.week + 7)::text AS to, wanted.week = clock.week AS running
  FROM clock, LATERAL (
    SELECT clock.week + 7 * n AS week FROM generate_series(0, :weeksAhead::int) AS n
    UNION
    SELECT DISTINCT date_trunc('week', ${partitionedBy[table]})::date FROM ${table}_default
  ) AS wanted
  ORDER BY wanted.week`;

/**
 * The table is made beside the others and attached in the end: unlike making it as a partition, that lets writers go on
 * (SHARE UPDATE EXCLUSIVE). Only while rows of the running week are moved they wait, since more could come.
 * @returns false: it was made meanwhile, or its rows are too many to be moved before the week is over
 */
async function makePartition(db: Database, table: PartitionedTable, week: Week): Promise<boolean> {
  const name = partitionName(table, week.from);
  const key = partitionedBy[table];
  return maintain(db, async (tx) => {
    if ((await listPartitions(tx, table)).some((partition) => partition.name === name)) return false;
    const inWeek = `${key} >= '${week.from}' AND ${key} < '${week.to}'`;
    const { rows } = await tx.raw<{ rows: [{ count: number }] }>(
      `SELECT count(*) FROM (SELECT FROM ${table}_default WHERE ${inWeek} LIMIT ${mostRowsMovedUnderLock + 1}) AS fallen`,
    );
    const [{ count }] = rows;
    if (week.running && count > mostRowsMovedUnderLock) return false;
    if (week.running && count > 0) await tx.raw(`LOCK TABLE ONLY ${table} IN SHARE ROW EXCLUSIVE MODE`);
    await tx.raw(
      `CREATE TABLE ${name} (LIKE ${table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES INCLUDING STORAGE)`,
    );
    // Beside the table that others write to, and so past its trigger: the events were queued when they came.
    await tx
      .raw(`WITH moved AS (DELETE FROM ${table}_default WHERE ${inWeek} RETURNING *) INSERT INTO ${name} SELECT * FROM moved`)
      .options(withoutDeadline);
    await tx
      .raw(`ALTER TABLE ${table} ATTACH PARTITION ${name} FOR VALUES FROM ('${week.from}') TO ('${week.to}')`)
      .options(withoutDeadline);
    return true;
  });
}

function partitionName(table: PartitionedTable, from: string): string {
  return `${table}_${from.replaceAll('-', '')}`;
}

/**
 * Drops a partition, for which writers wait a moment (ACCESS EXCLUSIVE on the whole table). DETACH … CONCURRENTLY would spare them
 * that, and is refused by Postgres while there is a default partition.
 * @param mayDrop asked in the transaction of the drop, before the lock is taken
 * @returns false: it stays
 */
export function dropPartition(
  db: Database,
  partition: Partition,
  mayDrop: (tx: Transaction) => Promise<boolean> = async () => true,
): Promise<boolean> {
  return maintain(db, async (tx) => {
    if (!(await mayDrop(tx))) return false;
    await tx.raw(`DROP TABLE IF EXISTS ${partition.name}`).options(withoutDeadline);
    return true;
  });
}

/** Partitions whose last day is older than `days`, the oldest first. */
export async function expiredPartitions(db: Database, table: PartitionedTable, days: number): Promise<Partition[]> {
  const { rows } = await db.raw<{ rows: [{ today: string }] }>(
    `SELECT ((now() AT TIME ZONE 'UTC')::date - ?::int)::text AS today`,
    [days],
  );
  const [{ today: oldestKept }] = rows;
  return (await listPartitions(db, table)).filter(({ to }) => to <= oldestKept);
}

/** One process at a time, in a transaction that may last longer than others but waits for no lock as long as they do. */
async function maintain(db: Database, work: (tx: Transaction) => Promise<boolean>): Promise<boolean> {
  return db.transaction(async (tx) => {
    await tx.raw(`SET LOCAL lock_timeout = ${lockTimeoutMilliseconds}; SET LOCAL statement_timeout = '10min'`);
    const { rows } = await tx.raw<{ rows: [{ locked: boolean }] }>(
      "SELECT pg_try_advisory_xact_lock(hashtextextended('rollcall.maintenance', 0)) AS locked",
    );
    return rows[0].locked && work(tx);
  });
}
