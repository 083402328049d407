import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { aConnectionInput, connectionWorld } from '../../support/connection-world.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let database: TestDatabase;
let world: ReturnType<typeof connectionWorld>;
let acme: { workspaceId: string; slug: string };

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.db.raw('TRUNCATE workspaces CASCADE');
  world = connectionWorld(database.db);
  acme = await world.workspaces.create({ slug: 'acme', displayName: 'Acme' });
  await world.workspaces.create({ slug: 'globex', displayName: 'Globex' });
});

const create = (given: object) => world.connections.create(aConnectionInput(given));
const syncOn = { enabled: true, group_claim: 'groups', mapping: 'Marketing Team -> marketing' };

describe('loading for a login', () => {
  it('gives a workspace-level connection its own workspace as target', async () => {
    const { connectionId } = await create({ workspace: 'acme', group_sync: syncOn });
    const loaded = await world.connections.loadForLogin(connectionId);
    expect(loaded).toMatchObject({ connectionId, workspaceId: acme.workspaceId, enabled: true, version: 1 });
    expect(loaded?.targets).toEqual([
      { workspaceId: acme.workspaceId, workspaceSlug: 'acme', isDefault: true, groupSync: loaded?.groupSync },
    ]);
  });

  it('R4 R5 R8 gives an instance-level connection its sync list, the default first, with inherited settings', async () => {
    const { connectionId } = await create({
      group_sync: syncOn,
      sync_list: [{ workspace: 'acme' }, { workspace: 'globex', is_default: true }],
    });
    const loaded = await world.connections.loadForLogin(connectionId);
    expect(loaded?.targets.map(({ workspaceSlug, isDefault }) => [workspaceSlug, isDefault])).toEqual([
      ['globex', true],
      ['acme', false],
    ]);
    for (const { groupSync } of loaded?.targets ?? []) expect(groupSync).toEqual(loaded?.groupSync);
  });

  it('R9 overrides claim name and mapping each for itself and for its workspace only', async () => {
    const { connectionId } = await create({
      group_sync: syncOn,
      sync_list: [
        { workspace: 'acme', is_default: true, claim_name: 'roles' },
        { workspace: 'globex', mapping: { rules: 'Sales -> sales', one_to_one: false } },
      ],
    });
    const targets = (await world.connections.loadForLogin(connectionId))?.targets ?? [];
    const inherited = { groupClaim: 'groups', rules: ['Marketing Team'], oneToOne: true };
    const inForce = targets.map(({ groupSync: { groupClaim, mapping } }) => ({
      groupClaim: groupClaim.name,
      rules: mapping.rules.map(({ from }) => from),
      oneToOne: mapping.oneToOne,
    }));
    expect(inForce).toEqual([
      { ...inherited, groupClaim: 'roles' },
      { ...inherited, rules: ['Sales'], oneToOne: false },
    ]);
  });

  it('R6 leaves out workspaces whose inheritance is off', async () => {
    const { connectionId } = await create({
      group_sync: syncOn,
      sync_list: [{ workspace: 'acme', is_default: true, enabled: false }, { workspace: 'globex' }],
    });
    const targets = (await world.connections.loadForLogin(connectionId))?.targets;
    expect(targets?.map(({ workspaceSlug }) => workspaceSlug)).toEqual(['globex']);
  });

  it('R12 lets people into the default workspace alone while sync is off, and has the same targets as before when it is on again', async () => {
    const given = {
      group_sync: syncOn,
      sync_list: [{ workspace: 'acme', is_default: true, claim_name: 'roles' }, { workspace: 'globex' }],
    };
    const { connectionId } = await create(given);
    const before = await world.connections.loadForLogin(connectionId);
    const input = (enabled: boolean) => aConnectionInput({ ...given, group_sync: { ...syncOn, enabled } });
    await world.connections.update(connectionId, () => input(false));
    const off = await world.connections.loadForLogin(connectionId);
    expect(off?.targets).toMatchObject([{ workspaceSlug: 'acme', groupSync: { enabled: false } }]);
    expect(off?.groupSync).toEqual({ ...before?.groupSync, enabled: false });
    await world.connections.update(connectionId, () => input(true));
    expect((await world.connections.loadForLogin(connectionId))?.targets).toEqual(before?.targets);
  });

  it('counts the connection of an archived workspace as switched off', async () => {
    const { connectionId } = await create({ workspace: 'acme', group_sync: syncOn });
    await database.db('workspaces').where({ slug: 'acme' }).update({ status: 'archived' });
    expect(await world.connections.loadForLogin(connectionId)).toMatchObject({ enabled: false, targets: [] });
  });

  it.each(['00000000-0000-7000-8000-000000000000', 'not an id', "'; DROP TABLE connections; --"])(
    'finds nothing under %j',
    async (id) => {
      expect(await world.connections.loadForLogin(id)).toBeNull();
      expect(await world.connections.get(id)).toBeNull();
    },
  );
});

