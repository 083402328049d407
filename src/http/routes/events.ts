import { Router } from 'express';
import { z } from 'zod';
import { isUniqueId } from '../../infra/unique-id.ts';
import { eventTypes } from '../../outbox/event-schema.ts';
import type { EventFilter, EventPage } from '../../outbox/read.ts';
import { checkVisible, holderOf } from '../admin-auth.ts';
import { pageQuery, parseQuery } from '../request-input.ts';

export interface EventRouteDeps {
  readonly readEvents: (filter: EventFilter) => Promise<EventPage>;
}

/** The event log from a cursor on (R40). A workspace's key reads its workspace's events only (R13). */
export function createEventRoutes({ readEvents }: EventRouteDeps): Router {
  const router = Router();

  router.get('/', async (req, res) => {
    const query = parseQuery(eventQuery, req);
    const { workspaceId: ownWorkspaceId } = holderOf(req);
    if (query.workspace !== undefined) checkVisible(req, query.workspace);
    const workspaceId = query.workspace ?? ownWorkspaceId;
    const { events, cursor } = await readEvents({
      after: query.after ?? null,
      limit: query.limit,
      ...(query.types === undefined ? {} : { types: query.types }),
      ...(workspaceId === null ? {} : { workspaceId }),
    });
    res.json({
      data: events.map(({ webhookId, body }) => ({ id: webhookId, ...(JSON.parse(body) as object) })),
      // Unlike other lists the log never ends: the cursor is there on the last page too, and finds what comes later.
      next_cursor: cursor,
    });
  });

  return router;
}

export const eventQuery = z.strictObject({
  ...pageQuery,
  types: z
    .string()
    .transform((list) => list.split(','))
    .pipe(z.array(z.enum(eventTypes)))
    .optional(),
  workspace: z.string().refine(isUniqueId, 'give the id of a workspace').optional(),
});
