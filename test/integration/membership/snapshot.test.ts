import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDatabase, type Database } from '../../../src/infra/postgres.ts';
import { uniqueId } from '../../../src/infra/unique-id.ts';
import { createSnapshots, type SnapshotPart } from '../../../src/membership/snapshot.ts';
import type { SnapshotMember } from '../../../src/membership/snapshot-store.ts';
import { aCrowd, addMembers, digestOfTables } from '../../support/crowd.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let database: TestDatabase;
let own: Database;
let crowd: Awaited<ReturnType<typeof aCrowd>>;

beforeAll(async () => {
  database = await createTestDatabase();
  own = createDatabase({ url: database.url, poolSize: 3, statementTimeoutSeconds: 10 });
  crowd = await aCrowd(database.db, { slug: 'crowd', members: 1_234 });
});
afterAll(async () => {
  await own.destroy();
  await database.drop();
});

const snapshotsOn = (options: Partial<Parameters<typeof createSnapshots>[0]> = {}) =>
  createSnapshots({ db: own, maxSimultaneous: 3, stallSeconds: 30, maxSeconds: 60, ...options });

async function readAll(parts: AsyncIterable<SnapshotPart>) {
  const read: SnapshotPart[] = [];
  for await (const part of parts) read.push(part);
  const members = read.flatMap((part): readonly SnapshotMember[] => (part.kind === 'members' ? part.members : []));
  return { read, members, end: read.at(-1) };
}

/** Connections of the snapshots that are in a transaction at this moment. */
async function openTransactions(): Promise<number> {
  const { rows } = await database.db.raw(
    `SELECT count(*)::int AS open FROM pg_stat_activity
      WHERE datname = current_database() AND backend_type = 'client backend' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()`,
  );
  return rows[0].open;
}

describe('R40 a snapshot', () => {
  it('is head, members in the order of their ids, those who left too, and an end with count and digest', async () => {
    const { read, members, end } = await readAll(snapshotsOn().read(crowd.workspaceId).parts);
    expect(read[0]).toMatchObject({ kind: 'head', head: { workspace: { id: crowd.workspaceId, slug: 'crowd' }, cursor: '0' } });
    const rows = await database.db('memberships').where({ workspace_id: crowd.workspaceId }).orderBy('user_id');
    expect(members.map(({ userId, version, status, role }) => [userId, version, status, role])).toEqual(
      rows.map((row) => [row.user_id, row.version, row.status, row.role]),
    );
    expect(members.map(({ groups }) => groups.map(({ groupId }) => groupId))).toEqual(rows.map((row) => row.group_ids));
    const expected = await digestOfTables(database.db, crowd.workspaceId);
    expect(end).toEqual({ kind: 'end', members: 1_234, ...expected });
    expect(expected.count).toBeLessThan(1_234);
    expect(await snapshotsOn().digest(crowd.workspaceId)).toMatchObject(expected);
  });

  it('shows one moment, however long the reader takes and whatever commits meanwhile', async () => {
    const { db } = database;
    const before = await digestOfTables(db, crowd.workspaceId);
    const { parts } = snapshotsOn().read(crowd.workspaceId);
    expect((await parts.next()).value).toMatchObject({ kind: 'head' });
    // In one transaction a first and a last member trade places, and somebody joins.
    const ids = await db('memberships')
      .where({ workspace_id: crowd.workspaceId, status: 'active' })
      .orderBy('user_id')
      .pluck('user_id');
    const traded = { role: 'admin', version: db.raw('version + 1') };
    await db('memberships')
      .whereIn('user_id', [ids[0], ids.at(-1)])
      .update(traded);
    await addMembers(db, crowd.workspaceId, { members: 1 });
    const { members, end } = await readAll(parts);
    expect(members.filter(({ role }) => role === 'admin')).toEqual([]);
    expect(end).toMatchObject({ members: 1_234, ...before });

    const after = await digestOfTables(db, crowd.workspaceId);
    expect(after.digest).not.toBe(before.digest);
    expect((await readAll(snapshotsOn().read(crowd.workspaceId).parts)).end).toMatchObject(after);
    expect(await snapshotsOn().digest(crowd.workspaceId)).toMatchObject(after);
  });

  it('holds one page at a time, of 500 members at the most, and of fewer where they are in many groups', async () => {
    const pages = (read: readonly SnapshotPart[]) =>
      read.flatMap((part) => (part.kind === 'members' ? [part.members.length] : []));
    expect(Math.max(...pages((await readAll(snapshotsOn().read(crowd.workspaceId).parts)).read))).toBe(500);

    const { workspaceId } = await aCrowd(database.db, { slug: 'many-groups', members: 0 });
    const groupIds = Array.from({ length: 400 }, () => uniqueId(new Date()));
    const rows = groupIds.map((groupId, n) => ({ workspace_id: workspaceId, group_id: groupId, name: `group ${n}` }));
    await database.db.batchInsert('app_groups', rows);
    await addMembers(database.db, workspaceId, { members: 600, groupIds });
    await database.db('memberships').where({ workspace_id: workspaceId }).update({ group_ids: groupIds });
    const { read, members, end } = await readAll(snapshotsOn().read(workspaceId).parts);
    expect(members).toHaveLength(600);
    expect(Math.max(...pages(read))).toBe(50);
    expect(end).toMatchObject(await digestOfTables(database.db, workspaceId));
  });

  it('leaves out groups that are gone from the catalogue, in lines and digest alike', async () => {
    const { workspaceId, groupIds } = await aCrowd(database.db, { slug: 'dangling', members: 30 });
    await database
      .db('app_groups')
      .where({ group_id: groupIds[0] as string })
      .delete();
    const { members, end } = await readAll(snapshotsOn().read(workspaceId).parts);
    expect(new Set(members.flatMap(({ groups }) => groups.map(({ groupId }) => groupId)))).toEqual(new Set([groupIds[1]]));
    expect((await digestOfTables(database.db, workspaceId)).digest).not.toBe((end as { digest?: string }).digest);
    await database
      .db('memberships')
      .whereNot({ group_ids: '{}' })
      .where({ workspace_id: workspaceId })
      .update({ group_ids: [groupIds[1]] });
    expect(end).toMatchObject(await digestOfTables(database.db, workspaceId));
  });

  it('of a workspace without members has the digest of nobody', async () => {
    const { workspaceId } = await aCrowd(database.db, { slug: 'empty', members: 0 });
    const { read } = await readAll(snapshotsOn().read(workspaceId).parts);
    expect(read.map(({ kind }) => kind)).toEqual(['head', 'end']);
    expect(read[1]).toEqual({ kind: 'end', members: 0, count: 0, digest: '0'.repeat(64) });
  });

  it('of an unknown workspace is refused, and takes no place', async () => {
    const snapshots = snapshotsOn({ maxSimultaneous: 1 });
    const unknown = uniqueId(new Date());
    await expect(snapshots.read(unknown).parts.next()).rejects.toMatchObject({ code: 'not_found' });
    await expect(snapshots.digest(unknown)).rejects.toMatchObject({ code: 'not_found' });
    expect((await readAll(snapshots.read(crowd.workspaceId).parts)).end).toMatchObject({ kind: 'end' });
  });
});

