import { setTimeout as sleep } from 'node:timers/promises';
import { groupsForApp, type MembershipSnapshotEvent, memberOrderKey } from '../domain/webhook-event.ts';
import type { Transaction } from '../infra/postgres.ts';
import { appendEvents } from '../outbox/append.ts';
import type { EndpointTask, TaskBatch } from './tasks.ts';

/** What a snapshot tells; as JSON the filter of its task. Its workspaces are those of the endpoint. */
export interface SnapshotFilter {
  /** Also those who are no longer members, so that a receiver who missed their leaving learns of it. */
  readonly includeRemoved: boolean;
}

/** The member that was told last; null: nobody yet. */
type SnapshotProgress = { readonly workspaceId: string; readonly userId: string } | null;

/**
 * Appends `membership.snapshot` events of the next members, for the task's endpoint alone.
 *
 * Nothing is missed, and nothing comes in the wrong order, because the endpoint gets live events from its creation (or enabling) on,
 * which was before:
 * - Whoever changes a member locks the user's row first, and takes positions for the events after that. The batch holds those locks,
 *   shared, while it reads and takes its own positions. So a change either committed before the batch read: then it is in the state
 *   that is told, and its live event, if there is one, has a lower position. Or it comes after the batch's commit: then its event has a
 *   higher position and version.
 * - Snapshot and live events of a member have one order key, and so one lane, in which positions decide.
 * - A member who is made after the page was read is told live; one who comes behind the place that was reached, too.
 *
 * Users are locked in the order of their ids, as everywhere: no deadlock.
 */
export async function carrySnapshotBatch(
  tx: Transaction,
  task: EndpointTask,
  { now, batchSize }: { readonly now: Date; readonly batchSize: number },
): Promise<TaskBatch> {
  const progress = task.progress as SnapshotProgress;
  if (!(await hasRoom(tx))) return { done: false, progress, deliveries: 0 };
  const { includeRemoved } = task.filter as SnapshotFilter;
  const page = await readPage(tx, { endpointId: task.endpointId, includeRemoved, after: progress, limit: batchSize });
  const last = page.at(-1);
  if (last === undefined) return { done: true, progress, deliveries: 0 };
  await tx.raw(lockUsersSql, [page.map(({ user_id }) => user_id)]);
  // A statement of its own: its snapshot is younger than the locks.
  const { rows } = await tx.raw<{ rows: MemberRow[] }>(readMembersSql, {
    workspaceIds: page.map(({ workspace_id }) => workspace_id),
    userIds: page.map(({ user_id }) => user_id),
    includeRemoved,
  });
  await appendEvents(
    tx,
    rows.map((row) => snapshotEvent(row, now)),
    { now, onlyEndpointId: task.endpointId },
  );
  return {
    done: page.length < batchSize,
    progress: { workspaceId: last.workspace_id, userId: last.user_id } satisfies SnapshotProgress,
    deliveries: rows.length,
  };
}

/** Events that fan-out deals with in about a tenth of a second. */
const mostInOutbox = 1_000;
const roomMilliseconds = 20;
const looksForRoom = 25;

/**
 * Fan-out takes events in their order: a snapshot that ran ahead of it would keep everybody's live events waiting. Waits for a moment,
 * before anything is locked that others want. @returns false: fan-out is still busy with what there is
 */
async function hasRoom(tx: Transaction): Promise<boolean> {
  for (let look = 1; ; look += 1) {
    const { rows } = await tx.raw<{ rows: [{ waiting: number }] }>(
      'SELECT count(*)::integer AS waiting FROM (SELECT 1 FROM outbox LIMIT ?) AS counted',
      [mostInOutbox],
    );
    if (rows[0].waiting < mostInOutbox) return true;
    if (look === looksForRoom) return false;
    await sleep(roomMilliseconds);
  }
}

interface MemberKey {
  readonly workspace_id: string;
  readonly user_id: string;
}

