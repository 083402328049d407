import { BrokerError } from '../domain/broker-error.ts';
import type { Groups } from '../domain/federated-identity.ts';
import type { RoleLadder } from '../domain/group-sync.ts';
import type { GroupRef, MappingWarning, Reason } from '../domain/membership.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { resolveEntitlements } from '../mapping/resolve.ts';
import { decideMembership, keepLastAdmin, type StoredMembership, type WorkspaceSync, wouldDemoteAdmin } from './decision.ts';
import { syncOfLastGroups } from './reevaluate.ts';
import { createCompiler } from './reevaluation-compiler.ts';
import { hasAdminBeside, readConnectionsInForce, readMembers } from './reevaluation-store.ts';

export interface SimulationRequest {
  readonly connectionId: string;
  /** The workspaces to look at; all of them are served by the connection. */
  readonly workspaceIds: readonly string[];
  /** Group names as an IdP would send them, null for an answer without the claim; or a user, by the groups last seen. */
  readonly given: { readonly groups: readonly string[] | null } | { readonly userId: string };
}

export interface Simulation {
  readonly workspaceId: string;
  readonly workspaceSlug: string;
  /** `hold`: the membership stays as it is. `deny`: the login is refused, unless another workspace grants access. */
  readonly decision: 'grant' | 'hold' | 'deny';
  readonly because: 'mapping' | 'no_matching_group' | 'groups_unknown' | 'group_sync_off' | 'last_admin';
  readonly claim: string;
  /** The groups that it went by; null: not known. */
  readonly idpGroups: readonly string[] | null;
  readonly role: string | null;
  readonly groups: readonly GroupRef[];
  readonly reasons: readonly Reason[];
  readonly warnings: readonly MappingWarning[];
  /** What the user has now; null for given groups, and where there is no membership. */
  readonly current: { readonly role: string; readonly groups: readonly GroupRef[] } | null;
}

export type Simulate = ReturnType<typeof createSimulate>;

/** R38: what a login with these groups would give, without one. Writes nothing. */
export function createSimulate({ db, ladder }: { readonly db: Database; readonly ladder: RoleLadder }) {
  /** @throws BrokerError `not_found` for a user whom the connection does not know */
  return function simulate(request: SimulationRequest): Promise<readonly Simulation[]> {
    return db.transaction(async (tx) => {
      const compile = createCompiler();
      const simulations: Simulation[] = [];
      for (const workspaceId of request.workspaceIds) {
        const simulation = await simulateIn(tx, workspaceId, request);
        if (simulation) simulations.push(simulation);
      }
      return simulations;

      async function simulateIn(tx: Transaction, workspaceId: string, { connectionId, given }: SimulationRequest) {
        const connection = (await readConnectionsInForce(tx, workspaceId)).get(connectionId);
        if (!connection) return null;
        const workspace = await compile.workspace(tx, workspaceId);
        const { settings, protocol } = connection;
        const member = 'userId' in given ? await findMember(tx, workspaceId, given.userId, connectionId) : null;
        const lastGroups =
          'userId' in given ? (member?.groups ?? null) : given.groups && { [settings.groupClaim.name]: given.groups };
        const mapping = compile.mapping(workspaceId, connection);
        const known = syncOfLastGroups(
          { settings, protocol, groups: lastGroups },
          { workspaceId, ...workspace, mapping, ladder },
        );
        const sync = known ?? {
          workspaceId,
          workspaceSlug: workspace.workspaceSlug,
          settings,
          groups: unknownGroups(settings.groupClaim.name),
          entitlements: resolveEntitlements({ mapping, catalogue: workspace.catalogue, ladder, groups: [] }),
          newGroups: [],
        };
        return simulationOf(tx, sync, member?.membership ?? null);
      }
    });
  };

  async function simulationOf(tx: Transaction, sync: WorkspaceSync, membership: StoredMembership | null): Promise<Simulation> {
    const { settings, groups, workspaceId, workspaceSlug } = sync;
    const mapped = decideMembership(membership, sync, ladder);
    const demotes = membership && settings.keepLastAdmin && wouldDemoteAdmin(membership, mapped, ladder);
    const last = demotes && !(await hasAdminBeside(tx, workspaceId, [membership.userId], ladder[0]));
    const decision = last ? keepLastAdmin(mapped, ladder) : mapped;
    const granted = decision.kind === 'grant' ? decision : null;
    const kept = decision.kind === 'hold' && membership?.status === 'active' ? membership : null;
    return {
      workspaceId,
      workspaceSlug,
      decision: decision.kind,
      because: last ? 'last_admin' : becauseOf(sync),
      claim: settings.groupClaim.name,
      idpGroups: groups.state === 'known' ? groups.names : null,
      role: granted?.role ?? kept?.role ?? null,
      groups: granted?.groups ?? kept?.groups ?? [],
      reasons: granted?.reasons ?? kept?.reasons ?? [],
      warnings: granted?.warnings ?? [],
      current: membership?.status === 'active' ? { role: membership.role, groups: membership.groups } : null,
    };
  }
}

function becauseOf({ settings, groups, entitlements }: WorkspaceSync): Simulation['because'] {
  if (!settings.enabled) return 'group_sync_off';
  if (groups.state === 'unknown') return 'groups_unknown';
  return entitlements.matched ? 'mapping' : 'no_matching_group';
}

function unknownGroups(claim: string): Groups {
  return { state: 'unknown', reason: 'absent', detail: `no groups are known for the claim "${claim}"` };
}

async function findMember(tx: Transaction, workspaceId: string, userId: string, connectionId: string) {
  const connections = new Map([[connectionId, null]]);
  const [member] = await readMembers(tx, workspaceId, [userId], { connections, everyone: true });
  if (!member?.lastLogin) throw new BrokerError('not_found', 'the connection knows no such active user');
  return { membership: member.membership, groups: member.lastLogin.groups };
}
