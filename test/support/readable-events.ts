import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../../src/infra/postgres.ts';

/** Other databases of the server have open transactions too: waits until none is older than the events here, so that all can be read. */
export async function untilEventsReadable(db: Database): Promise<void> {
  for (;;) {
    const { rows } = await db.raw('SELECT 1 FROM events WHERE transaction_id >= pg_snapshot_xmin(pg_current_snapshot()) LIMIT 1');
    if (rows.length === 0) return;
    await sleep(5);
  }
}
