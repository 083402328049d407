import { readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';

/** Figures of a process on Linux, from proc(5). */
export interface ProcessFigures {
  /** User and system time since the last call, in milliseconds. */
  cpuMilliseconds(): number;
  /** Largest resident set since `resetPeak`, in MiB. */
  peakMebibytes(): number;
  resetPeak(): void;
}

/** USER_HZ, the unit of the times in /proc/<pid>/stat: 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

export function figuresOf(pid: number): ProcessFigures {
  let last = cpuTicks(pid);
  return {
    cpuMilliseconds() {
      const ticks = cpuTicks(pid);
      const spent = ticks - last;
      last = ticks;
      return (spent * 1_000) / ticksPerSecond;
    },
    peakMebibytes() {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1_024;
    },
    resetPeak() {
      writeFileSync(`/proc/${pid}/clear_refs`, '5');
    },
  };
}

function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The command's name, in parentheses, may hold spaces; utime and stime are the 14th and 15th fields.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** The machine that figures were measured on. */
export function describeMachine(): string {
  const [cpu] = os.cpus();
  return `${cpu?.model.trim()}, ${os.cpus().length} cores, ${Math.round(os.totalmem() / 2 ** 30)} GiB, Linux ${os.release()}, Node ${process.version}`;
}

/** @param sorted in rising order */
export function percentile(sorted: readonly number[], fraction: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
}
