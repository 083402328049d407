import { BrokerError } from '../domain/broker-error.ts';
import type { AppGroup, RoleLadder } from '../domain/group-sync.ts';
import type { Database } from '../infra/postgres.ts';
import { readConnectionsInForce } from './reevaluation-store.ts';
import { type WhyNot, whyNot } from './why-not.ts';

export type ExplainWhyNot = ReturnType<typeof createExplainWhyNot>;

/** R37: collects what is known about a member and asks why they do not have a group or role. */
export function createExplainWhyNot({ db, ladder }: { readonly db: Database; readonly ladder: RoleLadder }) {
  /** @throws BrokerError `not_found` for no member */
  return function explainWhyNot(workspaceId: string, userId: string, asked: string): Promise<WhyNot> {
    return db.transaction(async (tx) => {
      const member = await tx('memberships as m')
        .join('users as u', 'u.user_id', 'm.user_id')
        .where({ 'm.workspace_id': workspaceId, 'm.user_id': userId })
        .first<MemberRow | undefined>('m.role', 'm.group_ids', 'm.status', 'm.connection_id', 'u.status as user_status');
      if (!member) throw new BrokerError('not_found', 'the workspace has no such member');
      const catalogue: AppGroup[] = await tx('app_groups')
        .where({ workspace_id: workspaceId })
        .select('group_id as groupId', 'name', 'requires_role as requiresRole');
      const connections = await readConnectionsInForce(tx, workspaceId);
      // The identity that a re-evaluation would go by: of the connection that the membership came by, else the newest.
      const { rows } = await tx.raw<{ rows: IdentityRow[] }>(
        `SELECT i.connection_id, i.last_groups FROM identities i
          WHERE i.user_id = :userId AND i.connection_id = ANY (:connectionIds::uuid[])
          ORDER BY i.connection_id IS NOT DISTINCT FROM :connectionId::uuid DESC, i.last_login_at DESC NULLS LAST LIMIT 1`,
        { userId, connectionIds: [...connections.keys()], connectionId: member.connection_id },
      );
      const connection = rows[0] && connections.get(rows[0].connection_id);
      const names = new Map(catalogue.map(({ groupId, name }) => [groupId, name]));
      return whyNot({
        asked,
        ladder,
        catalogue,
        membership: {
          status: member.status,
          role: member.role,
          groups: member.group_ids.flatMap((groupId) => names.get(groupId) ?? []),
        },
        userArchived: member.user_status === 'archived',
        source: connection
          ? { settings: connection.settings, groups: rows[0]?.last_groups ?? null, held: await heldAtLastLogin() }
          : null,
      });

      /** What the newest login's trace says of this workspace. Index: login_traces_by_user. */
      async function heldAtLastLogin(): Promise<{ reason: string; detail: string } | null> {
        const trace = await tx('login_traces')
          .where({ user_id: userId, connection_id: connection?.connectionId })
          .orderBy('occurred_at', 'desc')
          .first<TraceRow | undefined>('detail');
        const groups = trace?.detail.workspaces?.find((each) => each.workspace_id === workspaceId)?.groups;
        return groups?.state === 'unknown' ? { reason: groups.reason ?? 'unknown', detail: groups.detail ?? '' } : null;
      }
    });
  };
}

interface MemberRow {
  readonly role: string;
  readonly group_ids: readonly string[];
  readonly status: 'active' | 'removed';
  readonly connection_id: string | null;
  readonly user_status: 'active' | 'archived';
}

interface IdentityRow {
  readonly connection_id: string;
  readonly last_groups: Readonly<Record<string, readonly string[]>> | null;
}

interface TraceRow {
  readonly detail: {
    readonly workspaces?: readonly {
      readonly workspace_id: string;
      readonly groups?: { readonly state: string; readonly reason?: string; readonly detail?: string };
    }[];
  };
}
