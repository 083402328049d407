import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerError } from '../domain/broker-error.ts';
import type { Transaction } from '../infra/postgres.ts';
import { compileCatalogue } from '../mapping/catalogue.ts';
import { nextUsers } from './plan-evaluation.ts';
import { loseGroups } from './plan-group-loss.ts';
import { lockPlan, nextPromoted, type Plan, type PlanProgress, saveProgress } from './plan-store.ts';
import type { PlanDeps, Touched } from './plan-types.ts';
import { lockWorld, readWorld, whatMoved } from './plan-world.ts';
import { reevaluateBatch } from './reevaluate.ts';
import { type Compiler, createCompiler } from './reevaluation-compiler.ts';
import { readConnectionsInForce } from './reevaluation-store.ts';

const defaultMembersPerBatch = 500;

export interface ApplyRequest {
  readonly hash: string;
  /** Carries it out although more than the threshold of the members lose something. */
  readonly force: boolean;
}

/**
 * Carries plans out: the change first, in one transaction with the proof that the world is as it was; then everyone in batches, each
 * one transaction with its events and the progress. Whatever interrupts it, asking again goes on with the next batch. Members are
 * evaluated anew by what is in force, so that a login in between is neither undone nor told twice.
 */
export function createApplyPlan(deps: PlanDeps & { readonly track: <Result>(promise: Promise<Result>) => Promise<Result> }) {
  const { db, ladder, now, log, onChange, onEvents, settleMilliseconds, lossThresholdPercent } = deps;
  const { membersPerBatch = defaultMembersPerBatch } = deps;
  const stopping = new AbortController();

  /**
   * @returns when the plan is carried out, or after the time that a request may take; then it goes on
   * @throws BrokerError `conflict`: reason `plan_hash_mismatch`, `plan_not_ready`, `plan_failed`, `plan_stale` (with what moved in
   * the fields), `plan_loss_threshold`; `not_found`
   */
  async function apply(planId: string, request: ApplyRequest): Promise<void> {
    const begun = await db.transaction((tx) => begin(tx, planId, request));
    if (begun === 'done') return;
    if (begun !== 'under way') onChange(begun);
    const run = deps.track(carryOut(planId, begun === 'under way' ? null : begun));
    run.catch((error: unknown) => log.warn({ planId, err: error }, 'an apply was interrupted; asking again goes on with it'));
    const { promise: timeout, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, deps.waitMilliseconds);
    await Promise.race([run, timeout]).finally(() => clearTimeout(timer));
  }

  async function begin(tx: Transaction, planId: string, { hash, force }: ApplyRequest): Promise<'done' | 'under way' | Touched> {
    const plan = await lockPlan(tx, planId);
    if (plan.status === 'evaluating' || plan.status === 'failed') {
      const reason = plan.status === 'failed' ? 'plan_failed' : 'plan_not_ready';
      throw new BrokerError('conflict', `the plan is ${plan.status}`, { reason });
    }
    if (plan.hash !== hash) {
      throw new BrokerError('conflict', 'the hash is not the one of this plan', {
        reason: 'plan_hash_mismatch',
        fields: [{ path: 'hash', message: 'give the hash of the plan as it was read' }],
      });
    }
    if (plan.status === 'applied') return 'done';
    if (plan.status === 'applying') return 'under way';
    await checkWorld(tx, plan);
    checkLoss(plan, force, lossThresholdPercent);
    const touched = await deps.writeChange(tx, plan.change);
    const workspaceIds = plan.world?.workspaces.map(({ id }) => id) ?? [];
    const progress: PlanProgress = {
      workspaceIds,
      deletedGroupIds: touched.deletedGroupIds,
      workspace: 0,
      phase: 'admins',
      after: null,
      examined: 0,
      changed: 0,
    };
    await saveProgress(tx, planId, { status: 'applying', progress, now: now() });
    return touched;
  }

  async function carryOut(planId: string, fresh: Touched | null): Promise<void> {
    // Logins under way may go by what was in force before, and would be overtaken by their own batch.
    if (fresh) await sleep(settleMilliseconds, undefined, { signal: stopping.signal });
    const compile = createCompiler();
    for (;;) {
      if (stopping.signal.aborted) throw new BrokerError('unavailable', 'the process stops', { reason: 'stopping' });
      const step = await db.transaction((tx) => carryOutBatch(tx, planId, compile));
      if (step.changed > 0) onEvents();
      if (!step.finished) continue;
      onChange({ connectionIds: [], workspaceIds: step.finished.workspaceIds, deletedGroupIds: [] });
      return;
    }
  }

  async function carryOutBatch(
    tx: Transaction,
    planId: string,
    shared: Compiler,
  ): Promise<{ readonly changed: number; readonly finished: PlanProgress | null }> {
    const { status, progress } = await lockPlan(tx, planId);
    if (status !== 'applying' || !progress) return { changed: 0, finished: progress };
    const workspaceId = progress.workspaceIds[progress.workspace];
    if (workspaceId === undefined) {
      await saveProgress(tx, planId, { status: 'applied', progress, now: now() });
      return { changed: 0, finished: progress };
    }
    const compile = withoutGroups(shared, progress.deletedGroupIds);
    const { userIds, next } = await nextBatch(tx, planId, workspaceId, { progress, limit: membersPerBatch });
    const batch = { workspaceId, userIds, cause: 'plan', everyone: true } as const;
    const done = await reevaluateBatch(tx, batch, { ladder, compile, now: now() });
    let changed = done.changed;
    const deleted = { workspaceId, groupIds: progress.deletedGroupIds, cause: 'plan' as const, now: now() };
    if (progress.phase === 'everyone' && deleted.groupIds.length > 0) {
      changed += await loseGroups(tx, { ...deleted, userIds });
      if (next.workspace > progress.workspace) changed += await deleteGroups(tx, deleted);
    }
    const examined = progress.examined + (progress.phase === 'everyone' ? done.examined : 0);
    const moved = { ...next, examined, changed: progress.changed + changed };
    await saveProgress(tx, planId, { status: 'applying', progress: moved, now: now() });
    return { changed, finished: null };
  }

  return Object.assign(apply, { stop: () => stopping.abort() });
}

