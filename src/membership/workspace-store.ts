import { BrokerError } from '../domain/broker-error.ts';
import type { Database } from '../infra/postgres.ts';
import { isUniqueId, uniqueId } from '../infra/unique-id.ts';

/** A tenant of the app. */
export interface Workspace {
  readonly workspaceId: string;
  readonly slug: string;
  readonly displayName: string;
  readonly status: 'active' | 'archived';
  /** Grows with each change of the catalogue of app groups. */
  readonly catalogueVersion: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Slugs stand in addresses and in `workspace=`. One that looks like an id would be taken for one. */
export function slugProblem(slug: string): string | null {
  if (isUniqueId(slug)) return 'an id cannot be a slug';
  return /^[a-z0-9][a-z0-9-]{0,62}$/.test(slug)
    ? null
    : 'give 1 to 63 lower-case letters, digits or hyphens, not beginning with a hyphen';
}

export type WorkspaceStore = ReturnType<typeof createWorkspaceStore>;

export function createWorkspaceStore({ db, now }: { readonly db: Database; readonly now: () => Date }) {
  async function get(workspaceId: string): Promise<Workspace | null> {
    if (!isUniqueId(workspaceId)) return null;
    const row = await db<WorkspaceRow>('workspaces').where({ workspace_id: workspaceId }).first();
    return row ? workspaceOf(row) : null;
  }

  async function findBySlug(slug: string): Promise<Workspace | null> {
    const row = await db<WorkspaceRow>('workspaces').where({ slug }).first();
    return row ? workspaceOf(row) : null;
  }

  async function checkedRename(workspaceId: string, displayName: string, check: (current: Workspace) => void) {
    return db.transaction(async (tx) => {
      const row = await tx<WorkspaceRow>('workspaces').where({ workspace_id: workspaceId }).forNoKeyUpdate().first();
      if (!row) return null;
      check(workspaceOf(row));
      return createWorkspaceStore({ db: tx, now }).rename(workspaceId, displayName);
    });
  }

  return {
    get,
    findBySlug,

    /** By id or slug. */
    find(reference: string): Promise<Workspace | null> {
      return isUniqueId(reference) ? get(reference) : findBySlug(reference);
    },

    /** @throws BrokerError `conflict` when the slug is taken, `validation_failed` */
    async create(input: { readonly slug: string; readonly displayName: string }): Promise<Workspace> {
      const problem = slugProblem(input.slug);
      if (problem !== null) throw slugError('validation_failed', problem);
      const rows = await db<WorkspaceRow>('workspaces')
        .insert({
          workspace_id: uniqueId(now()),
          slug: input.slug,
          display_name: input.displayName,
          created_at: now(),
          updated_at: now(),
        })
        .onConflict('slug')
        .ignore()
        .returning('*');
      if (!rows[0]) throw slugError('conflict', 'another workspace has this slug');
      return workspaceOf(rows[0]);
    },

    /**
     * Null: there is no such workspace.
     * @param check gets it as it is, locked; throws what forbids the change
     */
    async rename(workspaceId: string, displayName: string, check?: (current: Workspace) => void): Promise<Workspace | null> {
      if (check) return checkedRename(workspaceId, displayName, check);
      const rows = await db<WorkspaceRow>('workspaces')
        .where({ workspace_id: workspaceId })
        .update({ display_name: displayName, updated_at: now() })
        .returning('*');
      return rows[0] ? workspaceOf(rows[0]) : null;
    },

    /** Pages in the order of their making. */
    async list(page: { readonly after?: string | undefined; readonly limit: number }): Promise<readonly Workspace[]> {
      const query = db<WorkspaceRow>('workspaces').orderBy('workspace_id').limit(page.limit);
      if (page.after !== undefined) query.where('workspace_id', '>', page.after);
      return (await query).map(workspaceOf);
    },
  };
}

interface WorkspaceRow {
  workspace_id: string;
  slug: string;
  display_name: string;
  status: 'active' | 'archived';
  catalogue_version: number;
  created_at: Date;
  updated_at: Date;
}

function workspaceOf(row: WorkspaceRow): Workspace {
  return {
    workspaceId: row.workspace_id,
    slug: row.slug,
    displayName: row.display_name,
    status: row.status,
    catalogueVersion: row.catalogue_version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function slugError(code: 'validation_failed' | 'conflict', message: string): BrokerError {
  return new BrokerError(code, `slug: ${message}`, {
    fields: [{ path: 'slug', message }],
    ...(code === 'conflict' ? { reason: 'slug_taken' } : {}),
  });
}
