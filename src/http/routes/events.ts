import { Router } from 'express';
import { z } from 'zod';
import { BrokerError } from '../../domain/broker-error.ts';
import { isUniqueId } from '../../infra/unique-id.ts';
import { eventTypes } from '../../outbox/event-schema.ts';
import type { EventFilter, EventPage, StoredEvent } from '../../outbox/read.ts';
import { checkVisible, holderOf } from '../admin-auth.ts';
import { pageQuery, parseQuery } from '../request-input.ts';
import { pathEventId } from './event-id.ts';

export interface EventRouteDeps {
  readonly readEvents: (filter: EventFilter) => Promise<EventPage>;
  readonly readEvent: (eventId: string) => Promise<StoredEvent | null>;
}

/** The event log from a cursor on (R40). A workspace's key reads its workspace's events only (R13). */
export function createEventRoutes({ readEvents, readEvent }: EventRouteDeps): Router {
  const router = Router();

  router.get('/', async (req, res) => {
    const query = parseQuery(eventQuery, req);
    const { workspaceId: ownWorkspaceId } = holderOf(req);
    if (query.workspace !== undefined) checkVisible(req, query.workspace);
    const workspaceId = query.workspace ?? ownWorkspaceId;
    const { events, cursor, more } = await readEvents({
      after: query.after ?? null,
      limit: query.limit,
      ...(query.types === undefined ? {} : { types: query.types }),
      ...(workspaceId === null ? {} : { workspaceId }),
    });
    res.json({
      data: events.map(eventView),
      // Unlike other lists the log never ends: the cursor is there on the last page too, and finds what comes later.
      next_cursor: cursor,
      has_more: more,
    });
  });

  router.get('/:event_id', async (req, res) => {
    const event = await readEvent(pathEventId(req));
    if (event === null) throw new BrokerError('not_found', 'the log holds no such event');
    checkVisible(req, event.workspaceId);
    res.json(eventView(event));
  });

  return router;
}

/** The envelope as it was sent, with its `webhook-id`. */
function eventView({ webhookId, body }: StoredEvent): object {
  return { id: webhookId, ...(JSON.parse(body) as object) };
}

export const eventQuery = z.strictObject({
  ...pageQuery,
  types: z
    .string()
    .transform((list) => list.split(','))
    .pipe(z.array(z.enum(eventTypes)))
    .optional()
    .describe('Of these types only, separated by commas.'),
  workspace: z.string().refine(isUniqueId, 'give the id of a workspace').optional(),
});
