import { z } from 'zod';
import { eventSchemas } from '../../outbox/event-schema.ts';
import { declareOperations } from '../api-schema.ts';
import { eventQuery } from './events.ts';

const [first, ...rest] = Object.values(eventSchemas).map((schema) =>
  schema.extend({ id: z.string().describe('The `webhook-id` of its deliveries.') }),
);

export const eventOperations = declareOperations('Events', [
  {
    method: 'get',
    path: '/events',
    summary: 'Read the event log from a cursor on',
    description:
      'In the order in which they committed; none is ever skipped. The log does not end: read on with the same cursor.',
    query: eventQuery,
    answers: {
      200: z.strictObject({
        data: z.array(z.union([first as NonNullable<typeof first>, ...rest]).meta({ id: 'Event' })),
        next_cursor: z.string().nullable(),
      }),
    },
  },
]);
