import { z } from 'zod';
import { declareOperations, describes, idSchema, momentSchema, pageSchema } from '../api-schema.ts';
import { type endpointSnapshotView, snapshotListQuery, snapshotRequestSchema } from './endpoint-snapshots.ts';

const snapshotSchema = describes<ReturnType<typeof endpointSnapshotView>>()(
  z
    .strictObject({
      snapshot_id: idSchema,
      endpoint_id: idSchema,
      include_removed: z.boolean(),
      status: z
        .enum(['waiting', 'done', 'failed'])
        .describe('`done`: every event is made and on its way. `failed`: given up; ask for another one.'),
      events: z.int().min(0).describe('Made so far.'),
      created_at: momentSchema,
      updated_at: momentSchema,
    })
    .meta({ id: 'EndpointSnapshot', description: 'Every member, sent to one endpoint as `membership.snapshot` events.' }),
);

export const endpointSnapshotOperations = declareOperations('Webhook endpoints', [
  {
    method: 'post',
    path: '/endpoints/{endpoint_id}/snapshots',
    summary: 'Send an endpoint every member',
    description: `Every current member of the endpoint's workspaces is sent as a \`membership.snapshot\` event, whatever event types the
endpoint wants. Changes go on being sent meanwhile; the events of one member stay in the order of their versions. For a new endpoint give
\`snapshot\` when you create it. After an endpoint was disabled, ask for one with \`include_removed\`.`,
    scope: 'instance',
    body: snapshotRequestSchema,
    answers: { 202: snapshotSchema },
    errors: ['conflict'],
  },
  {
    method: 'get',
    path: '/endpoints/{endpoint_id}/snapshots',
    summary: "List an endpoint's snapshots, newest first",
    scope: 'instance',
    query: snapshotListQuery,
    answers: { 200: pageSchema(snapshotSchema) },
  },
  {
    method: 'get',
    path: '/endpoints/{endpoint_id}/snapshots/{snapshot_id}',
    summary: 'Read how far a snapshot is',
    scope: 'instance',
    answers: { 200: snapshotSchema },
  },
]);
