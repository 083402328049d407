import { BrokerError, type FieldError } from '../domain/broker-error.ts';
import { type AppGroup, fitsAppGroup, type RoleLadder } from '../domain/group-sync.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { uniqueId } from '../infra/unique-id.ts';

/** An app group as the app pushes it: with an id it is that group, whatever it is called now; without one it goes by its name. */
export interface AppGroupInput {
  readonly groupId?: string | undefined;
  readonly name: string;
  /** The lowest role that the group's permissions require; null: none. */
  readonly requiresRole: string | null;
}

export interface UpsertResult {
  /** In the order of the input, with their ids. */
  readonly groups: readonly AppGroup[];
  readonly created: number;
  readonly updated: number;
}

export type CatalogueStore = ReturnType<typeof createCatalogueStore>;

/** The catalogue of app groups of each workspace, as the app pushes it. */
export function createCatalogueStore(deps: { readonly db: Database; readonly roles: RoleLadder; readonly now: () => Date }) {
  const { db, roles, now } = deps;

  return {
    /**
     * Creates and updates app groups, all or none, in one statement; groups that are not named stay. A group given with its id is
     * renamed and keeps its members. A change raises the workspace's `catalogue_version`.
     * @param check gets the catalogue's version, locked; throws what forbids the change
     * @throws BrokerError `validation_failed` and `conflict` naming each group by its position; `not_found` for the workspace
     */
    async upsert(
      workspaceId: string,
      groups: readonly AppGroupInput[],
      check?: (catalogueVersion: number) => void,
    ): Promise<UpsertResult> {
      const errors = checkGroups(groups, roles);
      if (errors.length > 0) throw new BrokerError('validation_failed', 'the catalogue has errors', { fields: errors });
      try {
        return await write(workspaceId, groups, check);
      } catch (error) {
        // Two pushes of the same new name at once: the second finds the group of the first. A caller's transaction is over by now.
        if (!isNameTaken(error) && !isDeadlock(error)) throw missingWorkspace(error);
        if (db.isTransaction) throw isNameTaken(error) ? nameTaken(error) : error;
        return await write(workspaceId, groups, check).catch((again: unknown) => {
          throw isNameTaken(again) ? nameTaken(again) : again;
        });
      }
    },

    /** Pages in the order of their ids. Index: app_groups_pkey. */
    async list(
      workspaceId: string,
      page: { readonly after?: string | undefined; readonly limit: number },
    ): Promise<readonly AppGroup[]> {
      const { rows } = await db.raw<{ rows: AppGroupRow[] }>(
        `SELECT group_id, name, requires_role FROM app_groups
          WHERE workspace_id = :workspaceId AND (:after::uuid IS NULL OR group_id > :after::uuid)
          ORDER BY group_id LIMIT :limit`,
        { workspaceId, after: page.after ?? null, limit: page.limit },
      );
      return rows.map(appGroupOf);
    },

    /** The whole catalogue of a workspace, for the mapping. */
    async loadCatalogue(workspaceId: string): Promise<readonly AppGroup[]> {
      const rows = await db('app_groups')
        .where({ workspace_id: workspaceId })
        .select<AppGroupRow[]>('group_id', 'name', 'requires_role');
      return rows.map(appGroupOf);
    },
  };

  /** Renames need a statement before: a unique name holds at every moment, so that two groups cannot swap theirs in one. */
  async function write(
    workspaceId: string,
    groups: readonly AppGroupInput[],
    check: ((catalogueVersion: number) => void) | undefined,
  ): Promise<UpsertResult> {
    const renames = groups.some(({ groupId }) => groupId !== undefined);
    if (!renames && check === undefined) return writeOn(db, workspaceId, groups);
    return db.transaction(async (tx) => {
      if (check !== undefined) {
        const workspace = await tx('workspaces').where({ workspace_id: workspaceId }).forUpdate().first('catalogue_version');
        if (workspace) check(workspace.catalogue_version);
      }
      if (renames) {
        await tx.raw(freeTakenNames, {
          workspaceId,
          ids: groups.map(({ groupId }) => groupId ?? null),
          names: groups.map(({ name }) => name),
        });
      }
      return writeOn(tx, workspaceId, groups);
    });
  }

  async function writeOn(
    on: Database | Transaction,
    workspaceId: string,
    groups: readonly AppGroupInput[],
  ): Promise<UpsertResult> {
    const { rows } = await on.raw<{ rows: UpsertRow[] }>(upsertGroups, {
      workspaceId,
      now: now(),
      givenIds: groups.map(({ groupId }) => groupId ?? null),
      newIds: groups.map(() => uniqueId(now())),
      names: groups.map(({ name }) => name),
      requiredRoles: groups.map(({ requiresRole }) => requiresRole),
    });
    return {
      groups: rows.map(appGroupOf),
      created: rows.filter(({ inserted }) => inserted === true).length,
      updated: rows.filter(({ inserted }) => inserted === false).length,
    };
  }
}

