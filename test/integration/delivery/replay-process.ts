/** Carries out replays in a process of its own, slowly, for a test that kills it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { carryReplayBatch } from '../../../src/delivery/replay-task.ts';
import { createTaskRunner } from '../../../src/delivery/tasks.ts';
import { createLog } from '../../../src/infra/log.ts';
import { createDatabase } from '../../../src/infra/postgres.ts';

const db = createDatabase({ url: process.env.REPLAY_DATABASE_URL ?? '', poolSize: 2, statementTimeoutSeconds: 10 });
createTaskRunner({
  db,
  carry: {
    snapshot: async () => ({ done: true, progress: null, deliveries: 0 }),
    async replay(tx, task, options) {
      const batch = await carryReplayBatch(tx, task, options);
      await sleep(10);
      return batch;
    },
  },
  now: () => new Date(),
  log: createLog({ level: 'silent' }),
  pollSeconds: 0.05,
  batchSize: 10,
}).start();
process.stdout.write('started\n');
