import { json, Router } from 'express';
import type { EndpointStore } from '../delivery/endpoint-store.ts';
import type { Log } from '../infra/log.ts';
import type { ConnectionStore } from '../login/connection-store.ts';
import type { CatalogueStore } from '../membership/catalogue-store.ts';
import type { LoginTraceRow } from '../membership/login-store.ts';
import type { MembershipStore } from '../membership/store.ts';
import type { WorkspaceStore } from '../membership/workspace-store.ts';
import type { EventFilter, EventPage } from '../outbox/read.ts';
import type { ClientStore } from '../provider/client-store.ts';
import { createAdminAuth } from './admin-auth.ts';
import type { ApiKeyStore } from './api-key-store.ts';
import { createErrorHandler, showProblem, unknownPath } from './error-handler.ts';
import { createAppGroupRoutes } from './routes/app-groups.ts';
import { createClientRoutes } from './routes/clients.ts';
import { createConnectionRoutes } from './routes/connections.ts';
import { createEndpointRoutes } from './routes/endpoints.ts';
import { createEventRoutes } from './routes/events.ts';
import { createLoginTraceRoutes } from './routes/logins.ts';
import { createMemberRoutes } from './routes/members.ts';
import { createFindWorkspace } from './routes/workspace-scope.ts';
import { createWorkspaceRoutes } from './routes/workspaces.ts';

export interface ApiDeps {
  readonly publicUrl: string;
  readonly maxJsonBytes: number;
  /** Whether endpoints may have `http:` addresses. */
  readonly allowHttp: boolean;
  readonly apiKeys: Pick<ApiKeyStore, 'find'>;
  readonly connections: ConnectionStore;
  readonly workspaces: WorkspaceStore;
  readonly catalogue: CatalogueStore;
  readonly members: Pick<MembershipStore, 'list' | 'explain'>;
  readonly endpoints: Pick<EndpointStore, 'create' | 'list' | 'get' | 'update' | 'remove'>;
  readonly clients: Pick<ClientStore, 'find' | 'list' | 'upsert'>;
  readonly readEvents: (filter: EventFilter) => Promise<EventPage>;
  readonly findLogin: (loginId: string) => Promise<LoginTraceRow | null>;
  /** Called after a change, so that this process forgets what it cached. */
  readonly onConnectionChange: (connectionId: string) => void;
  readonly onCatalogueChange: (workspaceId: string) => void;
  readonly log: Log;
}

/** The REST API: authenticated first, JSON in and out, every error a problem document. */
export function createApiRoutes(deps: ApiDeps): Router {
  const api = Router({ caseSensitive: true });
  const findWorkspace = createFindWorkspace(deps.workspaces);

  api.use((_req, res, next) => {
    res.setHeader('cache-control', 'no-store');
    next();
  });
  // Before the body is read: strangers get no memory of ours.
  api.use(createAdminAuth(deps.apiKeys));
  api.use(json({ limit: deps.maxJsonBytes, type: ['application/json', 'application/merge-patch+json'], inflate: false }));

  api.use('/connections', createConnectionRoutes(deps));
  api.use('/workspaces', createWorkspaceRoutes({ workspaces: deps.workspaces, findWorkspace }));
  api.use('/workspaces/:workspace_id/app-groups', createAppGroupRoutes({ ...deps, findWorkspace }));
  api.use('/workspaces/:workspace_id/members', createMemberRoutes({ ...deps, findWorkspace }));
  api.use('/endpoints', createEndpointRoutes(deps));
  api.use('/clients', createClientRoutes(deps));
  api.use('/events', createEventRoutes(deps));
  api.use('/logins', createLoginTraceRoutes({ findLogin: deps.findLogin, findConnection: deps.connections.get }));

  api.use(unknownPath);
  api.use(createErrorHandler({ log: deps.log, show: showProblem }));
  return api;
}
