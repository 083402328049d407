import { json, type Request, Router } from 'express';
import type { Log } from '../infra/log.ts';
import type { ConnectionStore } from '../login/connection-store.ts';
import type { DomainStore } from '../login/domains.ts';
import type { LicenceStore } from '../login/licence-store.ts';
import type { IdentityStore } from '../login/linking-store.ts';
import type { SyncListStore } from '../login/sync-list.ts';
import type { CatalogueChanges } from '../membership/catalogue-changes.ts';
import type { CatalogueStore } from '../membership/catalogue-store.ts';
import type { LoginTraceRow } from '../membership/login-store.ts';
import type { ManualEdits } from '../membership/manual-edit.ts';
import type { MembershipStore } from '../membership/store.ts';
import type { UserLifecycle } from '../membership/user-lifecycle.ts';
import type { UserStore } from '../membership/users.ts';
import type { ExplainWhyNot } from '../membership/why-not-store.ts';
import type { WorkspaceLifecycle } from '../membership/workspace-lifecycle.ts';
import type { WorkspaceStore } from '../membership/workspace-store.ts';
import type { ClientStore } from '../provider/client-store.ts';
import { createAdminAuth } from './admin-auth.ts';
import type { ApiKeyStore } from './api-key-store.ts';
import { createOperationFinder } from './api-schema.ts';
import { createAuditStates } from './audit-states.ts';
import type { AuditStore } from './audit-store.ts';
import { createAuditTrail } from './audit-trail.ts';
import { createErrorHandler, showProblem, unknownPath } from './error-handler.ts';
import { createIdempotency, noteBody } from './idempotency.ts';
import type { IdempotencyStore } from './idempotency-store.ts';
import { apiOperations } from './openapi-operations.ts';
import { createApiKeyRoutes } from './routes/api-keys.ts';
import { createAppGroupRoutes } from './routes/app-groups.ts';
import { type AttemptRouteDeps, createEndpointAttemptRoutes, createEventAttemptRoutes } from './routes/attempts.ts';
import { createAuditLogRoutes } from './routes/audit-log.ts';
import { createClientRoutes } from './routes/clients.ts';
import { createConnectionRoutes } from './routes/connections.ts';
import { createDeliveryRoutes } from './routes/deliveries.ts';
import { createDocsRoutes } from './routes/docs.ts';
import { createDomainRoutes } from './routes/domains.ts';
import { createEndpointSnapshotRoutes, type EndpointSnapshotRouteDeps } from './routes/endpoint-snapshots.ts';
import { createEndpointRoutes, type EndpointRouteDeps } from './routes/endpoints.ts';
import { createEventRoutes, type EventRouteDeps } from './routes/events.ts';
import { createIdentityRoutes } from './routes/identities.ts';
import { createLicenceRoutes } from './routes/licence.ts';
import { createLoginTraceRoutes } from './routes/logins.ts';
import { createMemberEditRoutes } from './routes/member-edits.ts';
import { createMemberRoutes } from './routes/members.ts';
import { createOpenApiRoutes } from './routes/openapi.ts';
import { createPlanRoutes, type PlanRouteDeps } from './routes/plans.ts';
import { createReplayRoutes, type ReplayRouteDeps } from './routes/replays.ts';
import { createSimulationRoutes, type SimulationRouteDeps } from './routes/simulate.ts';
import { createSnapshotRoutes, type SnapshotRouteDeps } from './routes/snapshot.ts';
import { createSyncListRoutes } from './routes/sync-list.ts';
import { createUserRoutes } from './routes/users.ts';
import { createFindWorkspace } from './routes/workspace-scope.ts';
import { createWorkspaceRoutes } from './routes/workspaces.ts';

