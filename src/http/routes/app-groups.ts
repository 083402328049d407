import { Router } from 'express';
import { z } from 'zod';
import type { AppGroup } from '../../domain/group-sync.ts';
import { isUniqueId } from '../../infra/unique-id.ts';
import type { CatalogueChanges, GroupImpact } from '../../membership/catalogue-changes.ts';
import type { CatalogueStore } from '../../membership/catalogue-store.ts';
import type { ReevaluationResult } from '../../membership/reevaluate.ts';
import { askConfirmation, confirmationQuery } from '../confirmation.ts';
import { checkIfMatch, etagOf, hasPrecondition, sendTagged } from '../etag.ts';
import { idPageQuery, pageOf, parseBody, parseQuery, pathId } from '../request-input.ts';
import { activeWorkspace, type FindWorkspace } from './workspace-scope.ts';

export interface AppGroupRouteDeps {
  readonly catalogue: Pick<CatalogueStore, 'list'>;
  readonly catalogueChanges: CatalogueChanges;
  readonly findWorkspace: FindWorkspace;
  /** Called after a change, so that this process forgets what it cached. */
  readonly onCatalogueChange: (workspaceId: string) => void;
  /** Called when events were appended. */
  readonly onEvents: () => void;
}

/** The catalogue of app groups of one workspace, mounted below it. */
export function createAppGroupRoutes(deps: AppGroupRouteDeps): Router {
  const { catalogue, catalogueChanges, findWorkspace, onCatalogueChange, onEvents } = deps;
  const router = Router({ mergeParams: true });

  // Creates and updates; groups that are not named stay.
  router.put('/', async (req, res) => {
    const { workspaceId } = activeWorkspace(await findWorkspace(req));
    const { apply } = parseQuery(applyQuery, req);
    const { groups } = parseBody(catalogueSchema, req);
    const check = (version: number) => checkIfMatch(req, {}, catalogueTag(version));
    const result = await catalogueChanges.push(workspaceId, groups.map(appGroupOf), {
      applyNow: apply === 'now',
      check: hasPrecondition(req) ? check : undefined,
    });
    onCatalogueChange(workspaceId);
    if (apply === 'now') onEvents();
    res.json({ data: result.groups.map(appGroupView), created: result.created, updated: result.updated });
  });

  router.get('/', async (req, res) => {
    // The version is read before the groups: a tag is never newer than what it stands for.
    const { workspaceId, catalogueVersion } = await findWorkspace(req);
    const { limit, after } = parseQuery(appGroupListQuery, req);
    const rows = await catalogue.list(workspaceId, { after, limit: limit + 1 });
    const page = pageOf(rows, limit, { cursor: ({ groupId }) => groupId, view: appGroupView });
    sendTagged(req, res, page, catalogueTag(catalogueVersion));
  });

  router.get('/:group_id', async (req, res) => {
    const { workspaceId } = await findWorkspace(req);
    sendTagged(req, res, appGroupView(await catalogueChanges.get(workspaceId, pathId(req, 'group_id'))));
  });

  router.patch('/:group_id', async (req, res) => {
    const { workspaceId } = activeWorkspace(await findWorkspace(req));
    const { apply } = parseQuery(applyQuery, req);
    const { name, requires_role: requiresRole } = parseBody(appGroupPatchSchema, req);
    const check = (stored: AppGroup) => checkIfMatch(req, appGroupView(stored));
    const { group, reevaluated } = await catalogueChanges.update(
      workspaceId,
      pathId(req, 'group_id'),
      { name, requiresRole },
      { applyNow: apply === 'now', ...(hasPrecondition(req) && { check }) },
    );
    onCatalogueChange(workspaceId);
    if (reevaluated) onEvents();
    res.setHeader('etag', etagOf(appGroupView(group)));
    res.json({ ...appGroupView(group), reevaluated: reevaluated && reevaluatedView(reevaluated) });
  });

  // Without members at once; else the first request is answered with the warning, the one that carries its token deletes.
  router.delete('/:group_id', async (req, res) => {
    const { workspaceId } = activeWorkspace(await findWorkspace(req));
    const { confirm } = parseQuery(groupRemovalQuery, req);
    const removal = await catalogueChanges.remove(workspaceId, pathId(req, 'group_id'), { confirm });
    if (removal.kind === 'unconfirmed') {
      askConfirmation(req, res, { ...removal, impact: groupImpactView(removal.impact) });
      return;
    }
    onCatalogueChange(workspaceId);
    if (removal.members > 0) onEvents();
    res.status(204).end();
  });

  return router;
}

/** The collection changes as one. */
function catalogueTag(version: number): string {
  return `"catalogue-${version}"`;
}

/** Shared with the declarative file. */
export const appGroupSchema = z.strictObject({
  group_id: z.string().refine(isUniqueId, 'give an id in lower-case UUID form').optional(),
  name: z.string().min(1, 'give at least one character').max(1_000, 'give at most 1000 characters'),
  requires_role: z.string().nullable().default(null),
});

export function appGroupOf(input: z.output<typeof appGroupSchema>) {
  return { groupId: input.group_id, name: input.name, requiresRole: input.requires_role };
}

export const catalogueSchema = z.strictObject({
  groups: z.array(appGroupSchema).max(10_000, 'give at most 10000 groups at once'),
});
export const appGroupListQuery = z.strictObject(idPageQuery);

export function appGroupView({ groupId, name, requiresRole }: AppGroup) {
  return { group_id: groupId, name, requires_role: requiresRole };
}

/** `now`: members whom a changed requirement concerns are re-evaluated at once. */
export const applyQuery = z.strictObject({ apply: z.literal('now').optional() });
export const groupRemovalQuery = z.strictObject(confirmationQuery);
export const appGroupPatchSchema = z.strictObject({
  name: appGroupSchema.shape.name.optional(),
  requires_role: z.string().nullable().optional(),
});

export function reevaluatedView({ examined, changed, unknown }: ReevaluationResult) {
  return { examined, changed, unknown };
}

export function groupImpactView({ members, firstUserIds }: GroupImpact) {
  return { members, first_members: firstUserIds.map((userId) => ({ user_id: userId })) };
}