interface MemberRow extends MemberKey {
  readonly slug: string;
  readonly email: string | null;
  readonly name: string | null;
  readonly user_status: 'active' | 'archived';
  readonly role: string;
  readonly groups: { readonly groupId: string; readonly name: string }[];
  readonly status: 'active' | 'removed';
  readonly version: number;
}

async function readPage(
  tx: Transaction,
  page: {
    readonly endpointId: string;
    readonly includeRemoved: boolean;
    readonly after: SnapshotProgress;
    readonly limit: number;
  },
): Promise<readonly MemberKey[]> {
  const { endpointId, includeRemoved, after, limit } = page;
  const named = await tx('endpoints')
    .where({ endpoint_id: endpointId })
    .first<{ workspace_ids: string[] | null } | undefined>('workspace_ids');
  const workspaceIds = named?.workspace_ids ?? null;
  const { rows } = await tx.raw<{ rows: MemberKey[] }>(workspaceIds === null ? pageOfAllSql : pageOfSomeSql, {
    ...(workspaceIds === null ? {} : { workspaceIds }),
    includeRemoved,
    afterWorkspace: after?.workspaceId ?? beforeAll,
    afterUser: after?.userId ?? beforeAll,
    limit,
  });
  return rows;
}

const beforeAll = '00000000-0000-0000-0000-000000000000';
const isNext =
  "(m.workspace_id, m.user_id) > (:afterWorkspace::uuid, :afterUser::uuid) AND (:includeRemoved OR m.status = 'active')";

/** Walks memberships_pkey. */
const pageOfAllSql = `
  SELECT m.workspace_id, m.user_id FROM memberships AS m WHERE ${isNext} ORDER BY m.workspace_id, m.user_id LIMIT :limit`;

/** Walks memberships_pkey once for each workspace. */
const pageOfSomeSql = `
  SELECT next.workspace_id, next.user_id
  FROM (SELECT DISTINCT id FROM unnest(:workspaceIds::uuid[]) AS given (id)) AS wanted CROSS JOIN LATERAL (
    SELECT m.workspace_id, m.user_id FROM memberships AS m
    WHERE m.workspace_id = wanted.id AND ${isNext} ORDER BY m.user_id LIMIT :limit
  ) AS next
  ORDER BY next.workspace_id, next.user_id LIMIT :limit`;

/** Shared: logins wait for the batch, not batches for one another. */
const lockUsersSql = 'SELECT 1 FROM users WHERE user_id = ANY (?::uuid[]) ORDER BY user_id FOR SHARE';

const readMembersSql = `
  SELECT m.workspace_id, m.user_id, w.slug, u.email, u.name, u.status AS user_status, m.role, m.status, m.version,
         coalesce((SELECT json_agg(json_build_object('groupId', g.group_id, 'name', g.name)) FROM app_groups AS g
                   WHERE g.workspace_id = m.workspace_id AND g.group_id = ANY (m.group_ids)), '[]') AS groups
  FROM unnest(:workspaceIds::uuid[], :userIds::uuid[]) WITH ORDINALITY AS page (workspace_id, user_id, ordinal)
  JOIN memberships AS m ON m.workspace_id = page.workspace_id AND m.user_id = page.user_id
  JOIN users AS u ON u.user_id = m.user_id JOIN workspaces AS w ON w.workspace_id = m.workspace_id
  WHERE :includeRemoved OR m.status = 'active'
  ORDER BY page.ordinal`;

function snapshotEvent(row: MemberRow, now: Date): MembershipSnapshotEvent {
  return {
    type: 'membership.snapshot',
    workspaceId: row.workspace_id,
    userId: row.user_id,
    orderKey: memberOrderKey(row.workspace_id, row.user_id),
    occurredAt: now,
    data: {
      workspace: { id: row.workspace_id, slug: row.slug },
      user: { id: row.user_id, email: row.email, name: row.name, status: row.user_status },
      role: row.role,
      groups: groupsForApp(row.groups),
      version: row.version,
      status: row.status,
    },
  };
}
