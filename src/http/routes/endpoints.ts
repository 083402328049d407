import { type Request, Router } from 'express';
import { z } from 'zod';
import { endpointInput, endpointPatch, secretRotation } from '../../delivery/endpoint-input.ts';
import type { Endpoint } from '../../delivery/endpoint-rows.ts';
import type { EndpointStore } from '../../delivery/endpoint-store.ts';
import type { SendTest } from '../../delivery/endpoint-test.ts';
import type { BoundedCount, EndpointHealth, ReadHealth } from '../../delivery/health.ts';
import { instanceScope } from '../admin-auth.ts';
import { checkIfMatch, hasPrecondition, sendTagged } from '../etag.ts';
import { parseBody, parseOptionalBody, pathId } from '../request-input.ts';
import { inSnakeCase } from '../snake-case.ts';

export interface EndpointRouteDeps {
  readonly endpoints: Pick<EndpointStore, 'create' | 'list' | 'get' | 'update' | 'rotateSecret' | 'remove'>;
  readonly readEndpointHealth: ReadHealth;
  readonly sendEndpointTest: SendTest;
  /** Called when events were appended, so that they are delivered at once. */
  readonly onEvents: () => void;
  /** As in the settings' `outbound.allowHttp`. */
  readonly allowHttp: boolean;
}

/** Webhook endpoints belong to the app, and so to the instance. */
export function createEndpointRoutes(deps: EndpointRouteDeps): Router {
  const { endpoints, allowHttp } = deps;
  const router = Router();
  const creationSchema = endpointCreationSchema({ allowHttp });
  const patchSchema = endpointPatchSchema({ allowHttp });
  const checkOf = (req: Request) =>
    hasPrecondition(req) ? (endpoint: Endpoint) => checkIfMatch(req, endpointView(endpoint)) : undefined;
  router.use(instanceScope);

  router.post('/', async (req, res) => {
    const { snapshot, ...input } = parseBody(creationSchema, req);
    const { endpoint, secret } = await endpoints.create(input, { snapshot });
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

  router.get('/:endpoint_id/health', async (req, res) => {
    res.json(healthView(await deps.readEndpointHealth(pathId(req, 'endpoint_id'))));
  });

  router.post('/:endpoint_id/secrets', async (req, res) => {
    const rotation = parseOptionalBody(secretRotationSchema, req);
    const { secret, oldSecretsUntil } = await endpoints.rotateSecret(pathId(req, 'endpoint_id'), rotation, checkOf(req));
    // Shown this once.
    res.status(201).json(newSecretView(secret, oldSecretsUntil));
  });

  router.post('/:endpoint_id/test', async (req, res) => {
    const { eventId } = await deps.sendEndpointTest(pathId(req, 'endpoint_id'));
    deps.onEvents();
    res.status(202).json(testView(eventId));
  });

  return router;
}

const patchFields = [
  'url',
  'description',
  'event_types',
  'workspace_ids',
  'enabled',
  'headers',
  'rate_limit_per_second',
  'max_concurrency',
] as const;

export const secretRotationSchema = inSnakeCase(secretRotation, ['secret', 'overlap_seconds']);

/** What the API takes beyond the declarative file: a request for a snapshot is no property of the endpoint. */
export function endpointCreationSchema(options: { readonly allowHttp: boolean }) {
  const snapshot = z.boolean().default(false).describe('Tell the endpoint first of every member there is.');
  return inSnakeCase(endpointInput(options).extend({ snapshot }), [...patchFields, 'secret', 'snapshot']);
}

export function endpointPatchSchema(options: { readonly allowHttp: boolean }) {
  return inSnakeCase(endpointPatch(options), patchFields);
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
    header_names: endpoint.headerNames,
    rate_limit_per_second: endpoint.rateLimitPerSecond,
    max_concurrency: endpoint.maxConcurrency,
    created_at: endpoint.createdAt.toISOString(),
    updated_at: endpoint.updatedAt.toISOString(),
  };
}

export function newSecretView(secret: string, oldSecretsUntil: Date | null) {
  return { secret, old_secrets_until: oldSecretsUntil?.toISOString() ?? null };
}

export function testView(eventId: string) {
  return { event_id: eventId };
}

export function healthView(health: EndpointHealth) {
  return {
    endpoint_id: health.endpointId,
    state: health.state,
    disabled_reason: health.disabledReason,
    failing_since: health.failingSince?.toISOString() ?? null,
    consecutive_failures: health.consecutiveFailures,
    last_success_at: health.lastSuccessAt?.toISOString() ?? null,
    last_failure_at: health.lastFailureAt?.toISOString() ?? null,
    last_status: health.lastStatus,
    last_error: health.lastError,
    waiting: boundedCountView(health.waiting),
    exhausted: boundedCountView(health.exhausted),
    oldest_waiting_at: health.oldestWaitingAt?.toISOString() ?? null,
    next_attempt_at: health.nextAttemptAt?.toISOString() ?? null,
  };
}

function boundedCountView({ count, exact }: BoundedCount) {
  return { count, exact };
}
