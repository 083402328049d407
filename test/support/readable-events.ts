import { setTimeout as sleep } from 'node:timers/promises';
import { fanOut } from '../../src/delivery/fan-out.ts';
import type { Database } from '../../src/infra/postgres.ts';

/** Does what a worker does for readers of the log: gives every event that committed its sequence. */
export async function untilEventsReadable(db: Database): Promise<void> {
  for (;;) {
    const result = await fanOut(db, { batchEvents: 500 });
    if (result.kind === 'done' && result.events === 0) return;
    if (result.kind === 'busy') await sleep(5);
  }
}