/** Gives a passing name to each group that another entry's new name is still held by, and that gets a name of its own here. */
const freeTakenNames = `
  UPDATE app_groups g SET name = 'renamed: ' || g.group_id
  FROM unnest(:ids::uuid[], :names::text[]) AS mine (group_id, name)
  WHERE g.workspace_id = :workspaceId AND g.group_id = mine.group_id AND g.name <> mine.name AND g.name = ANY (:names::text[])`;

/**
 * Renames come first (`given` before the rest), so that a name given free can be taken in the same push. A group goes by its name
 * only if no other entry claims it by id. New names are taken in their order, whatever ids they get: two pushes of the same ones do not
 * meet crosswise. `xmax = 0` tells a new row from an updated one. Indexes: the primary key and the unique
 * name of app_groups.
 */
const upsertGroups = `
  WITH input AS (
    SELECT * FROM unnest(:givenIds::uuid[], :newIds::uuid[], :names::text[], :requiredRoles::text[])
      WITH ORDINALITY AS i(given_id, new_id, name, requires_role, place)
  ), resolved AS (
    SELECT i.place, coalesce(i.given_id, g.group_id, i.new_id) AS group_id, i.name, i.requires_role, i.given_id IS NOT NULL AS given
    FROM input i LEFT JOIN app_groups g
      ON i.given_id IS NULL AND g.workspace_id = :workspaceId AND g.name = i.name
      AND NOT EXISTS (SELECT 1 FROM input other WHERE other.given_id = g.group_id)
  ), written AS (
    INSERT INTO app_groups AS g (workspace_id, group_id, name, requires_role, created_at, updated_at)
    SELECT :workspaceId, group_id, name, requires_role, :now, :now FROM resolved
    ORDER BY given DESC, CASE WHEN given THEN group_id::text ELSE name END COLLATE "C"
    ON CONFLICT (workspace_id, group_id) DO UPDATE
      SET name = excluded.name, requires_role = excluded.requires_role, updated_at = excluded.updated_at
      WHERE (g.name, g.requires_role) IS DISTINCT FROM (excluded.name, excluded.requires_role)
    RETURNING group_id, xmax = 0 AS inserted
  ), bumped AS (
    UPDATE workspaces SET catalogue_version = catalogue_version + 1, updated_at = :now
    WHERE workspace_id = :workspaceId AND EXISTS (SELECT 1 FROM written)
  )
  SELECT r.group_id, r.name, r.requires_role, w.inserted
  FROM resolved r LEFT JOIN written w ON w.group_id = r.group_id ORDER BY r.place`;

export interface AppGroupRow {
  readonly group_id: string;
  readonly name: string;
  readonly requires_role: string | null;
}

interface UpsertRow extends AppGroupRow {
  readonly inserted: boolean | null;
}

export function appGroupOf(row: AppGroupRow): AppGroup {
  return { groupId: row.group_id, name: row.name, requiresRole: row.requires_role };
}

/** Role names are reserved, and each id and name stands once. Pure. */
function checkGroups(groups: readonly AppGroupInput[], roles: RoleLadder): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Map<string, number>();
  const ids = new Map<string, number>();
  groups.forEach(({ groupId, name, requiresRole }, index) => {
    const refuse = (field: string, message: string) => errors.push({ path: `groups.${index}.${field}`, message });
    if (!fitsAppGroup(name)) refuse('name', 'this is too long: give a name of at most 2600 bytes');
    if (roles.includes(name)) refuse('name', 'this is the name of a role, which no group can have');
    if (requiresRole !== null && !roles.includes(requiresRole))
      refuse('requires_role', `give one of ${roles.join(', ')}, or null`);
    const sameName = names.get(name);
    if (sameName !== undefined) refuse('name', `the group at position ${sameName} has this name`);
    else names.set(name, index);
    if (groupId === undefined) return;
    const sameId = ids.get(groupId);
    if (sameId !== undefined) refuse('group_id', `the group at position ${sameId} has this id`);
    else ids.set(groupId, index);
  });
  return errors;
}

/** SQLSTATE 40P01: a push by names and one by ids met crosswise, and Postgres undid this one. */
function isDeadlock(error: unknown): boolean {
  return (error as { code?: string }).code === '40P01';
}

export function isNameTaken(error: unknown): boolean {
  const { code, constraint } = error as { code?: string; constraint?: string };
  return code === '23505' && constraint === 'app_groups_workspace_id_name_key';
}

function nameTaken(cause: unknown): BrokerError {
  const message = 'one of the names is held by another group: rename that one first';
  return new BrokerError('conflict', message, { cause, reason: 'group_name_taken', fields: [{ path: 'groups', message }] });
}

function missingWorkspace(error: unknown): unknown {
  // SQLSTATE 23503, foreign_key_violation.
  if ((error as { code?: string }).code !== '23503') return error;
  return new BrokerError('not_found', 'there is no such workspace', { cause: error });
}
