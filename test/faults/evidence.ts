import type { HeldMember } from '../support/fault-receiver.ts';
import type { FaultWorld } from '../support/fault-world.ts';
import type { CommittedEvent } from './verdict.ts';

/** Every event whose transaction committed, in the order of their positions. */
export async function readCommitted({ db }: FaultWorld): Promise<CommittedEvent[]> {
  const { rows } = await db.raw<{ rows: CommittedEvent[] }>(`
    SELECT 'evt_' || replace(event_id::text, '-', '') AS id, order_key AS "orderKey", payload::text AS payload
    FROM events ORDER BY position`);
  return rows;
}

/** The memberships as they are stored. */
export async function readMembers({ db }: FaultWorld): Promise<Map<string, HeldMember>> {
  const { rows } = await db.raw<{ rows: (HeldMember & { key: string })[] }>(`
    SELECT workspace_id || '/' || user_id AS key, version, status, role,
           (SELECT coalesce(json_agg(json_build_object('id', group_id, 'name', name)), '[]')
            FROM app_groups WHERE group_id = ANY (group_ids)) AS groups
    FROM memberships`);
  return new Map(rows.map((row) => [row.key, row]));
}

/** Snapshot and digest of every workspace, as the API gives them to an app. */
export async function readSnapshot(world: FaultWorld): Promise<{ members: Map<string, HeldMember>; digest: string }> {
  const { rows } = await world.db.raw<{ rows: { id: string }[] }>('SELECT workspace_id AS id FROM workspaces');
  const { id } = rows[0] as { id: string };
  if (rows.length > 1) throw new RangeError('the digest is of one workspace');
  const { digest } = JSON.parse(await world.readApi(`/v1/workspaces/${id}/digest`)) as { digest: string };
  const [head, ...lines] = (await world.readApi(`/v1/workspaces/${id}/snapshot`)).trimEnd().split('\n');
  const end = JSON.parse(lines.pop() ?? '{}') as { end?: true; digest?: string };
  if (head === undefined || end.end !== true) throw new Error('the snapshot broke off');
  if (end.digest !== digest) throw new Error('snapshot and digest differ');
  const members = lines.map((line) => JSON.parse(line) as HeldMember & { user: { id: string } });
  return { members: new Map(members.map((member) => [`${id}/${member.user.id}`, member])), digest };
}

/** Deliveries that wait in Postgres; 0 with nothing left for the app means that the engine knows that it is done. */
export async function countWaiting({ db }: FaultWorld): Promise<number> {
  const { rows } = await db.raw<{ rows: { n: number }[] }>("SELECT count(*)::int AS n FROM deliveries WHERE status = 'waiting'");
  return rows[0]?.n ?? 0;
}
