import { z } from 'zod';
import { declareOperations, describes, idSchema, momentSchema, pageSchema } from '../api-schema.ts';
import { deliveryQuery, type deliveryView } from './deliveries.ts';

const deliverySchema = describes<ReturnType<typeof deliveryView>>()(
  z
    .strictObject({
      event_id: z.string().describe('The `webhook-id`.'),
      type: z.string(),
      workspace_id: idSchema.nullable(),
      user_id: idSchema.nullable(),
      status: z.enum(['waiting', 'exhausted']).describe('`exhausted`: every attempt failed; a replay begins anew.'),
      attempts: z.int().min(0).describe('Made so far.'),
      last_status: z.int().nullable().describe('HTTP status of the last attempt; null: there was no answer, or no attempt.'),
      last_error: z.string().nullable().describe('Stable word for what went wrong.'),
      created_at: momentSchema,
      next_attempt_at: momentSchema
        .nullable()
        .describe('Null: an earlier event of the same member goes first, or there is no further attempt.'),
    })
    .meta({ id: 'Delivery', description: 'An event on its way to an endpoint. Once delivered it is found among the attempts.' }),
);

export const deliveryOperations = declareOperations('Webhook endpoints', [
  {
    method: 'get',
    path: '/endpoints/{endpoint_id}/deliveries',
    summary: 'List what waits or is exhausted at an endpoint',
    description: 'Member by member, in the order of sending; with `status=exhausted` from the oldest on.',
    scope: 'instance',
    query: deliveryQuery,
    answers: { 200: pageSchema(deliverySchema) },
  },
]);
