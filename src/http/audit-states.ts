import type { EndpointStore } from '../delivery/endpoint-store.ts';
import { connectionView } from '../login/connection-document.ts';
import type { ConnectionStore } from '../login/connection-store.ts';
import type { DomainStore } from '../login/domains.ts';
import type { LicenceStore } from '../login/licence-store.ts';
import type { IdentityStore } from '../login/linking-store.ts';
import type { SyncListStore } from '../login/sync-list.ts';
import type { CatalogueStore } from '../membership/catalogue-store.ts';
import type { MembershipStore } from '../membership/store.ts';
import type { UserStore } from '../membership/users.ts';
import type { WorkspaceStore } from '../membership/workspace-store.ts';
import type { ClientStore } from '../provider/client-store.ts';
import type { ApiKeyStore } from './api-key-store.ts';
import type { StateReader } from './audit-trail.ts';
import { apiKeyView } from './routes/api-keys.ts';
import { appGroupView } from './routes/app-groups.ts';
import { clientView } from './routes/clients.ts';
import { domainView } from './routes/domains.ts';
import { endpointView } from './routes/endpoints.ts';
import { identityView } from './routes/identities.ts';
import { memberView } from './routes/members.ts';
import { syncListView } from './routes/sync-list.ts';
import { userDetailView } from './routes/users.ts';
import { workspaceView } from './routes/workspaces.ts';

/** What the audit log shows before and after a change: what the API shows of the resource. */
export function createAuditStates(deps: {
  readonly publicUrl: string;
  readonly connections: Pick<ConnectionStore, 'get'>;
  readonly workspaces: Pick<WorkspaceStore, 'get'>;
  readonly catalogue: Pick<CatalogueStore, 'loadCatalogue'>;
  readonly members: Pick<MembershipStore, 'explain'>;
  readonly endpoints: Pick<EndpointStore, 'get'>;
  readonly clients: Pick<ClientStore, 'read'>;
  readonly apiKeys: Pick<ApiKeyStore, 'get'>;
  readonly users: Pick<UserStore, 'get'>;
  readonly identities: Pick<IdentityStore, 'list'>;
  readonly syncLists: Pick<SyncListStore, 'get'>;
  readonly domains: Pick<DomainStore, 'get'>;
  readonly licences: Pick<LicenceStore, 'view'>;
}): Readonly<Record<string, StateReader>> {
  const shown =
    <Stored>(find: (id: string) => Promise<Stored | null>, name: string, view: (stored: Stored) => unknown): StateReader =>
    async (params) => {
      const stored = await find(params[name] as string);
      return stored === null ? null : view(stored);
    };
  return {
    '/connections/{connection_id}': shown(deps.connections.get, 'connection_id', (stored) =>
      connectionView(stored, deps.publicUrl),
    ),
    '/workspaces/{workspace_id}': shown(deps.workspaces.get, 'workspace_id', workspaceView),
    '/workspaces/{workspace_id}/app-groups': async ({ workspace_id: workspaceId = '' }) => {
      const groups = await deps.catalogue.loadCatalogue(workspaceId);
      return new Map(groups.map((group) => [group.groupId, appGroupView(group)]));
    },
    '/workspaces/{workspace_id}/members/{user_id}': async ({ workspace_id: workspaceId = '', user_id: userId = '' }) =>
      memberView((await deps.members.explain(workspaceId, userId)).member),
    '/endpoints/{endpoint_id}': shown(deps.endpoints.get, 'endpoint_id', endpointView),
    '/clients/{client_id}': shown(deps.clients.read, 'client_id', clientView),
    '/connections/{connection_id}/workspaces/{workspace_id}': async ({
      connection_id: id = '',
      workspace_id: workspaceId = '',
    }) => syncListView(await deps.syncLists.get(id, workspaceId)),
    '/connections/{connection_id}/domains/{domain}': async ({ connection_id: id = '', domain = '' }) =>
      domainView(await deps.domains.get(id, domain)),
    '/users/{user_id}': shown(deps.users.get, 'user_id', userDetailView),
    '/users/{user_id}/identities': async ({ user_id: userId = '' }) => {
      const identities = await deps.identities.list(userId);
      return new Map(identities.map((identity) => [`${identity.connectionId} ${identity.subject}`, identityView(identity)]));
    },
    '/licence': async () => deps.licences.view(),
    '/api-keys/{key_id}': shown(deps.apiKeys.get, 'key_id', apiKeyView),
  };
}
