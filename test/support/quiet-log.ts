import { createLog, type Log } from '../../src/infra/log.ts';

/** A log that nobody reads. */
export const quietLog: Log = createLog({ level: 'silent' });

/** A log whose lines a test reads. */
export function recordingLog(): { log: Log; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const log = createLog({ level: 'trace', destination: { write: (line) => lines.push(JSON.parse(line)) } });
  return { log, lines };
}
