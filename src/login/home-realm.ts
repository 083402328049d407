import { emailDomain } from '../domain/email-domain.ts';
import type { Database } from '../infra/postgres.ts';
import type { ConnectionChoice, LoginHints } from './connection-candidates.ts';

export interface HomeRealm {
  /** Enabled connections that speak for a domain. Users play no part: known and unknown people get the same answer. */
  connectionsOf(domain: string): Promise<readonly ConnectionChoice[]>;
  /** Whether there is any domain at all to be led by. */
  exists(): Promise<boolean>;
}

/** Index: connection_domains_by_domain. */
export function createHomeRealm({ db }: { readonly db: Database }): HomeRealm {
  return {
    async connectionsOf(domain) {
      const { rows } = await db.raw<{ rows: { connection_id: string; display_name: string; is_default: boolean }[] }>(
        `SELECT c.connection_id, c.display_name, c.is_default
           FROM connection_domains d JOIN connections c ON c.connection_id = d.connection_id
           LEFT JOIN workspaces w ON w.workspace_id = c.workspace_id
          WHERE d.domain = ? AND d.status <> 'pending' AND c.enabled AND coalesce(w.status = 'active', true)
          ORDER BY d.status = 'verified' DESC, c.is_default DESC, c.display_name, c.connection_id LIMIT 50`,
        [domain],
      );
      return rows.map((row) => ({
        connectionId: row.connection_id,
        displayName: row.display_name,
        isDefault: row.is_default,
      }));
    },

    async exists() {
      const { rows } = await db.raw<{ rows: unknown[] }>(`SELECT 1 FROM connection_domains WHERE status <> 'pending' LIMIT 1`);
      return rows.length > 0;
    },
  };
}

/** What a login has to choose from, and what the chooser page says. */
export interface Choice {
  readonly connections: readonly ConnectionChoice[];
  /** The page is to be shown although there is at most one: what was typed led nowhere. */
  readonly notice: 'email_unreadable' | 'email_domain_unknown' | null;
}

/**
 * The connections for a login. An address that the person typed, or that the app gave as `login_hint` while it named neither
 * workspace nor connection, leads to the connections of its domain (home-realm discovery).
 */
export async function chooseConnections(
  deps: { readonly candidates: (hints: LoginHints) => Promise<readonly ConnectionChoice[]>; readonly homeRealm: HomeRealm },
  wanted: LoginHints & { readonly email?: string | undefined; readonly loginHint?: string | undefined },
): Promise<Choice> {
  const { workspace, connection, email, loginHint } = wanted;
  const candidates = () =>
    deps.candidates({ ...(workspace !== undefined && { workspace }), ...(connection !== undefined && { connection }) });
  if (connection !== undefined) return { connections: await candidates(), notice: null };
  const domain = emailDomain(email ?? (workspace === undefined ? loginHint : undefined));
  if (domain !== null) {
    const found = await deps.homeRealm.connectionsOf(domain);
    const allowed = workspace === undefined ? found : within(found, await candidates());
    if (allowed.length > 0) return { connections: allowed, notice: null };
  }
  const typed = email === undefined ? null : domain === null ? 'email_unreadable' : 'email_domain_unknown';
  return { connections: await candidates(), notice: typed };
}

/** What the app asked for still narrows it. */
function within(found: readonly ConnectionChoice[], candidates: readonly ConnectionChoice[]): ConnectionChoice[] {
  const ids = new Set(candidates.map(({ connectionId }) => connectionId));
  return found.filter(({ connectionId }) => ids.has(connectionId));
}
