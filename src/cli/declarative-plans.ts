import { isDeepStrictEqual } from 'node:util';
import { BrokerError } from '../domain/broker-error.ts';
import type { RoleLadder } from '../domain/group-sync.ts';
import type { Log } from '../infra/log.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { createPlans } from '../membership/plan.ts';
import type { Plan, PlanMember } from '../membership/plan-store.ts';
import type { Touched } from '../membership/plan-types.ts';
import { type ApplyDeps, type PreparedDeclaration, writeDeclaration } from './declarative-apply.ts';
import type { Change } from './declarative-change.ts';

export type DeclarationPlans = ReturnType<typeof createDeclarationPlans>;

const kind = 'declaration';
/** The longest time that a timer takes: a command waits for its plan. */
const waitMilliseconds = 2_147_483_647;
const membersPerPage = 500;
const progressMilliseconds = 1_000;

/**
 * Plans of a declarative file, by the machinery of the API's plans (R39): evaluated against everyone's last-seen groups, carried out
 * only in the world that was shown, in batches that can be interrupted and resumed. The plan itself names the file only, since its
 * content may hold secrets; whoever resumes one needs no file, as its changes are in force from the first moment.
 */
export function createDeclarationPlans(deps: {
  readonly db: Database;
  readonly ladder: RoleLadder;
  readonly prepared: PreparedDeclaration;
  readonly applyDeps: ApplyDeps;
  readonly file: string;
  readonly lossThresholdPercent: number;
  readonly now: () => Date;
  readonly log: Log;
  /** Calls `stop` when a person interrupts the command; returns what takes that back. */
  readonly onInterrupt?: (stop: () => void) => () => void;
}) {
  const { db, prepared, applyDeps } = deps;
  let changes: readonly Change[] = [];
  let shown: readonly Change[] | null = null;

  async function writeChange(tx: Transaction): Promise<Touched> {
    const written = await writeDeclaration(tx, prepared, applyDeps);
    changes = written.changes;
    if (shown && !isDeepStrictEqual(changes.map(asShown), shown.map(asShown))) throw stale(shown, changes);
    return written.touched;
  }

  const plansWith = (settleMilliseconds: number) =>
    createPlans({ ...deps, writeChange, settleMilliseconds, waitMilliseconds, onChange: () => {}, onEvents: () => {} });
  const planning = plansWith(0);

  async function carryOut(
    plan: Plan,
    options: {
      readonly force: boolean;
      readonly settleMilliseconds: number;
      readonly onProgress?: (examined: number, total: number) => void;
    },
  ): Promise<number> {
    const total = plan.summary?.examined ?? 0;
    // With nobody to follow there is nothing to wait for.
    const applying = plansWith(total === 0 ? 0 : options.settleMilliseconds);
    // The batch under way ends; the next run goes on.
    const release = deps.onInterrupt?.(() => void applying.stop());
    const timer = setInterval(async () => {
      const { progress } = (await applying.get(plan.planId).catch(() => null)) ?? {};
      if (progress) options.onProgress?.(progress.examined, total);
    }, progressMilliseconds);
    try {
      await applying.apply(plan.planId, { hash: plan.hash ?? '', force: options.force });
    } finally {
      clearInterval(timer);
      release?.();
    }
    return (await applying.get(plan.planId))?.progress?.changed ?? 0;
  }

  return {
    /** @throws BrokerError with paths of the declaration, what writing it would */
    async create(): Promise<Plan> {
      shown = null;
      const plan = await planning.create({ kind, file: deps.file, prune: prepared.prune }, null);
      if (plan.status !== 'ready') throw new BrokerError('internal', `the plan is ${plan.status}`);
      shown = changes;
      return plan;
    },

    /** As of the last time that the file was written, be it on trial. */
    changes: (): readonly Change[] => changes,

    async *members(plan: Plan): AsyncGenerator<readonly PlanMember[]> {
      for (let after = 0; ; ) {
        const page = await planning.members(plan.planId, { after, limit: membersPerPage });
        if (page.length > 0) yield page;
        if (page.length < membersPerPage) return;
        after = page.at(-1)?.position ?? after;
      }
    },

    /**
     * @returns how many members changed in the batches
     * @throws BrokerError `conflict`: `plan_stale`, `plan_loss_threshold`; `unavailable` when it was interrupted
     */
    apply: carryOut,

    /** Goes on where an apply of a file, this one or another, was interrupted. */
    resume: (plan: Plan): Promise<number> => carryOut(plan, { force: true, settleMilliseconds: 0 }),

    /** Index: plans_pkey, newest first: one that is under way is among the newest. */
    async findUnfinished(): Promise<Plan | null> {
      const row = await db('plans')
        .where({ status: 'applying' })
        .whereRaw(`change->>'kind' = ?`, [kind])
        .orderBy('plan_id')
        .first<{ plan_id: string } | undefined>('plan_id');
      return row ? planning.get(row.plan_id) : null;
    },

    /** A plan that was only looked at leaves nothing behind. */
    async discard({ planId }: Plan): Promise<void> {
      await db.transaction(async (tx) => {
        await tx('plan_members').where({ plan_id: planId }).delete();
        await tx('plans').where({ plan_id: planId, status: 'ready' }).delete();
      });
    },
  };
}

function asShown({ subject, action, detail }: Change) {
  return [subject, action, detail ?? null];
}

/** Somebody changed, between the plan and its confirmation, what the file is about. */
function stale(before: readonly Change[], now: readonly Change[]): BrokerError {
  const known = new Set(before.map((change) => JSON.stringify(asShown(change))));
  const moved = now.filter((change) => !known.has(JSON.stringify(asShown(change))));
  const fields = moved.map(({ subject, action }) => ({
    path: subject,
    message: `now: ${action === 'none' ? 'no change' : action}`,
  }));
  return new BrokerError('conflict', 'the world moved since the plan was made: run it again', { reason: 'plan_stale', fields });
}
