import { isDeepStrictEqual } from 'node:util';
import type { AppGroup, RoleLadder } from '../domain/group-sync.ts';
import { appGroupOf, appGroupView } from '../http/routes/app-groups.ts';
import { workspaceView } from '../http/routes/workspaces.ts';
import type { Transaction } from '../infra/postgres.ts';
import { createCatalogueStore } from '../membership/catalogue-store.ts';
import { createWorkspaceStore, type Workspace } from '../membership/workspace-store.ts';
import { type Change, changeOf, refusal, renamed } from './declarative-change.ts';
import type { DeclaredWorkspace } from './declarative-schema.ts';

/** A workspace that is there, in whatever state. */
export interface MadeWorkspace {
  readonly workspace: Workspace;
  readonly created: boolean;
}

export interface WrittenWorkspace {
  readonly changes: readonly Change[];
  readonly catalogueChanged: boolean;
  readonly deletedGroupIds: readonly string[];
}

/** Workspaces and their app groups, within one transaction. */
export function workspaceWriterOn(tx: Transaction, deps: { readonly roles: RoleLadder; readonly now: () => Date }) {
  const workspaces = createWorkspaceStore({ db: tx, now: deps.now });
  const catalogue = createCatalogueStore({ db: tx, roles: deps.roles, now: deps.now });

  return {
    /** @throws BrokerError `conflict` for one that is archived */
    async make({ slug, display_name: displayName = slug }: DeclaredWorkspace): Promise<MadeWorkspace> {
      const stored = await workspaces.findBySlug(slug);
      if (stored === null) return { workspace: await workspaces.create({ slug, displayName }), created: true };
      if (stored.status === 'active') return { workspace: stored, created: false };
      throw refusal('slug', 'this workspace is archived, and its slug stays taken: choose another one', 'workspace_archived');
    },

    /** @param options `prune`: groups that the file does not name are to be deleted, if it names any list of them */
    async bringInLine(
      declared: DeclaredWorkspace,
      { workspace, created }: MadeWorkspace,
      { prune }: { readonly prune: boolean },
    ): Promise<WrittenWorkspace> {
      const own = created ? madeChange(workspace) : await rename(declared, workspace);
      if (declared.app_groups === undefined) return { changes: [own], catalogueChanged: false, deletedGroupIds: [] };
      const groups = await pushGroups(declared, workspace, { prune });
      return { ...groups, changes: [own, ...groups.changes] };
    },
  };

  async function rename({ slug, display_name: displayName = slug }: DeclaredWorkspace, workspace: Workspace): Promise<Change> {
    if (workspace.displayName === displayName) return { subject: `workspace ${slug}`, action: 'none' };
    const after = (await workspaces.rename(workspace.workspaceId, displayName)) ?? workspace;
    return changeOf(`workspace ${slug}`, ['display_name'], audited(workspace, workspaceView(workspace), workspaceView(after)));
  }

  async function pushGroups(
    { slug, app_groups: declared = [] }: DeclaredWorkspace,
    { workspaceId }: Workspace,
    { prune }: { readonly prune: boolean },
  ): Promise<WrittenWorkspace> {
    const before = await groupsOf(workspaceId);
    if (declared.length === 0 && (!prune || before.length === 0)) {
      return { changes: [], catalogueChanged: false, deletedGroupIds: [] };
    }
    const after = declared.length === 0 ? [] : await upsert(workspaceId, declared);
    const known = new Map(before.map((group) => [group.groupId, group]));
    const written = after.filter((group) => !isDeepStrictEqual(known.get(group.groupId), group));
    const created = written.filter(({ groupId }) => !known.has(groupId));
    const staying = new Set(after.map(({ groupId }) => groupId));
    const removed = prune ? before.filter(({ groupId }) => !staying.has(groupId)) : [];
    const counted = [
      [created.length, 'created'],
      [written.length - created.length, 'changed'],
      [removed.length, 'removed'],
    ] as const;
    const detail = counted.flatMap(([count, what]) => (count > 0 ? [`${count} ${what}`] : []));
    const change = changeOf(`app groups of ${slug}`, detail, {
      resource: 'app-groups',
      resourceId: null,
      workspaceId,
      before: [...written.flatMap(({ groupId }) => known.get(groupId) ?? []), ...removed].map(appGroupView),
      after: written.map(appGroupView),
    });
    return {
      changes: [change],
      catalogueChanged: detail.length > 0,
      deletedGroupIds: removed.map(({ groupId }) => groupId),
    };
  }

  async function upsert(workspaceId: string, declared: NonNullable<DeclaredWorkspace['app_groups']>) {
    const result = await catalogue.upsert(workspaceId, declared.map(appGroupOf)).catch((error: unknown) => {
      // The catalogue calls `groups` what the file calls `app_groups`.
      throw renamed(error, (field) => field.replace(/^groups/, 'app_groups'));
    });
    return result.groups;
  }

  /** Index: app_groups_pkey. */
  async function groupsOf(workspaceId: string): Promise<readonly AppGroup[]> {
    return tx('app_groups')
      .where({ workspace_id: workspaceId })
      .orderBy('group_id')
      .select('group_id as groupId', 'name', 'requires_role as requiresRole');
  }
}

function madeChange(workspace: Workspace): Change {
  const audit = audited(workspace, null, workspaceView(workspace));
  return { subject: `workspace ${workspace.slug}`, action: 'created', audit };
}

function audited({ workspaceId }: Workspace, before: unknown, after: unknown) {
  return { resource: 'workspaces', resourceId: workspaceId, workspaceId, before, after };
}
