import { z } from 'zod';
import { declareOperations, describes, idSchema, momentSchema, pageSchema } from '../api-schema.ts';
import { replayListQuery, replaySchema, type replayView } from './replays.ts';

const replayAnswer = describes<ReturnType<typeof replayView>>()(
  z
    .strictObject({
      replay_id: idSchema,
      endpoint_id: idSchema,
      filter: z
        .strictObject({
          events: z.array(z.string()).optional(),
          exhausted: z.literal(true).optional(),
          member: z.strictObject({ workspace_id: idSchema, user_id: idSchema }).optional(),
          from: momentSchema.nullable().optional(),
          to: momentSchema.nullable().optional(),
        })
        .describe('What is replayed.'),
      status: z
        .enum(['waiting', 'done', 'failed'])
        .describe('`done`: every delivery is made and on its way. `failed`: given up; ask for another one.'),
      deliveries: z.int().min(0).describe('Made so far.'),
      created_at: momentSchema,
      updated_at: momentSchema,
    })
    .meta({ id: 'Replay', description: 'Events that are sent to an endpoint once more.' }),
);

export const replayOperations = declareOperations('Webhook endpoints', [
  {
    method: 'post',
    path: '/endpoints/{endpoint_id}/replays',
    summary: 'Send events to an endpoint once more',
    description: `With the same \`webhook-id\` and body, in the background. The endpoint's types and workspaces apply. What waits to be
sent is left alone; what rests as exhausted begins anew. An older event goes before newer ones of the same member that wait: apply only
what has a newer \`version\` than what you have.`,
    scope: 'instance',
    body: replaySchema,
    answers: { 202: replayAnswer },
    errors: ['conflict'],
  },
  {
    method: 'get',
    path: '/endpoints/{endpoint_id}/replays',
    summary: "List an endpoint's replays, newest first",
    scope: 'instance',
    query: replayListQuery,
    answers: { 200: pageSchema(replayAnswer) },
  },
  {
    method: 'get',
    path: '/endpoints/{endpoint_id}/replays/{replay_id}',
    summary: 'Read how far a replay is',
    scope: 'instance',
    answers: { 200: replayAnswer },
  },
]);
