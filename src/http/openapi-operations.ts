import type { DeclaredOperation } from './api-schema.ts';
import { apiKeyOperations } from './routes/api-keys-operations.ts';
import { appGroupOperations } from './routes/app-groups-operations.ts';
import { attemptOperations } from './routes/attempts-operations.ts';
import { auditLogOperations } from './routes/audit-log-operations.ts';
import { clientOperations } from './routes/clients-operations.ts';
import { connectionOperations } from './routes/connections-operations.ts';
import { deliveryOperations } from './routes/deliveries-operations.ts';
import { domainOperations } from './routes/domains-operations.ts';
import { endpointSnapshotOperations } from './routes/endpoint-snapshots-operations.ts';
import { endpointOperations } from './routes/endpoints-operations.ts';
import { eventOperations } from './routes/events-operations.ts';
import { identityOperations } from './routes/identities-operations.ts';
import { licenceOperations } from './routes/licence-operations.ts';
import { loginOperations } from './routes/logins-operations.ts';
import { memberOperations } from './routes/members-operations.ts';
import { documentOperations } from './routes/openapi-operations.ts';
import { planOperations } from './routes/plans-operations.ts';
import { replayOperations } from './routes/replays-operations.ts';
import { simulationOperations } from './routes/simulate-operations.ts';
import { snapshotOperations } from './routes/snapshot-operations.ts';
import { syncListOperations } from './routes/sync-list-operations.ts';
import { userOperations } from './routes/users-operations.ts';
import { workspaceOperations } from './routes/workspaces-operations.ts';

/** Every operation of the API, in the order of the document. */
export const apiOperations: readonly DeclaredOperation[] = [
  ...workspaceOperations,
  ...connectionOperations,
  ...syncListOperations,
  ...domainOperations,
  ...appGroupOperations,
  ...memberOperations,
  ...snapshotOperations,
  ...userOperations,
  ...identityOperations,
  ...planOperations,
  ...simulationOperations,
  ...eventOperations,
  ...endpointOperations,
  ...endpointSnapshotOperations,
  ...replayOperations,
  ...deliveryOperations,
  ...attemptOperations,
  ...clientOperations,
  ...loginOperations,
  ...licenceOperations,
  ...apiKeyOperations,
  ...auditLogOperations,
  ...documentOperations,
];
