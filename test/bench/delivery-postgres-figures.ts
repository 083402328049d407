import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../../src/infra/postgres.ts';

export interface PostgresFigures {
  /** User and system time of all processes of the server since the last call, in milliseconds; null where they cannot be seen. */
  cpuMilliseconds(): number | null;
  /** Rows inserted, updated and deleted since the last call, by table; partitions count for their table. */
  rowWrites(): Promise<ReadonlyMap<string, number>>;
}

/** USER_HZ, see process-figures.ts. */
const ticksPerSecond = 100;
/** A backend that told its counts lately and then has nothing to do tells the rest after 10 s (pgstat.c, `PGSTAT_IDLE_INTERVAL`). */
const statisticsMilliseconds = 11_000;

export async function postgresFiguresOf(db: Database): Promise<PostgresFigures> {
  const postmaster = await postmasterOf(db);
  let lastTicks = postmaster === null ? 0 : serverTicks(postmaster);
  let lastWrites = await readWrites(db);
  return {
    cpuMilliseconds() {
      if (postmaster === null) return null;
      const ticks = serverTicks(postmaster);
      const spent = ticks - lastTicks;
      lastTicks = ticks;
      return (spent * 1_000) / ticksPerSecond;
    },
    async rowWrites() {
      await sleep(statisticsMilliseconds);
      const writes = await readWrites(db);
      const grown = [...writes].map(([table, count]) => [table, count - (lastWrites.get(table) ?? 0)] as const);
      lastWrites = writes;
      return new Map(grown.filter(([, count]) => count > 0));
    },
  };
}

/** Null: the server runs on another machine, or does not let this user ask. */
async function postmasterOf(db: Database): Promise<number | null> {
  try {
    const { rows } = await db.raw<{ rows: { pid: number }[] }>(
      "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)::int AS pid",
    );
    const pid = rows[0]?.pid ?? 0;
    readFileSync(`/proc/${pid}/stat`);
    return pid;
  } catch {
    return null;
  }
}

/** Of the postmaster, its living children, and those that ended: their times are added to its own (proc(5), cutime and cstime). */
function serverTicks(postmaster: number): number {
  let ticks = 0;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const fields = statOf(Number(name));
    if (fields === null) continue;
    if (Number(name) === postmaster) ticks += sum(fields.slice(11, 15));
    else if (Number(fields[1]) === postmaster) ticks += sum(fields.slice(11, 13));
  }
  return ticks;
}

/** The fields after the command's name: state, parent, …; null: the process has ended. */
function statOf(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

async function readWrites(db: Database): Promise<Map<string, number>> {
  const { rows } = await db.raw<{ rows: { name: string; writes: number }[] }>(`
    SELECT coalesce(parent.relname, stat.relname) AS name, sum(n_tup_ins + n_tup_upd + n_tup_del)::float8 AS writes
    FROM pg_stat_user_tables AS stat
    LEFT JOIN pg_inherits ON inhrelid = stat.relid
    LEFT JOIN pg_class AS parent ON parent.oid = inhparent
    GROUP BY 1`);
  return new Map(rows.map(({ name, writes }) => [name, writes]));
}

function sum(texts: readonly string[]): number {
  return texts.reduce((total, text) => total + Number(text), 0);
}
