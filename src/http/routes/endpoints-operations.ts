import { z } from 'zod';
import { eventTypes } from '../../outbox/event-schema.ts';
import { declareOperations, describes, idSchema, momentSchema } from '../api-schema.ts';
import { endpointInputSchema, endpointPatchSchema, type endpointView } from './endpoints.ts';

const endpointSchema = describes<ReturnType<typeof endpointView>>()(
  z
    .strictObject({
      endpoint_id: idSchema,
      url: z.string(),
      description: z.string(),
      event_types: z.array(z.enum(eventTypes)).nullable().describe('Null: all.'),
      workspace_ids: z.array(idSchema).nullable().describe('Null: all.'),
      enabled: z.boolean(),
      disabled_reason: z.enum(['request', 'gone']).nullable().describe('`gone`: the receiver answered 410.'),
      created_at: momentSchema,
      updated_at: momentSchema,
    })
    .meta({ id: 'Endpoint', description: 'Where webhooks are sent.' }),
);
const withSecret = endpointSchema.extend({ secret: z.string().describe('Signs the webhooks. Shown this once.') });
// What the document says of addresses holds in production.
const options = { allowHttp: false };

export const endpointOperations = declareOperations('Webhook endpoints', [
  {
    method: 'get',
    path: '/endpoints',
    summary: 'List endpoints',
    scope: 'instance',
    answers: { 200: z.strictObject({ data: z.array(endpointSchema), next_cursor: z.null() }) },
  },
  {
    method: 'post',
    path: '/endpoints',
    summary: 'Create an endpoint',
    scope: 'instance',
    body: endpointInputSchema(options),
    answers: { 201: withSecret.meta({ id: 'EndpointWithSecret' }) },
  },
  {
    method: 'get',
    path: '/endpoints/{endpoint_id}',
    summary: 'Read an endpoint',
    scope: 'instance',
    answers: { 200: endpointSchema },
    etag: true,
  },
  {
    method: 'patch',
    path: '/endpoints/{endpoint_id}',
    summary: 'Change an endpoint',
    scope: 'instance',
    body: endpointPatchSchema(options),
    answers: { 200: endpointSchema },
    errors: ['conflict'],
    etag: true,
  },
  {
    method: 'delete',
    path: '/endpoints/{endpoint_id}',
    summary: 'Remove an endpoint',
    scope: 'instance',
    answers: { 204: null },
    etag: true,
  },
]);
