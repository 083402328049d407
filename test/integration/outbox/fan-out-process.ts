/** Fans out in a process of its own until it is told to end, and then says how many events passed through its hands. */
import { setTimeout as sleep } from 'node:timers/promises';
import { fanOut } from '../../../src/delivery/fan-out.ts';
import { createDatabase } from '../../../src/infra/postgres.ts';

const db = createDatabase({ url: process.env.FAN_OUT_DATABASE_URL ?? '', poolSize: 2, statementTimeoutSeconds: 10 });
let ending = false;
process.on('SIGTERM', () => {
  ending = true;
});
process.stdout.write('started\n');

let events = 0;
while (!ending) {
  const result = await fanOut(db, { batchEvents: 4 });
  if (result.kind === 'done') events += result.events;
  await sleep(1 + Math.random() * 3);
}
process.stdout.write(`${events}\n`);
await db.destroy();