describe('R40 readers of snapshots', () => {
  it('are few at a time, and one workspace does not take all places', async () => {
    const other = await aCrowd(database.db, { slug: 'other', members: 5 });
    const snapshots = snapshotsOn();
    const [first, second] = [snapshots.read(crowd.workspaceId).parts, snapshots.read(crowd.workspaceId).parts];
    await Promise.all([first.next(), second.next()]);
    const busy = { code: 'rate_limited', reason: 'snapshots_busy' };
    await expect(snapshots.read(crowd.workspaceId).parts.next()).rejects.toMatchObject(busy);
    await expect(snapshots.digest(crowd.workspaceId)).rejects.toMatchObject(busy);
    const third = snapshots.read(other.workspaceId).parts;
    await third.next();
    await expect(snapshots.digest(other.workspaceId)).rejects.toMatchObject(busy);
    await first.return();
    expect(await snapshots.digest(other.workspaceId)).toMatchObject({ workspace: { slug: 'other' } });
    await Promise.all([second.return(), third.return()]);
    expect(await openTransactions()).toBe(0);
  });

  it('that stop reading are told to let go, and their connection is free then', async () => {
    const { parts, stalled } = snapshotsOn({ stallSeconds: 1 }).read(crowd.workspaceId);
    await parts.next();
    expect([stalled.aborted, await openTransactions()]).toEqual([false, 1]);
    await sleep(1_200);
    expect(stalled.aborted).toBe(true);
    await parts.return();
    expect(await openTransactions()).toBe(0);
    const reading = snapshotsOn({ stallSeconds: 1 }).read(crowd.workspaceId);
    await readAll(reading.parts);
    await sleep(1_200);
    expect(reading.stalled.aborted).toBe(false);
  });

  it('that are slow all the way are given up', async () => {
    const { parts } = snapshotsOn({ maxSeconds: 0.05 }).read(crowd.workspaceId);
    await parts.next();
    await parts.next();
    await sleep(80);
    await expect(parts.next()).rejects.toMatchObject({ code: 'unavailable', reason: 'snapshot_too_slow' });
    expect(await openTransactions()).toBe(0);
  });

  it('that lose their connection see the snapshot break off, and others read on', async () => {
    const { parts } = snapshotsOn().read(crowd.workspaceId);
    await parts.next();
    const { rows } = await database.db.raw(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'idle in transaction'`,
    );
    expect(rows).toHaveLength(1);
    await expect(readAll(parts)).rejects.toThrow();
    expect((await readAll(snapshotsOn().read(crowd.workspaceId).parts)).end).toMatchObject({ kind: 'end' });
  });
});
