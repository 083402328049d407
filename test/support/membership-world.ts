import type { FederatedIdentity } from '../../src/domain/federated-identity.ts';
import type { AppGroup } from '../../src/domain/group-sync.ts';
import type { Database } from '../../src/infra/postgres.ts';
import { uniqueId } from '../../src/infra/unique-id.ts';
import { compileCatalogue } from '../../src/mapping/catalogue.ts';
import { compileMapping } from '../../src/mapping/compile.ts';
import { resolveEntitlements } from '../../src/mapping/resolve.ts';
import type { LoginSync } from '../../src/membership/apply.ts';
import type { WorkspaceSync } from '../../src/membership/decision.ts';
import { aSettings, ladder } from './sync-builder.ts';

/** A workspace with its catalogue and a connection of its own, straight in the tables. */
export interface World {
  readonly connectionId: string;
  readonly workspaceId: string;
  readonly catalogue: readonly AppGroup[];
}

export async function aWorld(db: Database, slug: string, groups: readonly Omit<AppGroup, 'groupId'>[] = []): Promise<World> {
  const now = new Date();
  const [workspaceId, connectionId] = [uniqueId(now), uniqueId(now)];
  const catalogue = groups.map((group) => ({ ...group, groupId: uniqueId(now) }));
  await db('workspaces').insert({ workspace_id: workspaceId, slug, display_name: slug });
  await db('connections').insert({
    connection_id: connectionId,
    workspace_id: workspaceId,
    display_name: `${slug} IdP`,
    protocol: { type: 'saml' },
    group_sync: {},
  });
  for (const { groupId, name, requiresRole } of catalogue) {
    await db('app_groups').insert({ workspace_id: workspaceId, group_id: groupId, name, requires_role: requiresRole });
  }
  return { connectionId, workspaceId, catalogue };
}

/** The sync of a workspace for a list of IdP groups; `null`: the claim was absent. */
export function syncOf(world: World, slug: string, names: readonly string[] | null, settings = aSettings()): WorkspaceSync {
  const entitlements = resolveEntitlements({
    mapping: compileMapping(settings.mapping),
    catalogue: compileCatalogue(world.catalogue),
    ladder,
    groups: names ?? [],
  });
  return {
    workspaceId: world.workspaceId,
    workspaceSlug: slug,
    settings,
    groups: names
      ? { state: 'known', names, source: 'saml_attributes' }
      : { state: 'unknown', reason: 'absent', detail: 'no attribute "groups"' },
    entitlements,
    newGroups: [],
  };
}

export function aLogin(
  world: World,
  subject: string,
  workspaces: readonly WorkspaceSync[],
  overrides: Partial<LoginSync> = {},
): LoginSync {
  const now = new Date();
  const known = workspaces.flatMap(({ settings, groups }) =>
    groups.state === 'known' ? [[settings.groupClaim.name, groups.names] as const] : [],
  );
  return {
    loginId: uniqueId(now),
    connectionId: world.connectionId,
    justInTimeProvisioning: true,
    identity: anIdentity(subject),
    workspaces,
    lastGroups: known.length > 0 ? Object.fromEntries(known) : null,
    traceDetail: { protocol: 'saml' },
    ...overrides,
  };
}

export function anIdentity(subject: string, overrides: Partial<FederatedIdentity> = {}): FederatedIdentity {
  return {
    issuer: 'https://idp.example.com',
    subject,
    profile: { email: `${subject}@example.com`, emailVerified: false, name: subject, givenName: null, familyName: null },
    claims: [],
    answerId: uniqueId(new Date()),
    answerExpiresAt: new Date(Date.now() + 600_000),
    authenticatedAt: null,
    sessionId: null,
    ...overrides,
  };
}

/** Workspaces on the sync list of one connection of the instance; the first is its default. */
export async function anInstanceWorld<Slugs extends readonly string[]>(
  db: Database,
  slugs: Slugs,
  groups: readonly Omit<AppGroup, 'groupId'>[] = [],
): Promise<{ [Each in keyof Slugs]: World }> {
  const connectionId = uniqueId(new Date());
  await db('connections').insert({
    connection_id: connectionId,
    display_name: `${slugs[0]} IdP`,
    protocol: { type: 'saml' },
    group_sync: aSettings(),
  });
  const worlds: World[] = [];
  for (const [index, slug] of slugs.entries()) {
    const world = await aWorld(db, slug, groups);
    const entry = { connection_id: connectionId, workspace_id: world.workspaceId, is_default: index === 0 };
    await db('connection_workspaces').insert(entry);
    worlds.push({ ...world, connectionId });
  }
  return worlds as { [Each in keyof Slugs]: World };
}
