import { Router } from 'express';
import { z } from 'zod';
import type { AppGroup } from '../../domain/group-sync.ts';
import { isUniqueId } from '../../infra/unique-id.ts';
import type { CatalogueStore } from '../../membership/catalogue-store.ts';
import { idPageQuery, pageOf, parseBody, parseQuery } from '../request-input.ts';
import type { FindWorkspace } from './workspace-scope.ts';

export interface AppGroupRouteDeps {
  readonly catalogue: CatalogueStore;
  readonly findWorkspace: FindWorkspace;
  /** Called after a change, so that this process forgets what it cached. */
  readonly onCatalogueChange: (workspaceId: string) => void;
}

/** The catalogue of app groups of one workspace, mounted below it. */
export function createAppGroupRoutes({ catalogue, findWorkspace, onCatalogueChange }: AppGroupRouteDeps): Router {
  const router = Router({ mergeParams: true });

  // Creates and updates; groups that are not named stay.
  router.put('/', async (req, res) => {
    const { workspaceId } = await findWorkspace(req);
    const { groups } = parseBody(catalogueSchema, req);
    const result = await catalogue.upsert(workspaceId, groups.map(appGroupOf));
    onCatalogueChange(workspaceId);
    res.json({ data: result.groups.map(appGroupView), created: result.created, updated: result.updated });
  });

  router.get('/', async (req, res) => {
    const { workspaceId } = await findWorkspace(req);
    const { limit, after } = parseQuery(listQuery, req);
    const rows = await catalogue.list(workspaceId, { after, limit: limit + 1 });
    res.json(pageOf(rows, limit, { cursor: ({ groupId }) => groupId, view: appGroupView }));
  });

  return router;
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

const catalogueSchema = z.strictObject({ groups: z.array(appGroupSchema).max(10_000, 'give at most 10000 groups at once') });
const listQuery = z.strictObject(idPageQuery);

function appGroupView({ groupId, name, requiresRole }: AppGroup) {
  return { group_id: groupId, name, requires_role: requiresRole };
}
