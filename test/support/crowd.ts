import type { Database } from '../../src/infra/postgres.ts';
import { uniqueId } from '../../src/infra/unique-id.ts';
import { createMemberDigest } from '../../src/membership/digest.ts';

/** A workspace with app groups and many members, straight in the tables; every tenth member left, every third is in both groups. */
export async function aCrowd(
  db: Database,
  options: { readonly slug: string; readonly members: number },
): Promise<{ readonly workspaceId: string; readonly groupIds: readonly string[] }> {
  const workspaceId = uniqueId(new Date());
  await db('workspaces').insert({ workspace_id: workspaceId, slug: options.slug, display_name: options.slug });
  const groupIds = ['engineers', 'designers'].map((name) => ({ name, groupId: uniqueId(new Date()) }));
  for (const { name, groupId } of groupIds) {
    await db('app_groups').insert({ workspace_id: workspaceId, group_id: groupId, name });
  }
  await addMembers(db, workspaceId, { members: options.members, groupIds: groupIds.map(({ groupId }) => groupId) });
  return { workspaceId, groupIds: groupIds.map(({ groupId }) => groupId) };
}

export async function addMembers(
  db: Database,
  workspaceId: string,
  {
    members,
    groupIds = [],
    nameCharacters = 0,
  }: { readonly members: number; readonly groupIds?: readonly string[]; readonly nameCharacters?: number },
): Promise<void> {
  await db.raw(
    `WITH made AS (
       INSERT INTO users (user_id, email, name)
       SELECT gen_random_uuid(), 'person' || n || '@example.com', 'Person ' || n || repeat('x', :nameCharacters) FROM generate_series(1, :members) AS n RETURNING user_id)
     INSERT INTO memberships (workspace_id, user_id, role, group_ids, status, version)
     SELECT :workspaceId, user_id, CASE n % 4 WHEN 0 THEN 'builder' ELSE 'end-user' END,
            CASE n % 3 WHEN 0 THEN :groupIds::uuid[] ELSE '{}' END, CASE n % 10 WHEN 9 THEN 'removed' ELSE 'active' END, 1 + n % 5
       FROM (SELECT user_id, row_number() OVER () AS n FROM made) AS numbered`,
    { members, workspaceId, nameCharacters, groupIds: [...groupIds] },
  );
}

/** What the digest of the workspace must be, from the tables, in no particular order. */
export async function digestOfTables(db: Database, workspaceId: string): Promise<{ count: number; digest: string }> {
  const rows = await db('memberships').where({ workspace_id: workspaceId, status: 'active' }).orderByRaw('random()');
  const digest = createMemberDigest();
  for (const { user_id: userId, version, role, group_ids: groupIds } of rows) digest.add({ userId, version, role, groupIds });
  return { count: digest.count(), digest: digest.hex() };
}
