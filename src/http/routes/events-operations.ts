import { z } from 'zod';
import { type EventType, eventSchemas, eventTypes } from '../../outbox/event-schema.ts';
import { declareOperations } from '../api-schema.ts';
import { eventQuery } from './events.ts';

const [first, ...rest] = eventTypes.map((type: EventType) =>
  eventSchemas[type].extend({ id: z.string().describe('The `webhook-id` of its deliveries.') }),
);
const eventSchema = z.union([first as NonNullable<typeof first>, ...rest]).meta({ id: 'Event' });

export const eventOperations = declareOperations('Events', [
  {
    method: 'get',
    path: '/events',
    summary: 'Read the event log from a cursor on',
    description:
      'In the order in which they became known; none is ever skipped, and none comes twice. The log does not end: read on with the last cursor. Events are kept for a time (`retention.eventDays`); after that `cursor_expired` names the earliest cursor.',
    query: eventQuery,
    answers: {
      200: z.strictObject({
        data: z.array(eventSchema),
        next_cursor: z
          .string()
          .nullable()
          .describe('Give it as `after` to read on. It passes what the filter leaves out, too. Null: the log is empty.'),
        has_more: z.boolean().describe('Whether to read on at once; false: the log ended here.'),
      }),
    },
    errors: ['cursor_expired'],
  },
  {
    method: 'get',
    path: '/events/{event_id}',
    summary: 'Read an event',
    params: { event_id: z.string() },
    answers: { 200: eventSchema },
  },
]);
