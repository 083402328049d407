import { z } from 'zod';
import { declareOperations, describes, idSchema, momentSchema, pageSchema } from '../api-schema.ts';
import { type attemptView, endpointAttemptQuery, eventAttemptQuery } from './attempts.ts';

const attemptSchema = describes<ReturnType<typeof attemptView>>()(
  z
    .strictObject({
      attempted_at: momentSchema,
      endpoint_id: idSchema,
      event_id: z.string().describe('The `webhook-id`.'),
      attempt: z.int().min(1).describe('1: the first.'),
      outcome: z
        .enum(['delivered', 'failed', 'exhausted'])
        .describe('`failed`: tried again later. `exhausted`: this was the last.'),
      status: z.int().nullable().describe('Of HTTP; null: there was no answer.'),
      error: z.string().nullable().describe('Stable word for what went wrong.'),
      duration_milliseconds: z.int().min(0),
      answer: z.string().nullable().describe("The first KiB of the answer's body; null: there was none, or it was erased."),
    })
    .meta({ id: 'DeliveryAttempt', description: 'One request to an endpoint, and what came of it.' }),
);

export const attemptOperations = declareOperations('Webhook endpoints', [
  {
    method: 'get',
    path: '/endpoints/{endpoint_id}/attempts',
    summary: "Read an endpoint's attempts, newest first",
    scope: 'instance',
    query: endpointAttemptQuery,
    answers: { 200: pageSchema(attemptSchema) },
  },
  {
    method: 'get',
    path: '/events/{event_id}/attempts',
    summary: 'Read the attempts to deliver an event, newest first',
    description: 'At every endpoint. Also of events that the log does not hold, such as tests.',
    scope: 'instance',
    params: { event_id: z.string() },
    query: eventAttemptQuery,
    answers: { 200: pageSchema(attemptSchema) },
  },
]);
