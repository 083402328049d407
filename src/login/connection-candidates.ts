import type { Database } from '../infra/postgres.ts';
import { isUniqueId } from '../infra/unique-id.ts';

export interface ConnectionChoice {
  readonly connectionId: string;
  readonly displayName: string;
  readonly isDefault: boolean;
}

export interface LoginHints {
  /** Id or slug. */
  readonly workspace?: string | undefined;
  readonly connection?: string | undefined;
}

/**
 * The enabled connections that can serve a login: a workspace's own and the instance-level ones that sync it; without a workspace
 * the instance's default connection, else all instance-level ones (R4). `connection` narrows to that one, which is returned switched
 * off too: whoever named it is told so.
 * Indexes: workspaces_pkey or workspaces_slug_key, connections_by_workspace, connection_workspaces_pkey, connections_pkey.
 */
export async function findCandidates(db: Database, hints: LoginHints): Promise<readonly ConnectionChoice[]> {
  const { workspace, connection } = hints;
  if (connection !== undefined && !isUniqueId(connection)) return [];
  const { rows } = await db.raw<{ rows: ChoiceRow[] }>(statementFor(hints), {
    workspace: workspace ?? null,
    connection: connection ?? null,
  });
  const found = rows.map((row) => ({
    connectionId: row.connection_id,
    displayName: row.display_name,
    isDefault: row.is_default,
  }));
  if (connection !== undefined || workspace !== undefined) return found;
  const preferred = found.filter(({ isDefault }) => isDefault);
  return preferred.length > 0 ? preferred : found;
}

interface ChoiceRow {
  readonly connection_id: string;
  readonly display_name: string;
  readonly is_default: boolean;
}

function statementFor({ workspace, connection }: LoginHints): string {
  if (workspace !== undefined) return selectForWorkspace(isUniqueId(workspace) ? 'workspace_id' : 'slug');
  return connection === undefined ? selectInstanceLevel : selectNamed;
}

/** Two branches, each along its index: joined by OR they would read every connection there is. */
function selectForWorkspace(column: 'workspace_id' | 'slug'): string {
  return `
    WITH w AS (SELECT workspace_id FROM workspaces WHERE ${column} = :workspace AND status = 'active'),
    serving AS (
      SELECT c.* FROM w JOIN connections c ON c.workspace_id = w.workspace_id
      UNION ALL
      SELECT c.* FROM w
        JOIN connection_workspaces s ON s.workspace_id = w.workspace_id AND s.enabled
        JOIN connections c ON c.connection_id = s.connection_id AND c.workspace_id IS NULL
    )
    SELECT connection_id, display_name, is_default FROM serving
    WHERE CASE WHEN :connection::uuid IS NULL THEN enabled ELSE connection_id = :connection::uuid END
    ORDER BY workspace_id IS NULL, is_default DESC, display_name, connection_id`;
}

const selectNamed = `
  SELECT c.connection_id, c.display_name, c.is_default
  FROM connections c LEFT JOIN workspaces w ON w.workspace_id = c.workspace_id
  WHERE c.connection_id = :connection AND (c.workspace_id IS NULL OR w.status = 'active')`;

/** A workspace's own connection is served only when it or its workspace is named. */
const selectInstanceLevel = `
  SELECT connection_id, display_name, is_default FROM connections
  WHERE workspace_id IS NULL AND enabled
  ORDER BY is_default DESC, display_name, connection_id`;