/** The groups themselves go last, with those who were given one by a login in between. */
async function deleteGroups(tx: Transaction, deleted: Omit<Parameters<typeof loseGroups>[1], 'userIds'>): Promise<number> {
  const { workspaceId, groupIds, now } = deleted;
  await tx('workspaces')
    .where({ workspace_id: workspaceId })
    .update({ catalogue_version: tx.raw('catalogue_version + 1'), updated_at: now });
  const lost = await loseGroups(tx, { ...deleted, userIds: null });
  await tx('app_groups')
    .where({ workspace_id: workspaceId })
    .whereIn('group_id', [...groupIds])
    .delete();
  return lost;
}

async function checkWorld(tx: Transaction, { world }: Plan): Promise<void> {
  if (!world) throw new BrokerError('internal', 'a plan that is ready knows its world');
  await lockWorld(tx, world);
  const now = await readWorld(tx, {
    workspaceIds: world.workspaces.map(({ id }) => id),
    connectionIds: world.connections.map(({ id }) => id),
  });
  const moved = whatMoved(world, now);
  if (moved.length === 0) return;
  throw new BrokerError('conflict', 'the world moved since the plan was made', { reason: 'plan_stale', fields: moved });
}

function checkLoss({ summary }: Plan, force: boolean, thresholdPercent: number): void {
  if (!summary || force || summary.lossPercent <= thresholdPercent) return;
  const { losing, members, lossPercent } = summary;
  const message = `${losing} of ${members} members (${lossPercent} %) lose something; more than ${thresholdPercent} % need "force": true`;
  throw new BrokerError('conflict', message, { reason: 'plan_loss_threshold', fields: [{ path: 'force', message }] });
}

/** The users of the next batch, and the progress after it. */
async function nextBatch(
  tx: Transaction,
  planId: string,
  workspaceId: string,
  { progress, limit }: { readonly progress: PlanProgress; readonly limit: number },
): Promise<{ readonly userIds: readonly string[]; readonly next: PlanProgress }> {
  const { phase, after } = progress;
  if (phase === 'admins') {
    const { userIds, last } = await nextPromoted(tx, planId, { workspaceId, after, limit });
    if (userIds.length === limit) return { userIds, next: { ...progress, after: last } };
    return { userIds, next: { ...progress, phase: 'everyone', after: null } };
  }
  const connections = await readConnectionsInForce(tx, workspaceId);
  const holders = { workspaceId, groupIds: progress.deletedGroupIds };
  const userIds = await nextUsers(tx, { connectionIds: [...connections.keys()], holders, after, limit });
  if (userIds.length === limit) return { userIds, next: { ...progress, after: userIds.at(-1) ?? null } };
  return { userIds, next: { ...progress, workspace: progress.workspace + 1, phase: 'admins', after: null } };
}

/** Evaluates as if these groups were gone: members lose them, with an event that names them, before the groups are deleted. */
function withoutGroups(compile: Compiler, groupIds: readonly string[]): Compiler {
  if (groupIds.length === 0) return compile;
  const gone = new Set(groupIds);
  return {
    ...compile,
    async workspace(tx, workspaceId) {
      const whole = await compile.workspace(tx, workspaceId);
      const rows = await tx('app_groups')
        .where({ workspace_id: workspaceId })
        .select('group_id as groupId', 'name', 'requires_role as requiresRole');
      return { ...whole, catalogue: compileCatalogue(rows.filter(({ groupId }: { groupId: string }) => !gone.has(groupId))) };
    },
  };
}