export interface ApiDeps extends PlanRouteDeps, Pick<SimulationRouteDeps, 'simulate'> {
  readonly publicUrl: string;
  readonly maxJsonBytes: number;
  /** Whether endpoints may have `http:` addresses. */
  readonly allowHttp: boolean;
  readonly apiKeys: ApiKeyStore;
  readonly audit: Pick<AuditStore, 'open' | 'close' | 'list'>;
  readonly idempotency: IdempotencyStore;
  readonly connections: ConnectionStore;
  readonly domains: DomainStore;
  readonly identities: IdentityStore;
  readonly revokeUser: (userId: string) => Promise<void>;
  readonly licences: Pick<LicenceStore, 'view' | 'set' | 'clear' | 'countUsers' | 'refresh'>;
  readonly workspaces: WorkspaceStore;
  readonly catalogue: CatalogueStore;
  readonly members: Pick<MembershipStore, 'list' | 'explain'>;
  readonly snapshots: SnapshotRouteDeps['snapshots'];
  readonly explainWhyNot: ExplainWhyNot;
  readonly catalogueChanges: CatalogueChanges;
  readonly manualEdits: ManualEdits;
  readonly users: UserStore;
  readonly userLifecycle: UserLifecycle;
  readonly syncLists: SyncListStore;
  readonly workspaceLifecycle: WorkspaceLifecycle;
  readonly endpoints: EndpointRouteDeps['endpoints'];
  readonly readEndpointHealth: EndpointRouteDeps['readEndpointHealth'];
  readonly sendEndpointTest: EndpointRouteDeps['sendEndpointTest'];
  readonly endpointSnapshots: EndpointSnapshotRouteDeps['endpointSnapshots'];
  readonly clients: Pick<ClientStore, 'read' | 'list' | 'change'>;
  readonly replays: ReplayRouteDeps['replays'];
  readonly attemptLog: AttemptRouteDeps['attemptLog'];
  readonly readEvents: EventRouteDeps['readEvents'];
  readonly readEvent: EventRouteDeps['readEvent'];
  readonly findLogin: (loginId: string) => Promise<LoginTraceRow | null>;
  /** Called after a change, so that this process forgets what it cached. */
  readonly onConnectionChange: (connectionId: string) => void;
  readonly onCatalogueChange: (workspaceId: string) => void;
  /** Called when events were appended, so that they are delivered at once. */
  readonly onEvents: () => void;
  /** Called when there is work for one endpoint in the background. */
  readonly onEndpointTask: () => void;
  readonly now: () => Date;
  readonly log: Log;
}

const findOperation = createOperationFinder(apiOperations);

/** POSTs that ask and change nothing. */
function isRead(req: Request): boolean {
  return findOperation(req.method, req.path)?.operation.changes === false;
}

/** The REST API: authenticated first, JSON in and out, every error a problem document. */
export function createApiRoutes(deps: ApiDeps): Router {
  const api = Router({ caseSensitive: true });
  const findWorkspace = createFindWorkspace(deps.workspaces);

  api.use((_req, res, next) => {
    res.setHeader('cache-control', 'no-store');
    next();
  });
  api.use(createOpenApiRoutes({ publicUrl: deps.publicUrl, operations: apiOperations }));
  api.use('/docs', createDocsRoutes());
  // Before the body is read: strangers get no memory of ours.
  api.use(createAdminAuth({ find: deps.apiKeys.find, isRead }));
  api.use(
    json({
      limit: deps.maxJsonBytes,
      type: ['application/json', 'application/merge-patch+json'],
      verify: noteBody,
      inflate: false,
    }),
  );
  api.use(createIdempotency({ store: deps.idempotency, isRead, log: deps.log }));
  api.use(createAuditTrail({ audit: deps.audit, operations: apiOperations, states: createAuditStates(deps), log: deps.log }));

  api.use('/connections', createConnectionRoutes(deps));
  api.use('/connections/:connection_id/domains', createDomainRoutes(deps));
  api.use('/users/:user_id/identities', createIdentityRoutes(deps));
  api.use('/licence', createLicenceRoutes(deps));
  api.use('/connections/:connection_id/workspaces', createSyncListRoutes(deps));
  api.use('/users', createUserRoutes(deps));
  api.use('/workspaces', createWorkspaceRoutes({ ...deps, findWorkspace }));
  api.use('/workspaces/:workspace_id/app-groups', createAppGroupRoutes({ ...deps, findWorkspace }));
  api.use('/workspaces/:workspace_id/members', createMemberRoutes({ ...deps, findWorkspace }));
  api.use('/workspaces/:workspace_id/members', createMemberEditRoutes({ ...deps, findWorkspace }));
  api.use('/workspaces/:workspace_id', createSnapshotRoutes({ ...deps, findWorkspace }));
  api.use('/plans', createPlanRoutes(deps));
  api.use('/simulations', createSimulationRoutes({ simulate: deps.simulate, getConnection: deps.connections.get }));
  api.use('/endpoints', createEndpointRoutes(deps));
  api.use('/endpoints/:endpoint_id/snapshots', createEndpointSnapshotRoutes(deps));
  api.use('/endpoints/:endpoint_id/replays', createReplayRoutes(deps));
  api.use('/endpoints/:endpoint_id/deliveries', createDeliveryRoutes(deps));
  api.use('/endpoints/:endpoint_id/attempts', createEndpointAttemptRoutes(deps));
  api.use('/clients', createClientRoutes(deps));
  api.use('/events', createEventRoutes(deps));
  api.use('/events/:event_id/attempts', createEventAttemptRoutes(deps));
  api.use('/logins', createLoginTraceRoutes({ findLogin: deps.findLogin, findConnection: deps.connections.get }));

  api.use('/api-keys', createApiKeyRoutes({ ...deps, getWorkspace: deps.workspaces.get }));
  api.use('/audit-log', createAuditLogRoutes(deps));

  api.use(unknownPath);
  api.use(createErrorHandler({ log: deps.log, show: showProblem }));
  return api;
}
