import { scopeOfChange, writePlannedChange } from '../../src/http/planned-change.ts';
import type { Database } from '../../src/infra/postgres.ts';
import { createPlans } from '../../src/membership/plan.ts';
import type { PlanDeps } from '../../src/membership/plan-types.ts';
import { createSimulate } from '../../src/membership/simulate.ts';
import { createExplainWhyNot } from '../../src/membership/why-not-store.ts';
import { quietLog } from './quiet-log.ts';
import { ladder } from './sync-builder.ts';

/** Plans, simulations and why-not on a real database. */
export function planningOn(
  db: Database,
  deps: Omit<Parameters<typeof writePlannedChange>[2], 'roles'>,
  overrides: Partial<PlanDeps> = {},
) {
  const change = { ...deps, roles: ladder };
  return {
    plans: createPlans({
      db,
      ladder,
      now: deps.now,
      log: quietLog,
      writeChange: (tx, given) => writePlannedChange(tx, given, change),
      lossThresholdPercent: 20,
      settleMilliseconds: 0,
      waitMilliseconds: 20_000,
      onChange: () => {},
      onEvents: () => {},
      ...overrides,
    }),
    planLossThresholdPercent: 20,
    scopeOfChange: (given: unknown) => scopeOfChange(db, given, change),
    simulate: createSimulate({ db, ladder }),
    explainWhyNot: createExplainWhyNot({ db, ladder }),
  };
}
