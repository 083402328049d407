/** A delivery worker as a process of its own, for tests that kill it. Its parent gives the database and the sealing key. */
import { createDatabase } from '../../../src/infra/postgres.ts';
import { createDeliveryWorld } from '../../support/delivery-world.ts';

const { WORKER_DATABASE_URL: url = '', WORKER_SEALING_KEY: sealingKey = '' } = process.env;
const db = createDatabase({ url, poolSize: 4, statementTimeoutSeconds: 10 });
const worker = createDeliveryWorld(db, { sealingKeys: [sealingKey] }).worker({ leaseSeconds: 20, timeoutSeconds: 10 });
worker.start();
process.stdout.write('started\n');
