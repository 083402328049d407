import { z } from 'zod';
import { eventTypes } from '../../outbox/event-schema.ts';
import { declareOperations, describes, idSchema, momentSchema } from '../api-schema.ts';
import {
  endpointCreationSchema,
  endpointPatchSchema,
  type endpointView,
  type healthView,
  type newSecretView,
  secretRotationSchema,
  type testView,
} from './endpoints.ts';

const disabledReason = z
  .enum(['request', 'gone', 'failing'])
  .nullable()
  .describe('`gone`: the receiver answered 410; `failing`: nothing succeeded for as long as attempts are made.');

const endpointSchema = describes<ReturnType<typeof endpointView>>()(
  z
    .strictObject({
      endpoint_id: idSchema,
      url: z.string(),
      description: z.string(),
      event_types: z.array(z.enum(eventTypes)).nullable().describe('Null: all.'),
      workspace_ids: z.array(idSchema).nullable().describe('Null: all.'),
      enabled: z.boolean(),
      disabled_reason: disabledReason,
      header_names: z.array(z.string()).describe('Sent with every delivery; their values are shown to nobody.'),
      rate_limit_per_second: z.int().nullable().describe('Null: as many attempts as there are to make.'),
      max_concurrency: z.int().nullable().describe('Requests under way at a time; null: as many as the workers make.'),
      created_at: momentSchema,
      updated_at: momentSchema,
    })
    .meta({ id: 'Endpoint', description: 'Where webhooks are sent.' }),
);
const withSecret = endpointSchema.extend({ secret: z.string().describe('Signs the webhooks. Shown this once.') });
const newSecretSchema = describes<ReturnType<typeof newSecretView>>()(
  z
    .strictObject({
      secret: z.string().describe('Shown this once.'),
      old_secrets_until: momentSchema.nullable().describe('When the last of the secrets before ends; null: they have ended.'),
    })
    .meta({ id: 'EndpointSecret', description: 'What signs the webhooks of an endpoint from now on.' }),
);
const testSchema = describes<ReturnType<typeof testView>>()(
  z
    .strictObject({ event_id: z.string().describe('Its `webhook-id`; find it among the attempts of the endpoint.') })
    .meta({ id: 'EndpointTest', description: 'A test event on its way.' }),
);

const boundedCount = z
  .strictObject({ count: z.int().min(0), exact: z.boolean() })
  .describe('Counted up to 10,000; `exact` is false when there are more.');
const healthSchema = describes<ReturnType<typeof healthView>>()(
  z
    .strictObject({
      endpoint_id: idSchema,
      state: z
        .enum(['healthy', 'failing', 'circuit_open', 'disabled'])
        .describe('`failing`: the last attempt failed. `circuit_open`: it failed so often that it is only probed now and then.'),
      disabled_reason: disabledReason,
      failing_since: momentSchema.nullable().describe('The first failure after the last success.'),
      consecutive_failures: z.int().min(0),
      last_success_at: momentSchema.nullable(),
      last_failure_at: momentSchema.nullable(),
      last_status: z.int().nullable().describe('HTTP status of the last attempt; null: there was no answer.'),
      last_error: z.string().nullable(),
      waiting: boundedCount,
      exhausted: boundedCount,
      oldest_waiting_at: momentSchema.nullable().describe('When the oldest of the counted waiting deliveries was made.'),
      next_attempt_at: momentSchema.nullable().describe('A moment gone by: as soon as a worker is free.'),
    })
    .meta({ id: 'EndpointHealth', description: 'How the deliveries to an endpoint fare.' }),
);
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
    description: `\`headers\` go with every delivery; their values are stored sealed and shown to nobody. With \`snapshot\` the endpoint is
told first of every member there is, as \`membership.snapshot\` events, then of every change: nothing is left out between the two.`,
    body: endpointCreationSchema(options),
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
    description: `Headers that are not named stay as they are; null takes one away. \`"enabled": true\` closes the circuit of an endpoint that
failed: what waits is tried at once. Events that happened while it was disabled are not sent afterwards: ask for a snapshot.`,
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
  {
    method: 'get',
    path: '/endpoints/{endpoint_id}/health',
    summary: "Read an endpoint's health",
    scope: 'instance',
    answers: { 200: healthSchema },
  },
  {
    method: 'post',
    path: '/endpoints/{endpoint_id}/secrets',
    summary: 'Give an endpoint a new secret',
    description: `The secrets before sign beside the new one for \`overlap_seconds\` (a day unless given, at most seven), so that a receiver
can change over without a gap; with 0 they end at once. Without \`secret\` Rollcall makes one.`,
    scope: 'instance',
    body: secretRotationSchema,
    answers: { 201: newSecretSchema },
  },
  {
    method: 'post',
    path: '/endpoints/{endpoint_id}/test',
    summary: 'Send an endpoint a test event',
    description: 'It goes the way of every delivery, signed and tried again; the attempts of the endpoint show what came of it.',
    scope: 'instance',
    answers: { 202: testSchema },
    errors: ['conflict'],
  },
]);
