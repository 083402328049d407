import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { uniqueId } from '../../../src/infra/unique-id.ts';
import { paths, useApi } from '../../support/api-world.ts';

const api = useApi();
const { get, put } = api;
const now = () => new Date();

describe('the catalogue of app groups', () => {
  const catalogue = () => `/v1/workspaces/${api.acme}/app-groups`;
  const versionOf = async () => (await get(`/v1/workspaces/${api.acme}`)).body.catalogue_version;

  it('is pushed in bulk: made, changed, left alone; the version says whether anything moved', async () => {
    const first = await put(catalogue(), { groups: [{ name: 'engineers', requires_role: 'builder' }, { name: 'support' }] });
    expect(first.body).toMatchObject({
      created: 2,
      updated: 0,
      data: [
        { name: 'engineers', requires_role: 'builder' },
        { name: 'support', requires_role: null },
      ],
    });
    expect(await versionOf()).toBe(2);
    const again = await put(catalogue(), { groups: [{ name: 'support' }, { name: 'engineers', requires_role: 'builder' }] });
    expect(again.body).toMatchObject({ created: 0, updated: 0 });
    expect(await versionOf()).toBe(2);
    const changed = await put(catalogue(), { groups: [{ name: 'support', requires_role: 'builder' }] });
    expect(changed.body).toMatchObject({ created: 0, updated: 1 });
    expect(await versionOf()).toBe(3);
    const { data } = (await get(catalogue())).body;
    expect(data.map(({ name }: { name: string }) => name).sort()).toEqual(['engineers', 'support']);
  });

  it('renames by id: the group keeps it, and its old name is free in the same push', async () => {
    const { data } = (await put(catalogue(), { groups: [{ name: 'engineers' }] })).body;
    const groupId = data[0].group_id as string;
    const renamed = await put(catalogue(), { groups: [{ name: 'engineers' }, { group_id: groupId, name: 'developers' }] });
    expect(renamed.body).toMatchObject({
      created: 1,
      updated: 1,
      data: [{ name: 'engineers' }, { group_id: groupId, name: 'developers' }],
    });
    expect(renamed.body.data[0].group_id).not.toBe(groupId);
  });

  it('takes the app’s own ids, each workspace for itself', async () => {
    const groupId = uniqueId(now());
    const groups = [{ group_id: groupId, name: 'support' }];
    expect((await put(catalogue(), { groups })).body.data[0].group_id).toBe(groupId);
    expect((await put(`/v1/workspaces/${api.globex}/app-groups`, { groups })).body.data[0].group_id).toBe(groupId);
  });

  it('refuses reserved, doubled and unknown names by their place, and writes nothing then', async () => {
    const groupId = uniqueId(now());
    const answer = await put(catalogue(), {
      groups: [
        { name: 'fine' },
        { name: 'admin' },
        { name: 'fine' },
        { name: 'other', requires_role: 'emperor' },
        { group_id: groupId, name: 'a' },
        { group_id: groupId, name: 'b' },
      ],
    });
    expect(answer.status).toBe(422);
    expect(paths(answer)).toEqual(['groups.1.name', 'groups.2.name', 'groups.3.requires_role', 'groups.5.group_id']);
    expect((await get(catalogue())).body.data).toEqual([]);
    // Role names are reserved exactly, code point by code point (R16).
    expect((await put(catalogue(), { groups: [{ name: 'Admin' }] })).status).toBe(200);
  });

  it('refuses a rename to a name that another group holds', async () => {
    const { data } = (await put(catalogue(), { groups: [{ name: 'a' }, { name: 'b' }] })).body;
    const answer = await put(catalogue(), { groups: [{ group_id: data[0].group_id, name: 'b' }] });
    expect([answer.status, answer.body.reason]).toEqual([409, 'group_name_taken']);
    expect((await get(catalogue())).body.data.map(({ name }: { name: string }) => name).sort()).toEqual(['a', 'b']);
  });

  it('of pushes of the same new names at once all get the same groups, in whatever order they name them', async () => {
    const byName = (one: { name: string }, other: { name: string }) => (one.name < other.name ? -1 : 1);
    for (let round = 0; round < 10; round += 1) {
      const groups = Array.from({ length: 12 }, (_, index) => ({ name: `round ${round} ${index}` }));
      const pushes = [groups, groups.toReversed(), groups].map((given) => put(catalogue(), { groups: given }));
      const answers = await Promise.all(pushes);
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
      const [one, ...others] = answers.map(({ body }) => body.data.toSorted(byName));
      for (const other of others) expect(other).toEqual(one);
    }
  });

  it('takes new names in their order, so that two pushes never wait for one another crosswise', async () => {
    const { db } = api.database;
    const insert = (tx: typeof db, name: string) =>
      tx('app_groups').insert({ workspace_id: api.acme, group_id: uniqueId(new Date()), name });
    let pushed: ReturnType<typeof put> | undefined;
    await db.transaction(async (tx) => {
      await insert(tx, 'a');
      const groups = ['z', 'y', 'x', 'w', 'v', 'u', 'a'].map((name) => ({ name }));
      pushed = put(catalogue(), { groups });
      const answered = pushed.then(() => 'answered');
      await vi.waitFor(async () => {
        const { rows } = await db.raw(
          "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%app_groups%'",
        );
        expect(rows).toHaveLength(1);
      });
      for (const name of ['u', 'v', 'w', 'x', 'y', 'z']) await insert(tx, name);
      expect(await Promise.race([answered, sleep(50, 'waits')])).toBe('waits');
    });
    expect((await pushed)?.status).toBe(200);
    expect((await get(catalogue())).body.data).toHaveLength(7);
  });

  it('takes names as they are: emoji, right-to-left, prototypes, SQL', async () => {
    const names = ['🦊 foxes', 'מנהלים', '__proto__', "'; DROP TABLE app_groups; --", 'constructor', '?', ':name'];
    await put(catalogue(), { groups: names.map((name) => ({ name })) });
    const { data } = (await get(catalogue())).body;
    expect(data.map(({ name }: { name: string }) => name).sort()).toEqual([...names].sort());
    expect(paths(await put(catalogue(), { groups: [{ name: 'nul\0' }] }))).toEqual(['groups.0.name']);
  });

  it('R13 is touched by its workspace’s key only', async () => {
    const groups = [{ name: 'engineers' }];
    expect((await put(catalogue(), { groups }, api.keys.acme)).status).toBe(200);
    expect((await put(catalogue(), { groups: [{ name: 'planted' }] }, api.keys.globex)).status).toBe(404);
    expect((await get(catalogue(), api.keys.globex)).status).toBe(404);
    expect((await put(`/v1/workspaces/${uniqueId(now())}/app-groups`, { groups })).status).toBe(404);
    expect((await get(catalogue())).body.data.map(({ name }: { name: string }) => name)).toEqual(['engineers']);
  });
});
