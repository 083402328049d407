import { createDatabase } from '../../../src/infra/postgres.ts';
import { planningOn } from '../../support/planning.ts';

/** Applies a plan in small batches until it is killed: argv is the database's address, the plan and its hash. */
const [url = '', planId = '', hash = ''] = process.argv.slice(2);
const db = createDatabase({ url, poolSize: 4, statementTimeoutSeconds: 10 });
const sealedBox = { seal: (plain: string) => plain, open: (sealed: string) => sealed };
const { plans } = planningOn(db, { sealedBox, now: () => new Date() }, { membersPerBatch: 20 });
await plans.apply(planId, { hash, force: true });
await db.destroy();
