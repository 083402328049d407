import { BrokerError, toBrokerError } from '../domain/broker-error.ts';
import type { RoleLadder } from '../domain/group-sync.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { uniqueId } from '../infra/unique-id.ts';
import { createApplyPlan } from './plan-apply.ts';
import { evaluatePlan } from './plan-evaluation.ts';
import { type Overlay, tryChange } from './plan-overlay.ts';
import { countSeats, createPlanStore, type Plan } from './plan-store.ts';
import type { PlanCounts, PlanDeps, PlannedMember, WriteChange } from './plan-types.ts';
import { planHash, readWorld } from './plan-world.ts';

export type Plans = ReturnType<typeof createPlans>;

/** A plan stays; whom it was about is forgotten after so long. */
const keptDays = 30;
/** An evaluation keeps one connection to Postgres busy. */
const maxEvaluations = 2;

/** Plans: evaluated against everyone's last-seen groups, kept, and carried out by their hash (R39). */
export function createPlans(deps: PlanDeps) {
  const { db, now, log } = deps;
  const store = createPlanStore({ db, now });
  const work = new Set<Promise<unknown>>();
  let evaluations = 0;
  const applyPlan = createApplyPlan({ ...deps, track });

  /** Keeps the process waiting for what goes on after its request was answered. */
  function track<Result>(promise: Promise<Result>): Promise<Result> {
    work.add(promise);
    promise.catch(() => undefined).finally(() => work.delete(promise));
    return promise;
  }

  async function evaluate(planId: string, change: unknown): Promise<void> {
    evaluations += 1;
    try {
      let position = 1;
      const sink = async (members: readonly PlannedMember[]) => {
        await store.insertMembers(planId, members, position);
        position += members.length;
      };
      await inSnapshot(db, async (tx) => {
        const overlay = await tryChange(tx, (trial) => deps.writeChange(trial, change));
        const { workspaceIds, touched } = overlay;
        const world = await readWorld(tx, { workspaceIds, connectionIds: touched.connectionIds });
        const counts = await evaluatePlan(tx, overlay, { ladder: deps.ladder, sink });
        const summary = { ...counts, seats: await countSeats(db, planId), lossPercent: lossPercent(counts) };
        await store.finish(planId, { world, hash: planHash(change, world), summary });
      });
    } catch (error) {
      await store.fail(planId).catch((failure: unknown) => log.warn({ planId, err: failure }, 'a plan stays unfinished'));
      throw error;
    } finally {
      evaluations -= 1;
    }
  }

  return {
    get: store.find,
    list: store.list,
    members: store.members,
    apply: applyPlan,

    /**
     * Evaluates a change. The plan is `evaluating` if that takes longer than a request should.
     * @param workspaceId the one workspace that it concerns; null: several, or the instance
     * @throws BrokerError what making the change would; `rate_limited` while too many are evaluated
     */
    async create(change: unknown, workspaceId: string | null): Promise<Plan> {
      if (evaluations >= maxEvaluations) {
        throw new BrokerError('rate_limited', 'other plans are being evaluated', { reason: 'plans_busy' });
      }
      await store.forgetMembers(new Date(now().getTime() - keptDays * 86_400_000));
      const planId = uniqueId(now());
      await store.insert({ planId, workspaceId, change });
      const evaluation = track(evaluate(planId, change));
      await settledWithin(evaluation, deps.waitMilliseconds);
      evaluation.catch((error: unknown) => {
        const { code, reason } = toBrokerError(error);
        if (code === 'internal') log.error({ planId, code, reason, err: error }, 'a plan could not be evaluated');
      });
      return (await store.find(planId)) as Plan;
    },

    /** Lets batches and evaluations under way end; an apply goes on where it was when it is asked for again. */
    async stop(): Promise<void> {
      applyPlan.stop();
      await Promise.allSettled([...work]);
    },
  };
}

/**
 * What a change would do, without keeping it: for the command line. `write` is taken back.
 * @param sink takes the memberships that would change, a page at a time
 */
export async function previewChange(
  tx: Transaction,
  write: WriteChange,
  options: { readonly ladder: RoleLadder; readonly sink: (members: readonly PlannedMember[]) => Promise<void> },
): Promise<{ readonly counts: PlanCounts; readonly overlay: Overlay }> {
  const overlay = await tryChange(tx, write);
  return { counts: await evaluatePlan(tx, overlay, options), overlay };
}

/** The share of the members with access who would lose something, in percent, to one place. Pure. */
export function lossPercent({ members, losing }: Pick<PlanCounts, 'members' | 'losing'>): number {
  return members === 0 ? 0 : Math.round((losing * 1_000) / members) / 10;
}

const snapshotAttempts = 3;

/** Everything that the callback reads is of one moment; it is called again when a row that it locks has changed since. */
export async function inSnapshot<Result>(db: Database, act: (tx: Transaction) => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await db.transaction(act, { isolationLevel: 'repeatable read' });
    } catch (error) {
      // SQLSTATE 40001, serialization_failure.
      if ((error as { code?: unknown }).code !== '40001') throw error;
      if (attempt === snapshotAttempts) {
        throw new BrokerError('conflict', 'what the plan is about is being changed', { cause: error, reason: 'world_moving' });
      }
    }
  }
}

/** Waits so long for a promise, and passes on its error; later ones are the caller's. */
export async function settledWithin(promise: Promise<unknown>, milliseconds: number): Promise<void> {
  const { promise: timeout, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  await Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}
