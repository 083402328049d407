import type { Database } from '../../src/infra/postgres.ts';
import { uniqueId } from '../../src/infra/unique-id.ts';
import { compileCatalogue } from '../../src/mapping/catalogue.ts';
import { compileMapping } from '../../src/mapping/compile.ts';
import { resolveEntitlements } from '../../src/mapping/resolve.ts';
import { createApplyLogin, type SyncResult } from '../../src/membership/apply.ts';
import { createCatalogueStore } from '../../src/membership/catalogue-store.ts';
import type { WorkspaceSync } from '../../src/membership/decision.ts';
import { connectionWorld } from './connection-world.ts';
import { anIdentity } from './membership-world.ts';
import { ladder } from './sync-builder.ts';

/** Logins by whatever settings and catalogue are stored, without an IdP. */
export function loginsOn(db: Database) {
  const now = () => new Date();
  const { connections } = connectionWorld(db);
  const catalogue = createCatalogueStore({ db, roles: ladder, now });
  const applyLogin = createApplyLogin({ db, ladder, now });

  /** @param names null: the answer has no groups claim */
  return async function logIn(connectionId: string, subject: string, names: readonly string[] | null): Promise<SyncResult> {
    const connection = await connections.loadForLogin(connectionId);
    if (!connection) throw new Error('there is no such connection');
    const workspaces: WorkspaceSync[] = [];
    for (const { workspaceId, workspaceSlug, groupSync: settings } of connection.targets) {
      const entitlements = resolveEntitlements({
        mapping: compileMapping(settings.mapping),
        catalogue: compileCatalogue(await catalogue.loadCatalogue(workspaceId)),
        ladder,
        groups: settings.enabled ? (names ?? []) : [],
      });
      const groups = names
        ? ({ state: 'known', names, source: 'saml_attributes' } as const)
        : ({ state: 'unknown', reason: 'absent', detail: 'no attribute' } as const);
      workspaces.push({ workspaceId, workspaceSlug, settings, groups, entitlements, newGroups: [] });
    }
    return applyLogin({
      loginId: uniqueId(now()),
      connectionId,
      justInTimeProvisioning: true,
      identity: anIdentity(subject),
      workspaces,
      lastGroups: names && Object.fromEntries(workspaces.map(({ settings }) => [settings.groupClaim.name, names])),
      traceDetail: {
        workspaces: workspaces.map(({ workspaceId, groups }) => ({ workspace_id: workspaceId, groups })),
      },
    });
  };
}

/** Every membership of a workspace as the app sees it, by the user's e-mail. */
export async function accessIn(db: Database, workspaceId: string): Promise<Record<string, string>> {
  const { rows } = await db.raw(
    `SELECT u.email, m.status, m.role, ARRAY(SELECT g.name FROM app_groups g WHERE g.group_id = ANY (m.group_ids) ORDER BY 1) AS groups
       FROM memberships m JOIN users u ON u.user_id = m.user_id WHERE m.workspace_id = ? ORDER BY u.email`,
    [workspaceId],
  );
  const text = (row: { status: string; role: string; groups: string[] }) =>
    row.status === 'removed' ? 'none' : [row.role, ...row.groups].join(' ');
  return Object.fromEntries(
    rows.map((row: { email: string; status: string; role: string; groups: string[] }) => [row.email.split('@')[0], text(row)]),
  );
}

/** Membership events in the order in which they happened. */
export async function membershipEvents(db: Database): Promise<{ type: string; user: string; version: number; cause: string }[]> {
  const { rows } = await db.raw(
    `SELECT type, payload->'data'->'user'->>'email' AS user, (payload->'data'->>'version')::int AS version,
            payload->'data'->'cause'->>'kind' AS cause
       FROM events WHERE type LIKE 'membership.%' ORDER BY position`,
  );
  return rows;
}

/**
 * Users whom a connection knows by their last groups, without memberships so far: an applied plan makes those.
 * @param groups SQL of a JSON array of names, in which `n` is the number of the user from 1
 */
export async function fillIdentities(db: Database, connectionId: string, count: number, groups: string): Promise<void> {
  await db.raw(
    `WITH people AS MATERIALIZED (
       SELECT n, (lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000')::uuid AS user_id FROM generate_series(1, :count::int) AS n),
     made AS (INSERT INTO users (user_id, email, name) SELECT user_id, 'user' || n || '@example.com', 'User ' || n FROM people)
     INSERT INTO identities (connection_id, subject, issuer, user_id, last_groups, last_groups_at, groups_fingerprint, last_login_at)
     SELECT :connectionId, 'user' || n, 'https://idp.example.com', user_id, jsonb_build_object('groups', ${groups}), now(),
            md5((${groups})::text), now() FROM people`,
    { count, connectionId },
  );
}
