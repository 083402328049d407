import { Router } from 'express';
import { z } from 'zod';
import type { EndpointSnapshot, SnapshotRequests } from '../../delivery/snapshot-request.ts';
import { instanceScope } from '../admin-auth.ts';
import { idPageQuery, pageOf, parseOptionalBody, parseQuery, pathId } from '../request-input.ts';
import { inSnakeCase } from '../snake-case.ts';

export interface EndpointSnapshotRouteDeps {
  readonly endpointSnapshots: SnapshotRequests;
  /** Called when there is work for one endpoint in the background. */
  readonly onEndpointTask: () => void;
}

/** Snapshots that endpoints ask for; mounted below an endpoint. */
export function createEndpointSnapshotRoutes({ endpointSnapshots, onEndpointTask }: EndpointSnapshotRouteDeps): Router {
  const router = Router({ mergeParams: true });
  router.use(instanceScope);

  router.post('/', async (req, res) => {
    const filter = parseOptionalBody(snapshotRequestSchema, req);
    const snapshot = await endpointSnapshots.create(pathId(req, 'endpoint_id'), filter);
    onEndpointTask();
    res
      .status(202)
      .location(`/v1/endpoints/${snapshot.endpointId}/snapshots/${snapshot.snapshotId}`)
      .json(endpointSnapshotView(snapshot));
  });

  router.get('/', async (req, res) => {
    const { limit, after } = parseQuery(snapshotListQuery, req);
    const rows = await endpointSnapshots.list(pathId(req, 'endpoint_id'), { after: after ?? null, limit: limit + 1 });
    res.json(pageOf(rows, limit, { cursor: ({ snapshotId }) => snapshotId, view: endpointSnapshotView }));
  });

  router.get('/:snapshot_id', async (req, res) => {
    res.json(endpointSnapshotView(await endpointSnapshots.get(pathId(req, 'endpoint_id'), pathId(req, 'snapshot_id'))));
  });

  return router;
}

export const snapshotRequestSchema = inSnakeCase(
  z.strictObject({
    includeRemoved: z.boolean().default(false).describe('Also those who are no longer members, with the status `removed`.'),
  }),
  ['include_removed'],
);
export const snapshotListQuery = z.strictObject(idPageQuery);

export function endpointSnapshotView(snapshot: EndpointSnapshot) {
  return {
    snapshot_id: snapshot.snapshotId,
    endpoint_id: snapshot.endpointId,
    include_removed: snapshot.includeRemoved,
    status: snapshot.status,
    events: snapshot.events,
    created_at: snapshot.createdAt.toISOString(),
    updated_at: snapshot.updatedAt.toISOString(),
  };
}