describe('candidates for a login', () => {
  const names = async (hints: { workspace?: string; connection?: string }) =>
    (await world.connections.candidates(hints)).map(({ displayName }) => displayName);

  beforeEach(async () => {
    await create({ workspace: 'acme', display_name: 'own' });
    await create({ workspace: 'acme', display_name: 'own, off', enabled: false });
    await create({ workspace: 'globex', display_name: 'of another' });
    await create({ display_name: 'syncs acme', sync_list: [{ workspace: 'acme', is_default: true }] });
    await create({
      display_name: 'syncs acme no more',
      sync_list: [{ workspace: 'acme', is_default: true, enabled: false }, { workspace: 'globex' }],
    });
    await create({ display_name: 'syncs acme, off', enabled: false, sync_list: [{ workspace: 'acme', is_default: true }] });
  });

  it('are the workspace’s own and the instance-level ones that sync it, by slug and by id', async () => {
    expect(await names({ workspace: 'acme' })).toEqual(['own', 'syncs acme']);
    expect(await names({ workspace: acme.workspaceId })).toEqual(['own', 'syncs acme']);
    expect(await names({ workspace: 'globex' })).toEqual(['of another', 'syncs acme no more']);
  });

  it('R4 without a workspace: all instance-level ones, or the default alone', async () => {
    expect(await names({})).toEqual(['syncs acme', 'syncs acme no more']);
    await create({ display_name: 'the default', is_default: true });
    expect(await names({})).toEqual(['the default']);
  });

  it('are the one that is named, wherever it belongs, unless a workspace is named that it does not serve', async () => {
    const [own] = await world.connections.candidates({ workspace: 'acme' });
    const connection = own?.connectionId as string;
    expect(await names({ connection })).toEqual(['own']);
    expect(await names({ connection, workspace: 'acme' })).toEqual(['own']);
    expect(await names({ connection, workspace: 'globex' })).toEqual([]);
  });

  it('are also one that is switched off, if it is named: for the caller to refuse as such', async () => {
    const off = await world.connections.findByName(acme.workspaceId, 'own, off');
    const connection = off?.connectionId as string;
    expect(await names({ connection })).toEqual(['own, off']);
    expect(await names({ connection, workspace: 'acme' })).toEqual(['own, off']);
    expect(await world.connections.loadForLogin(connection)).toMatchObject({ enabled: false });
  });

  it('are none for unknown and malformed names, and for an archived workspace', async () => {
    const own = await world.connections.findByName(acme.workspaceId, 'own');
    expect(await names({ connection: 'x' })).toEqual([]);
    expect(await names({ workspace: 'nowhere' })).toEqual([]);
    await database.db('workspaces').where({ slug: 'acme' }).update({ status: 'archived' });
    expect(await names({ workspace: 'acme' })).toEqual([]);
    expect(await names({ connection: own?.connectionId as string })).toEqual([]);
  });
});
