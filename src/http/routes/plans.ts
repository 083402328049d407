import { type Request, Router } from 'express';
import { z } from 'zod';
import { BrokerError } from '../../domain/broker-error.ts';
import { groupsForApp } from '../../domain/webhook-event.ts';
import { lossPercent, type Plans } from '../../membership/plan.ts';
import type { Plan, PlanMember } from '../../membership/plan-store.ts';
import type { PlanSummary } from '../../membership/plan-types.ts';
import { checkVisible, holderOf } from '../admin-auth.ts';
import { idPageQuery, pageOf, pageQuery, parseBody, parseQuery, pathId } from '../request-input.ts';

export interface PlanRouteDeps {
  readonly plans: Pick<Plans, 'create' | 'get' | 'list' | 'members' | 'apply'>;
  readonly planLossThresholdPercent: number;
  /** The one workspace that a change concerns; null: the instance. */
  readonly scopeOfChange: (change: unknown) => Promise<string | null>;
}

/** Plans (R39): what a change would do to everyone, and carrying it out. A workspace's key plans for its own workspace only (R13). */
export function createPlanRoutes(deps: PlanRouteDeps): Router {
  const { plans, scopeOfChange, planLossThresholdPercent } = deps;
  const router = Router();
  const view = (plan: Plan) => planView(plan, planLossThresholdPercent);

  router.post('/', async (req, res) => {
    const { change } = parseBody(planInputSchema, req);
    const workspaceId = await scopeOfChange(change);
    checkVisible(req, workspaceId);
    const plan = await plans.create(change, workspaceId);
    res
      .status(plan.status === 'ready' ? 201 : 202)
      .location(`/v1/plans/${plan.planId}`)
      .json(view(plan));
  });

  router.get('/', async (req, res) => {
    const { limit, after } = parseQuery(planListQuery, req);
    const rows = await plans.list({ workspaceId: holderOf(req).workspaceId, after, limit: limit + 1 });
    res.json(pageOf(rows, limit, { cursor: ({ planId }) => planId, view }));
  });

  router.get('/:plan_id', async (req, res) => {
    res.json(view(await visiblePlan(req)));
  });

  router.get('/:plan_id/members', async (req, res) => {
    const { planId } = await visiblePlan(req);
    const { limit, after, effect, admins } = parseQuery(planMembersQuery, req);
    const rows = await plans.members(planId, { after: after ?? 0, limit: limit + 1, effect, admins });
    res.json(pageOf(rows, limit, { cursor: ({ position }) => String(position), view: planMemberView }));
  });

  router.post('/:plan_id/apply', async (req, res) => {
    const { planId } = await visiblePlan(req);
    await plans.apply(planId, parseBody(planApplySchema, req));
    const plan = (await plans.get(planId)) as Plan;
    res.status(plan.status === 'applied' ? 200 : 202).json(view(plan));
  });

  return router;

  async function visiblePlan(req: Request): Promise<Plan> {
    const plan = await plans.get(pathId(req, 'plan_id'));
    if (!plan) throw new BrokerError('not_found', 'there is no such plan');
    checkVisible(req, plan.workspaceId);
    return plan;
  }
}

export const planInputSchema = z.strictObject({ change: z.record(z.string(), z.unknown()) });
export const planApplySchema = z.strictObject({
  hash: z.string().min(1).max(100),
  force: z.boolean().default(false),
});
export const planListQuery = z.strictObject(idPageQuery);
export const planMembersQuery = z.strictObject({
  ...pageQuery,
  after: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  effect: z.enum(['gains', 'loses']).optional(),
  admins: z
    .enum(['true', 'false'])
    .transform((value) => value === 'true')
    .optional(),
});

export function planView(plan: Plan, thresholdPercent: number) {
  const { summary, progress } = plan;
  return {
    plan_id: plan.planId,
    workspace_id: plan.workspaceId,
    status: plan.status,
    change: plan.change as Record<string, unknown>,
    hash: plan.hash,
    summary: summary && summaryView(summary, thresholdPercent),
    progress: progress && {
      examined: progress.examined,
      changed: progress.changed,
      total: summary?.examined ?? 0,
    },
    created_at: plan.createdAt.toISOString(),
    updated_at: plan.updatedAt.toISOString(),
  };
}

function summaryView(summary: PlanSummary, thresholdPercent: number) {
  const percent = lossPercent(summary);
  return {
    examined: summary.examined,
    members: summary.members,
    changed: summary.changed,
    gaining: summary.gaining,
    losing: summary.losing,
    created: summary.created,
    removed: summary.removed,
    unknown: summary.unknown,
    admins: summary.admins,
    seats: summary.seats,
    loss_percent: percent,
    loss_threshold_percent: thresholdPercent,
    needs_force: percent > thresholdPercent,
  };
}

export function planMemberView(member: PlanMember) {
  return {
    workspace: { id: member.workspaceId, slug: member.workspaceSlug },
    user: { id: member.userId, email: member.email, name: member.name },
    type: member.type,
    gains: member.gains,
    loses: member.loses,
    admin: member.admin,
    role: { before: member.roleBefore, after: member.roleAfter },
    added: groupsForApp(member.added),
    removed: groupsForApp(member.removed),
  };
}
