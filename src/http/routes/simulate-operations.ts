import { z } from 'zod';
import { declareOperations, describes, idSchema } from '../api-schema.ts';
import { reasonSchema, warningSchema } from './members-operations.ts';
import { simulationInputSchema, type simulationView } from './simulate.ts';

const groupsSchema = z.array(z.strictObject({ id: idSchema, name: z.string() }));

const simulationSchema = z
  .strictObject({
    workspace: z.strictObject({ id: idSchema, slug: z.string() }),
    decision: z.enum(['grant', 'hold', 'deny']).describe('`hold`: the membership stays as it is.'),
    because: z.enum(['mapping', 'no_matching_group', 'groups_unknown', 'group_sync_off', 'last_admin']),
    claim: z.string(),
    idp_groups: z.array(z.string()).nullable().describe('The groups that it went by; null: not known.'),
    role: z.string().nullable(),
    groups: groupsSchema,
    reasons: z.array(reasonSchema),
    warnings: z.array(warningSchema),
    current: z.strictObject({ role: z.string(), groups: groupsSchema }).nullable(),
  })
  .meta({ id: 'Simulation' });
describes<Omit<ReturnType<typeof simulationView>, 'warnings'>>()(simulationSchema.omit({ warnings: true }));

export const simulationOperations = declareOperations('Simulations', [
  {
    method: 'post',
    path: '/simulations',
    summary: 'Simulate a login',
    description: 'What would these groups, or the groups last seen of this user, give? Writes nothing.',
    body: simulationInputSchema,
    answers: { 200: z.strictObject({ data: z.array(simulationSchema) }) },
    errors: ['not_found'],
    changes: false,
  },
]);
