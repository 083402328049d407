import { Router } from 'express';
import { z } from 'zod';
import type { AttemptLog, RecordedAttempt } from '../../delivery/attempt-log.ts';
import { isUniqueId } from '../../infra/unique-id.ts';
import { instanceScope } from '../admin-auth.ts';
import { pageOf, pageQuery, parseQuery, pathId } from '../request-input.ts';
import { eventIdInput, pathEventId } from './event-id.ts';

export interface AttemptRouteDeps {
  readonly attemptLog: AttemptLog;
}

/** What was sent to an endpoint and what it answered; mounted below it. */
export function createEndpointAttemptRoutes({ attemptLog }: AttemptRouteDeps): Router {
  const router = Router({ mergeParams: true });
  router.use(instanceScope);

  router.get('/', async (req, res) => {
    const { outcome, event, member, after, limit } = parseQuery(endpointAttemptQuery, req);
    const rows = await attemptLog.ofEndpoint(pathId(req, 'endpoint_id'), {
      outcome,
      eventId: event,
      member,
      after: after ?? null,
      limit: limit + 1,
    });
    res.json(pageOf(rows, limit, { cursor: ({ attemptId }) => attemptId, view: attemptView }));
  });

  return router;
}

/** Attempts at every endpoint to deliver one event; mounted below it. */
export function createEventAttemptRoutes({ attemptLog }: AttemptRouteDeps): Router {
  const router = Router({ mergeParams: true });
  router.use(instanceScope);

  router.get('/', async (req, res) => {
    const { after, limit } = parseQuery(eventAttemptQuery, req);
    const rows = await attemptLog.ofEvent(pathEventId(req), { after: after ?? null, limit: limit + 1 });
    res.json(pageOf(rows, limit, { cursor: ({ attemptId }) => attemptId, view: attemptView }));
  });

  return router;
}

const attemptPage = {
  ...pageQuery,
  after: z
    .string()
    .regex(/^\d{1,15}$/, 'give the next_cursor of an earlier page as it was')
    .optional(),
};

export const eventAttemptQuery = z.strictObject(attemptPage);

export const endpointAttemptQuery = z.strictObject({
  ...attemptPage,
  outcome: z.enum(['delivered', 'failed', 'exhausted']).optional(),
  event: eventIdInput.optional().describe('Of this event only: its `webhook-id`.'),
  member: z
    .string()
    .transform((text, context) => {
      const [workspaceId = '', userId = '', ...rest] = text.split(':');
      if (rest.length === 0 && isUniqueId(workspaceId) && isUniqueId(userId)) return { workspaceId, userId };
      context.addIssue('give "<workspace_id>:<user_id>"');
      return z.NEVER;
    })
    .optional()
    .describe('Of this member only: `<workspace_id>:<user_id>`.'),
});

export function attemptView(attempt: RecordedAttempt) {
  return {
    attempted_at: attempt.attemptedAt.toISOString(),
    endpoint_id: attempt.endpointId,
    event_id: attempt.webhookId,
    attempt: attempt.attempt,
    outcome: attempt.outcome,
    status: attempt.status,
    error: attempt.error,
    duration_milliseconds: attempt.durationMilliseconds,
    answer: attempt.answer,
  };
}
