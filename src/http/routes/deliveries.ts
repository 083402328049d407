import { Router } from 'express';
import { z } from 'zod';
import type { AttemptLog, QueuedDelivery, QueuePlace } from '../../delivery/attempt-log.ts';
import { instanceScope } from '../admin-auth.ts';
import { pageOf, pageQuery, parseQuery, pathId } from '../request-input.ts';

export interface DeliveryRouteDeps {
  readonly attemptLog: AttemptLog;
}

/** What waits or rests as exhausted at an endpoint; mounted below it. */
export function createDeliveryRoutes({ attemptLog }: DeliveryRouteDeps): Router {
  const router = Router({ mergeParams: true });
  router.use(instanceScope);

  router.get('/', async (req, res) => {
    const { status, after, limit } = parseQuery(deliveryQuery, req);
    const rows = await attemptLog.queue(pathId(req, 'endpoint_id'), { status, after: after ?? null, limit: limit + 1 });
    res.json(pageOf(rows, limit, { cursor: cursorOf, view: deliveryView }));
  });

  return router;
}

function cursorOf({ place }: QueuedDelivery): string {
  return Buffer.from(JSON.stringify([place.orderKey, place.position])).toString('base64url');
}

const placeSchema = z.tuple([z.string().max(500), z.int().min(0)]);

function placeOf(cursor: string): QueuePlace | null {
  try {
    const [orderKey, position] = placeSchema.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')));
    return orderKey.includes('\0') || !orderKey.isWellFormed() ? null : { orderKey, position };
  } catch {
    return null;
  }
}

export const deliveryQuery = z.strictObject({
  ...pageQuery,
  after: z
    .string()
    .max(1_000)
    .transform((cursor, context) => {
      const place = placeOf(cursor);
      if (place !== null) return place;
      context.addIssue('give the next_cursor of an earlier page as it was');
      return z.NEVER;
    })
    .optional(),
  status: z.enum(['waiting', 'exhausted']).optional(),
});

export function deliveryView(delivery: QueuedDelivery) {
  return {
    event_id: delivery.webhookId,
    type: delivery.type,
    workspace_id: delivery.workspaceId,
    user_id: delivery.userId,
    status: delivery.status,
    attempts: delivery.attempts,
    last_status: delivery.lastStatus,
    last_error: delivery.lastError,
    created_at: delivery.createdAt.toISOString(),
    next_attempt_at: delivery.nextAttemptAt?.toISOString() ?? null,
  };
}
