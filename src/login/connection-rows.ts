import type { AllowedDomain, Connection, OidcSettings, SamlSettings, SyncTarget } from '../domain/connection.ts';
import { type GroupMapping, type GroupSyncSettings, settingsInForce } from '../domain/group-sync.ts';

/** A connection with what only its administration needs. */
export interface StoredConnection extends Connection {
  readonly workspaceSlug: string | null;
  /** Taken when a login names neither workspace nor connection. */
  readonly isDefault: boolean;
  readonly syncList: readonly SyncListEntry[];
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A workspace that an instance-level connection serves; null inherits the connection's value (R8, R9). */
export interface SyncListEntry {
  readonly workspaceId: string;
  readonly workspaceSlug: string;
  readonly isDefault: boolean;
  readonly enabled: boolean;
  readonly claimName: string | null;
  readonly mapping: GroupMapping | null;
}

export type ConnectionForLogin = Connection & {
  readonly targets: readonly SyncTarget[];
  readonly allowedDomains: readonly AllowedDomain[];
};

export interface ConnectionRow {
  readonly connection_id: string;
  readonly workspace_id: string | null;
  readonly display_name: string;
  readonly enabled: boolean;
  readonly protocol: SamlSettings | OidcSettings;
  readonly group_sync: GroupSyncSettings;
  readonly just_in_time_provisioning: boolean;
  readonly linking: Connection['linking'];
  readonly is_default: boolean;
  readonly version: string | number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

export interface StoredConnectionRow extends ConnectionRow {
  readonly workspace_slug: string | null;
  readonly sync_list: readonly SyncListEntry[];
}

export interface LoginConnectionRow extends ConnectionRow {
  readonly workspace_active: boolean;
  readonly targets: readonly SyncListEntry[];
  readonly allowed_domains: readonly AllowedDomain[];
}

/** `WHERE`, order and limit follow. Index: connections_pkey, connection_workspaces_by_connection. */
export const selectStoredConnections = `
  SELECT c.*, w.slug AS workspace_slug, (
    SELECT coalesce(json_agg(json_build_object(
      'workspaceId', s.workspace_id, 'workspaceSlug', sw.slug, 'isDefault', s.is_default, 'enabled', s.enabled,
      'claimName', s.claim_name_override, 'mapping', s.mapping_override) ORDER BY s.is_default DESC, sw.slug), '[]')
    FROM connection_workspaces s JOIN workspaces sw ON sw.workspace_id = s.workspace_id
    WHERE s.connection_id = c.connection_id) AS sync_list
  FROM connections c LEFT JOIN workspaces w ON w.workspace_id = c.workspace_id`;

/**
 * The connection with the workspaces that its logins concern. While sync is off that is the own or default one alone, so that people
 * get in with the fallback role; settings and list are kept, and nothing of them is applied (R12). Indexes: connections_pkey, connection_workspaces_by_connection, workspaces_pkey.
 */
export const selectConnectionForLogin = `
  SELECT c.*, coalesce(own.status = 'active', true) AS workspace_active, (
    SELECT coalesce(json_agg(json_build_object(
      'workspaceId', t.workspace_id, 'workspaceSlug', tw.slug, 'isDefault', t.is_default, 'enabled', true,
      'claimName', t.claim_name_override, 'mapping', t.mapping_override) ORDER BY t.is_default DESC, tw.slug), '[]')
    FROM (
      SELECT c.workspace_id, true AS is_default, NULL::text AS claim_name_override, NULL::jsonb AS mapping_override
      WHERE c.workspace_id IS NOT NULL
      UNION ALL
      SELECT s.workspace_id, s.is_default, s.claim_name_override, s.mapping_override
      FROM connection_workspaces s
      WHERE c.workspace_id IS NULL AND s.connection_id = c.connection_id AND s.enabled
    ) t JOIN workspaces tw ON tw.workspace_id = t.workspace_id AND tw.status = 'active'
    WHERE (c.group_sync->>'enabled')::boolean OR t.is_default) AS targets, (
    SELECT coalesce(json_agg(json_build_object('domain', d.domain, 'verified', d.status = 'verified') ORDER BY d.domain), '[]')
    FROM connection_domains d WHERE d.connection_id = c.connection_id AND d.status <> 'pending') AS allowed_domains
  FROM connections c LEFT JOIN workspaces own ON own.workspace_id = c.workspace_id
  WHERE c.connection_id = ?`;

export function storedConnectionOf(row: StoredConnectionRow): StoredConnection {
  return {
    ...connectionOf(row),
    workspaceSlug: row.workspace_slug,
    isDefault: row.is_default,
    syncList: row.sync_list,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

/** An archived workspace's own connection counts as switched off. */
export function connectionForLoginOf(row: LoginConnectionRow): ConnectionForLogin {
  const connection = connectionOf(row);
  return {
    ...connection,
    enabled: row.enabled && row.workspace_active,
    allowedDomains: row.allowed_domains,
    targets: row.targets.map((entry) => ({
      workspaceId: entry.workspaceId,
      workspaceSlug: entry.workspaceSlug,
      isDefault: entry.isDefault,
      groupSync: settingsInForce(connection.groupSync, entry),
    })),
  };
}

function connectionOf(row: ConnectionRow): Connection {
  return {
    connectionId: row.connection_id,
    workspaceId: row.workspace_id,
    displayName: row.display_name,
    enabled: row.enabled,
    protocol: row.protocol,
    groupSync: row.group_sync,
    justInTimeProvisioning: row.just_in_time_provisioning,
    linking: row.linking,
    version: Number(row.version),
  };
}
