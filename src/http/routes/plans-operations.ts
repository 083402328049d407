import { z } from 'zod';
import { declareOperations, describes, idSchema, momentSchema, pageSchema } from '../api-schema.ts';
import {
  planApplySchema,
  planInputSchema,
  planListQuery,
  planMembersQuery,
  type planMemberView,
  type planView,
} from './plans.ts';

const count = z.int();
const namedSchema = z.strictObject({ id: idSchema, name: z.string() });

const summarySchema = z.strictObject({
  examined: count.describe('Members, and users whom a connection of the workspace knows.'),
  members: count.describe('Among them with access before.'),
  changed: count,
  gaining: count,
  losing: count,
  created: count,
  removed: count,
  unknown: count.describe('Left as they are, because their groups are not known.'),
  admins: z.strictObject({ before: count, after: count, gaining: count, losing: count, kept: count }),
  seats: z.strictObject({ before: count, after: count }).describe('Users with access to any workspace.'),
  loss_percent: z.number(),
  loss_threshold_percent: z.number(),
  needs_force: z.boolean(),
});

const planSchema = describes<ReturnType<typeof planView>>()(
  z
    .strictObject({
      plan_id: idSchema,
      workspace_id: idSchema.nullable().describe('The one workspace that it concerns; null: for keys of instance scope.'),
      status: z.enum(['evaluating', 'ready', 'failed', 'applying', 'applied']),
      change: z.record(z.string(), z.unknown()),
      hash: z.string().nullable().describe('What apply carries; null until the plan is ready.'),
      summary: summarySchema.nullable(),
      progress: z.strictObject({ examined: count, changed: count, total: count }).nullable(),
      created_at: momentSchema,
      updated_at: momentSchema,
    })
    .meta({ id: 'Plan', description: 'What a change would do to everyone, by the groups last seen.' }),
);

const planMemberSchema = describes<ReturnType<typeof planMemberView>>()(
  z
    .strictObject({
      workspace: z.strictObject({ id: idSchema, slug: z.string() }),
      user: z.strictObject({ id: idSchema, email: z.string().nullable(), name: z.string().nullable() }),
      type: z.enum(['membership.created', 'membership.updated', 'membership.removed']),
      gains: z.boolean(),
      loses: z.boolean(),
      admin: z.enum(['gains', 'loses', 'kept']).nullable(),
      role: z.strictObject({ before: z.string().nullable(), after: z.string().nullable() }),
      added: z.array(namedSchema).readonly(),
      removed: z.array(namedSchema).readonly(),
    })
    .meta({ id: 'PlanMember', description: 'A membership that the plan would change.' }),
);

export const planOperations = declareOperations('Plans', [
  {
    method: 'post',
    path: '/plans',
    summary: 'Plan a change of mapping, settings or catalogue',
    description:
      'Nothing changes. The answer is 202 with the status `evaluating` when the evaluation takes longer; read the plan again then.',
    body: planInputSchema,
    answers: { 201: planSchema, 202: planSchema },
    errors: ['not_found', 'conflict', 'rate_limited'],
  },
  {
    method: 'get',
    path: '/plans',
    summary: 'List plans, newest first',
    query: planListQuery,
    answers: { 200: pageSchema(planSchema) },
  },
  { method: 'get', path: '/plans/{plan_id}', summary: 'Read a plan and its progress', answers: { 200: planSchema } },
  {
    method: 'get',
    path: '/plans/{plan_id}/members',
    summary: 'List the memberships that a plan would change',
    query: planMembersQuery,
    answers: { 200: pageSchema(planMemberSchema) },
  },
  {
    method: 'post',
    path: '/plans/{plan_id}/apply',
    summary: 'Carry a plan out, or go on with it',
    description: 'Refused with what moved in `errors` (reason `plan_stale`), and above the loss threshold without `force`.',
    body: planApplySchema,
    answers: { 200: planSchema, 202: planSchema },
    errors: ['conflict'],
  },
]);
