/**
 * A plan over many members of one workspace, and its apply: seconds and the largest memory of this process.
 *
 *   node test/bench/plan.ts                      100,000 members, 200 rules
 *   node test/bench/plan.ts --members 10000
 *
 * Every member has 10 groups; the planned mapping changes what a fifth of them get.
 */
import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { createLog } from '../../src/infra/log.ts';
import { migrate } from '../../src/infra/migrate.ts';
import { createDatabase } from '../../src/infra/postgres.ts';
import { migrationsFolder } from '../../src/main.ts';
import { createCatalogueStore } from '../../src/membership/catalogue-store.ts';
import type { Plan } from '../../src/membership/plan-store.ts';
import { aConnectionInput, connectionWorld } from '../support/connection-world.ts';
import { administer, withDatabase } from '../support/database-administration.ts';
import { fillIdentities } from '../support/plan-world.ts';
import { planningOn } from '../support/planning.ts';
import { startTestPostgres } from '../support/servers.ts';
import { ladder } from '../support/sync-builder.ts';
import { describeMachine, figuresOf } from './process-figures.ts';

const { values } = parseArgs({
  options: { members: { type: 'string', default: '100000' }, rules: { type: 'string', default: '200' } },
});
const [members, rules] = [Number(values.members), Number(values.rules)];
const now = () => new Date();
const figures = figuresOf(process.pid);

const postgres = await startTestPostgres();
const name = `bench_plan_${randomBytes(4).toString('hex')}`;
await administer(postgres.url, `CREATE DATABASE ${name}`);
const db = createDatabase({ url: withDatabase(postgres.url, name), poolSize: 5, statementTimeoutSeconds: 60 });
try {
  console.log(`Machine: ${describeMachine()}. Postgres: ${postgres.source}.`);
  await migrate(db, { folder: migrationsFolder, log: createLog({ level: 'warn' }) });
  await benchmark();
} finally {
  await db.destroy();
  await administer(postgres.url, `DROP DATABASE ${name} WITH (FORCE)`);
  await postgres.stop();
}

async function benchmark(): Promise<void> {
  const { connections, workspaces, sealedBox } = connectionWorld(db);
  const { workspaceId } = await workspaces.create({ slug: 'acme', displayName: 'Acme' });
  const groups = Array.from({ length: 40 }, (_, n) => ({ name: `group-${n}`, requiresRole: n % 4 === 0 ? 'builder' : null }));
  await createCatalogueStore({ db, roles: ladder, now }).upsert(workspaceId, groups);
  const mapping = (shift: number) =>
    Array.from({ length: rules }, (_, n) => `idp-${n} -> group-${(n + (n % 50 === 0 ? shift : 0)) % 40}`).join(', ');
  const input = aConnectionInput({ workspace: 'acme', group_sync: { enabled: true, mapping: 'nobody -> group-0' } });
  const { connectionId } = await connections.create(input);
  const tenGroups = `(SELECT jsonb_agg('idp-' || ((n + k * 7) % ${rules})) FROM generate_series(0, 9) AS k)`;
  await fillIdentities(db, connectionId, members, tenGroups);
  await db.raw('ANALYZE');
  const { plans } = planningOn(db, { sealedBox, now }, { waitMilliseconds: 3_600_000 });
  const change = (shift: number) => ({
    kind: 'connection',
    connection_id: connectionId,
    group_sync: { mapping: mapping(shift) },
  });

  console.log('step                                    seconds  members/s  peak RSS MiB  changed');
  for (const shift of [0, 3]) {
    const title = shift === 0 ? 'everyone new' : 'a fifth changes';
    const plan = await timed(`plan, ${title}`, () => plans.create(change(shift), workspaceId));
    await timed(`apply, ${title}`, async () => {
      await plans.apply(plan.planId, { hash: plan.hash as string, force: true });
      return (await plans.get(plan.planId)) as Plan;
    });
  }
  await plans.stop();
}

async function timed(title: string, step: () => Promise<Plan>): Promise<Plan> {
  figures.resetPeak();
  const startedAt = performance.now();
  const plan = await step();
  const seconds = (performance.now() - startedAt) / 1_000;
  const cells = [
    title.padEnd(38),
    seconds.toFixed(1).padStart(8),
    Math.round(members / seconds)
      .toString()
      .padStart(9),
    Math.round(figures.peakMebibytes()).toString().padStart(12),
    String(plan.summary?.changed).padStart(8),
  ];
  console.log(`${cells.join('  ')}   ${plan.status}`);
  return plan;
}
