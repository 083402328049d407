import { BrokerError } from '../domain/broker-error.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { isUniqueId } from '../infra/unique-id.ts';
import type { PlannedMember, PlanSummary } from './plan-types.ts';
import type { World } from './plan-world.ts';

export interface Plan {
  readonly planId: string;
  /** The one workspace that it concerns; null: for keys of instance scope. */
  readonly workspaceId: string | null;
  readonly status: 'evaluating' | 'ready' | 'failed' | 'applying' | 'applied';
  readonly change: unknown;
  readonly world: World | null;
  readonly hash: string | null;
  readonly summary: PlanSummary | null;
  readonly progress: PlanProgress | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Where the next batch of an apply begins, and what the ones before it did. */
export interface PlanProgress {
  readonly workspaceIds: readonly string[];
  readonly deletedGroupIds: readonly string[];
  /** Index into `workspaceIds`. */
  readonly workspace: number;
  /** First those who gain the highest role, so that no workspace is without for a moment; then everyone. */
  readonly phase: 'admins' | 'everyone';
  /** Cursor within the phase; null: from its start. */
  readonly after: string | null;
  readonly examined: number;
  readonly changed: number;
}

export interface PlanMember extends PlannedMember {
  readonly position: number;
  readonly email: string | null;
  readonly name: string | null;
  readonly workspaceSlug: string;
}

export interface PlanMemberFilter {
  readonly effect?: 'gains' | 'loses' | undefined;
  /** Only those who gain, lose or keep the highest role. */
  readonly admins?: boolean | undefined;
}

export type PlanStore = ReturnType<typeof createPlanStore>;

const rowsPerDeletion = 20_000;
const evaluationMilliseconds = 15 * 60 * 1_000;

export function createPlanStore({ db, now }: { readonly db: Database; readonly now: () => Date }) {
  /** An evaluation that takes this long died with its process. */
  const settled = (plan: Plan): Plan =>
    plan.status === 'evaluating' && now().getTime() - plan.createdAt.getTime() > evaluationMilliseconds
      ? { ...plan, status: 'failed' }
      : plan;

  return {
    async insert(plan: Pick<Plan, 'planId' | 'workspaceId' | 'change'>): Promise<void> {
      await db('plans').insert({
        plan_id: plan.planId,
        workspace_id: plan.workspaceId,
        status: 'evaluating',
        change: JSON.stringify(plan.change),
        created_at: now(),
        updated_at: now(),
      });
    },

    /** Index: plans_pkey. */
    async find(planId: string): Promise<Plan | null> {
      if (!isUniqueId(planId)) return null;
      const row = await db('plans').where({ plan_id: planId }).first();
      return row ? settled(planOf(row)) : null;
    },

    /** Newest first. Indexes: plans_pkey, plans_by_workspace. */
    async list(query: { workspaceId: string | null; after?: string | undefined; limit: number }): Promise<readonly Plan[]> {
      const rows = db('plans').orderBy('plan_id', 'desc').limit(query.limit);
      if (query.workspaceId !== null) rows.where({ workspace_id: query.workspaceId });
      if (query.after !== undefined) rows.where('plan_id', '<', query.after);
      return (await rows).map(planOf).map(settled);
    },

    /** @param from position of the first one */
    async insertMembers(planId: string, members: readonly PlannedMember[], from: number): Promise<void> {
      if (members.length === 0) return;
      const records = members.map((member, index) => ({ ...member, position: from + index }));
      await db.raw(
        `INSERT INTO plan_members (plan_id, position, workspace_id, user_id, type, gains, loses, admin, role_before, role_after,
                                   added, removed)
         SELECT :planId, r.position, r."workspaceId", r."userId", r.type, r.gains, r.loses, r.admin, r."roleBefore", r."roleAfter",
                r.added, r.removed
           FROM jsonb_to_recordset(:records::jsonb) AS r (position bigint, "workspaceId" uuid, "userId" uuid, type text,
                  gains boolean, loses boolean, admin text, "roleBefore" text, "roleAfter" text, added jsonb, removed jsonb)`,
        { planId, records: JSON.stringify(records) },
      );
    },

    /** Index: plan_members_pkey. */
    async members(
      planId: string,
      page: PlanMemberFilter & { readonly after: number; readonly limit: number },
    ): Promise<readonly PlanMember[]> {
      const { rows } = await db.raw<{ rows: Record<string, unknown>[] }>(
        `SELECT p.*, u.email, u.name, w.slug FROM plan_members p
           JOIN users u ON u.user_id = p.user_id JOIN workspaces w ON w.workspace_id = p.workspace_id
          WHERE p.plan_id = :planId AND p.position > :after
            AND (:effect::text IS NULL OR (:effect = 'gains' AND p.gains) OR (:effect = 'loses' AND p.loses))
            AND (NOT :admins OR p.admin IS NOT NULL)
          ORDER BY p.position LIMIT :limit`,
        { planId, after: page.after, limit: page.limit, effect: page.effect ?? null, admins: page.admins ?? false },
      );
      return rows.map(memberOf);
    },

    async finish(planId: string, done: { world: World; hash: string; summary: PlanSummary }): Promise<void> {
      await db('plans')
        .where({ plan_id: planId, status: 'evaluating' })
        .update({
          status: 'ready',
          world: JSON.stringify(done.world),
          hash: done.hash,
          summary: JSON.stringify(done.summary),
          updated_at: now(),
        });
    },

    /** A bounded part of the rows of old plans, which name people. Indexes: plans_pkey, plan_members_pkey. */
    async forgetMembers(before: Date): Promise<void> {
      await db.raw(
        `DELETE FROM plan_members WHERE (plan_id, position) IN (
           SELECT m.plan_id, m.position FROM plans p JOIN plan_members m ON m.plan_id = p.plan_id
            WHERE p.created_at < ? AND p.status <> 'applying' LIMIT ?)`,
        [before, rowsPerDeletion],
      );
    },

    async fail(planId: string): Promise<void> {
      await db('plans').where({ plan_id: planId, status: 'evaluating' }).update({ status: 'failed', updated_at: now() });
    },
  };
}

/** Locks a plan until the transaction ends: batches of one apply follow one another, whoever carries them out. */
export async function lockPlan(tx: Transaction, planId: string): Promise<Plan> {
  const row = await tx('plans').where({ plan_id: planId }).forUpdate().first();
  if (!row) throw new BrokerError('not_found', 'there is no such plan');
  return planOf(row);
}

export async function saveProgress(
  tx: Transaction,
  planId: string,
  { status, progress, now }: { readonly status: Plan['status']; readonly progress: PlanProgress; readonly now: Date },
): Promise<void> {
  await tx('plans')
    .where({ plan_id: planId })
    .update({ status, progress: JSON.stringify(progress), updated_at: now });
}

/** Those who gain the highest role, in the order of their positions. Index: plan_members_pkey. */
export async function nextPromoted(
  tx: Transaction,
  planId: string,
  page: { readonly workspaceId: string; readonly after: string | null; readonly limit: number },
): Promise<{ readonly userIds: readonly string[]; readonly last: string | null }> {
  const rows = await tx('plan_members')
    .where({ plan_id: planId, workspace_id: page.workspaceId, admin: 'gains' })
    .andWhere('position', '>', page.after ?? 0)
    .orderBy('position')
    .limit(page.limit)
    .select<{ user_id: string; position: number }[]>('user_id', 'position');
  return { userIds: rows.map(({ user_id }) => user_id), last: rows.length > 0 ? String(rows.at(-1)?.position) : null };
}

/**
 * Users with access anywhere, now and once the plan is carried out. In one pass over all of it: a join could take an hour where the
 * planner knows nothing yet of rows that were written a moment ago.
 */
export async function countSeats(db: Database, planId: string): Promise<{ before: number; after: number }> {
  const { rows } = await db.raw<{ rows: { before: string; after: string }[] }>(
    `WITH counted AS (
       SELECT sum(held) AS held, sum(step) AS step FROM (
         SELECT u.user_id, 1 AS active, 0 AS held, 0 AS step FROM users u WHERE u.status = 'active'
         UNION ALL SELECT m.user_id, 0, 1, 0 FROM memberships m WHERE m.status = 'active'
         UNION ALL SELECT p.user_id, 0, 0, CASE p.type WHEN 'membership.created' THEN 1 ELSE -1 END
           FROM plan_members p WHERE p.plan_id = ? AND p.type <> 'membership.updated') AS parts
        GROUP BY user_id HAVING sum(active) > 0)
     SELECT count(*) FILTER (WHERE held > 0) AS before, count(*) FILTER (WHERE held + step > 0) AS after FROM counted`,
    [planId],
  );
  return { before: Number(rows[0]?.before ?? 0), after: Number(rows[0]?.after ?? 0) };
}

function planOf(row: Record<string, unknown>): Plan {
  return {
    planId: row.plan_id as string,
    workspaceId: row.workspace_id as string | null,
    status: row.status as Plan['status'],
    change: row.change,
    world: row.world as World | null,
    hash: row.hash as string | null,
    summary: row.summary as PlanSummary | null,
    progress: row.progress as PlanProgress | null,
    createdAt: row.created_at as Date,
    updatedAt: row.updated_at as Date,
  };
}

function memberOf(row: Record<string, unknown>): PlanMember {
  return {
    position: Number(row.position),
    workspaceId: row.workspace_id as string,
    workspaceSlug: row.slug as string,
    userId: row.user_id as string,
    email: row.email as string | null,
    name: row.name as string | null,
    type: row.type as PlanMember['type'],
    gains: row.gains as boolean,
    loses: row.loses as boolean,
    admin: row.admin as PlanMember['admin'],
    roleBefore: row.role_before as string | null,
    roleAfter: row.role_after as string | null,
    added: row.added as PlanMember['added'],
    removed: row.removed as PlanMember['removed'],
  };
}
