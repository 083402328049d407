import { Router } from 'express';
import { z } from 'zod';
import type { Replay, ReplayStore } from '../../delivery/replay-store.ts';
import type { ReplayFilter } from '../../delivery/replay-task.ts';
import { webhookId } from '../../outbox/append.ts';
import { instanceScope } from '../admin-auth.ts';
import { idInputSchema } from '../api-schema.ts';
import { idPageQuery, pageOf, parseBody, parseQuery, pathId } from '../request-input.ts';
import { eventIdInput } from './event-id.ts';

export interface ReplayRouteDeps {
  readonly replays: ReplayStore;
  /** Called when there is work for one endpoint in the background. */
  readonly onEndpointTask: () => void;
  readonly now: () => Date;
}

/** Events that are sent to an endpoint once more; mounted below it. */
export function createReplayRoutes({ replays, onEndpointTask, now }: ReplayRouteDeps): Router {
  const router = Router({ mergeParams: true });
  router.use(instanceScope);

  router.post('/', async (req, res) => {
    const filter = filterOf(parseBody(replaySchema, req), now());
    const replay = await replays.create(pathId(req, 'endpoint_id'), filter);
    onEndpointTask();
    res.status(202).location(`/v1/endpoints/${replay.endpointId}/replays/${replay.replayId}`).json(replayView(replay));
  });

  router.get('/', async (req, res) => {
    const { limit, after } = parseQuery(replayListQuery, req);
    const rows = await replays.list(pathId(req, 'endpoint_id'), { after: after ?? null, limit: limit + 1 });
    res.json(pageOf(rows, limit, { cursor: ({ replayId }) => replayId, view: replayView }));
  });

  router.get('/:replay_id', async (req, res) => {
    res.json(replayView(await replays.get(pathId(req, 'endpoint_id'), pathId(req, 'replay_id'))));
  });

  return router;
}

const maxEvents = 1_000;
const momentInput = z.iso
  .datetime({ offset: true, error: 'give a moment, such as 2030-01-31T12:00:00Z' })
  .transform((text) => new Date(text));

export const replaySchema = z
  .strictObject({
    events: z
      .array(eventIdInput)
      .min(1)
      .max(maxEvents)
      .refine((ids) => new Set(ids).size === ids.length, 'name each event once')
      .optional()
      .describe('These events.'),
    from: momentInput.optional().describe('Events that happened from this moment on.'),
    to: momentInput.optional().describe('Events that happened before this moment; now unless given.'),
    exhausted: z.literal(true).optional().describe('All that rest as exhausted.'),
    member: z
      .strictObject({ workspace_id: idInputSchema, user_id: idInputSchema })
      .optional()
      .describe('All events of one member, or those between `from` and `to`.'),
  })
  .superRefine(({ events, exhausted, member, from, to }, context) => {
    const named = [events, exhausted, member ?? from].filter((each) => each !== undefined);
    if (named.length !== 1) {
      context.addIssue(
        'say what to replay with exactly one of: events, from (and to), exhausted, member (with from and to, if you like)',
      );
    }
    if (to !== undefined && from === undefined && member === undefined) {
      context.addIssue({ code: 'custom', path: ['to'], message: 'goes with from or member only' });
    }
    if (from !== undefined && to !== undefined && from >= to) {
      context.addIssue({ code: 'custom', path: ['to'], message: 'give a moment after from' });
    }
  });
export const replayListQuery = z.strictObject(idPageQuery);

function filterOf({ events, exhausted, member, from, to }: z.output<typeof replaySchema>, now: Date): ReplayFilter {
  if (events !== undefined) return { kind: 'events', eventIds: events };
  if (exhausted) return { kind: 'exhausted' };
  const since = from === undefined ? null : storable(from, now);
  const until = storable(to ?? now, now);
  if (member === undefined) return { kind: 'range', from: since ?? until, to: until };
  return { kind: 'member', workspaceId: member.workspace_id, userId: member.user_id, from: since, to: until };
}

/** What happens from now on is sent anyway. Years before 1 and after 9999 are written otherwise in Postgres; no event is that old. */
function storable(moment: Date, now: Date): string {
  return new Date(Math.min(Math.max(moment.getTime(), 0), now.getTime())).toISOString();
}

export function replayView(replay: Replay) {
  return {
    replay_id: replay.replayId,
    endpoint_id: replay.endpointId,
    filter: filterView(replay.filter),
    status: replay.status,
    deliveries: replay.deliveries,
    created_at: replay.createdAt.toISOString(),
    updated_at: replay.updatedAt.toISOString(),
  };
}

interface FilterView {
  readonly events?: string[];
  readonly exhausted?: true;
  readonly member?: { readonly workspace_id: string; readonly user_id: string };
  readonly from?: string | null;
  readonly to?: string | null;
}

function filterView(filter: ReplayFilter): FilterView {
  switch (filter.kind) {
    case 'events':
      return { events: filter.eventIds.map(webhookId) };
    case 'range':
      return { from: filter.from, to: filter.to };
    case 'exhausted':
      return { exhausted: true };
    case 'member':
      return { member: { workspace_id: filter.workspaceId, user_id: filter.userId }, from: filter.from, to: filter.to };
    default:
      return filter satisfies never;
  }
}
