import { type Request, Router } from 'express';
import { endpointInput, endpointPatch } from '../../delivery/endpoint-input.ts';
import type { Endpoint } from '../../delivery/endpoint-rows.ts';
import type { EndpointStore } from '../../delivery/endpoint-store.ts';
import { instanceScope } from '../admin-auth.ts';
import { checkIfMatch, hasPrecondition, sendTagged } from '../etag.ts';
import { parseBody, pathId } from '../request-input.ts';
import { inSnakeCase } from '../snake-case.ts';

export interface EndpointRouteDeps {
  readonly endpoints: Pick<EndpointStore, 'create' | 'list' | 'get' | 'update' | 'remove'>;
  /** As in the settings' `outbound.allowHttp`. */
  readonly allowHttp: boolean;
}

/** Webhook endpoints belong to the app, and so to the instance. */
export function createEndpointRoutes({ endpoints, allowHttp }: EndpointRouteDeps): Router {
  const router = Router();
  const inputSchema = endpointInputSchema({ allowHttp });
  const patchSchema = endpointPatchSchema({ allowHttp });
  const checkOf = (req: Request) =>
    hasPrecondition(req) ? (endpoint: Endpoint) => checkIfMatch(req, endpointView(endpoint)) : undefined;
  router.use(instanceScope);

  router.post('/', async (req, res) => {
    const { endpoint, secret } = await endpoints.create(parseBody(inputSchema, req));
    // Shown this once.
    res
      .status(201)
      .location(`/v1/endpoints/${endpoint.endpointId}`)
      .json({ ...endpointView(endpoint), secret });
  });

  router.get('/', async (_req, res) => {
    res.json({ data: (await endpoints.list()).map(endpointView), next_cursor: null });
  });

  router.get('/:endpoint_id', async (req, res) => {
    sendTagged(req, res, endpointView(await endpoints.get(pathId(req, 'endpoint_id'))));
  });

  router.patch('/:endpoint_id', async (req, res) => {
    const patch = parseBody(patchSchema, req);
    sendTagged(req, res, endpointView(await endpoints.update(pathId(req, 'endpoint_id'), patch, checkOf(req))));
  });

  router.delete('/:endpoint_id', async (req, res) => {
    await endpoints.remove(pathId(req, 'endpoint_id'), checkOf(req));
    res.status(204).end();
  });

  return router;
}

const patchFields = ['url', 'description', 'event_types', 'workspace_ids', 'enabled'] as const;

export function endpointPatchSchema(options: { readonly allowHttp: boolean }) {
  return inSnakeCase(endpointPatch(options), patchFields);
}

/** An endpoint in snake_case; shared with the declarative file. */
export function endpointInputSchema(options: { readonly allowHttp: boolean }) {
  return inSnakeCase(endpointInput(options), [...patchFields, 'secret']);
}

export function endpointView(endpoint: Endpoint) {
  return {
    endpoint_id: endpoint.endpointId,
    url: endpoint.url,
    description: endpoint.description,
    event_types: endpoint.eventTypes,
    workspace_ids: endpoint.workspaceIds,
    enabled: endpoint.enabled,
    disabled_reason: endpoint.disabledReason,
    created_at: endpoint.createdAt.toISOString(),
    updated_at: endpoint.updatedAt.toISOString(),
  };
}
