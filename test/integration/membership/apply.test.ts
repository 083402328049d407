import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createApplyLogin } from '../../../src/membership/apply.ts';
import { createMembershipStore } from '../../../src/membership/store.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { aLogin, anIdentity, aWorld, syncOf, type World } from '../../support/membership-world.ts';
import { aSettings, ladder } from '../../support/sync-builder.ts';

let database: TestDatabase;
let world: World;
let slug: string;
let worlds = 0;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  worlds += 1;
  slug = `world-${worlds}`;
  world = await aWorld(database.db, slug, [
    { name: 'engineers', requiresRole: 'builder' },
    { name: 'support', requiresRole: null },
  ]);
});

const applyLogin = (login: Parameters<ReturnType<typeof createApplyLogin>>[0]) =>
  createApplyLogin({ db: database.db, ladder, now: () => new Date() })(login);
const login = (subject: string, names: readonly string[] | null, settings = aSettings()) =>
  applyLogin(aLogin(world, subject, [syncOf(world, slug, names, settings)]));

/** Puts the second world's workspace on the sync list of the first one's connection. */
const serve = ({ connectionId }: World, { workspaceId }: World) =>
  database.db('connection_workspaces').insert({ connection_id: connectionId, workspace_id: workspaceId });

const membershipOf = (userId: string) =>
  database.db('memberships').where({ workspace_id: world.workspaceId, user_id: userId }).first();
const eventsOf = (userId: string) => database.db('events').where({ user_id: userId }).orderBy('position');
const typesOf = async (userId: string) => (await eventsOf(userId)).map(({ type }) => type);

describe('a first login', () => {
  it('R28 makes user, membership, events, trace and single-use mark together', async () => {
    const { userId, changed, refusal } = await login('alice', ['engineers', 'admin']);
    expect({ changed, refusal }).toEqual({ changed: true, refusal: null });
    expect(await membershipOf(userId)).toMatchObject({ role: 'admin', version: 1, status: 'active' });
    expect(await typesOf(userId)).toEqual(['user.created', 'membership.created']);
    expect(await database.db('login_traces').where({ user_id: userId }).first()).toMatchObject({ outcome: 'signed_in' });
    expect(await database.db('identities').where({ user_id: userId }).first()).toMatchObject({
      last_groups: { groups: ['engineers', 'admin'] },
    });
  });

  it('R31 refuses an unknown user when the connection does not provision, and writes nothing', async () => {
    const unknown = aLogin(world, 'nobody', [syncOf(world, slug, ['admin'])], { justInTimeProvisioning: false });
    await expect(applyLogin(unknown)).rejects.toMatchObject({ code: 'not_entitled', reason: 'unknown_user' });
    expect(await database.db('identities').where({ connection_id: world.connectionId })).toEqual([]);
    expect(await database.db('used_answers').where({ connection_id: world.connectionId })).toEqual([]);
    // Its twin: the same login is let in once the user is known.
    await login('nobody', ['admin']);
    const known = aLogin(world, 'nobody', [syncOf(world, slug, ['admin'])], { justInTimeProvisioning: false });
    await expect(applyLogin(known)).resolves.toMatchObject({ refusal: null });
  });
});

describe('a later login', () => {
  it('R26 changes nothing when the IdP says the same, and raises no version', async () => {
    const { userId } = await login('alice', ['engineers']);
    const again = await login('alice', ['engineers']);
    expect(again).toEqual({ userId, changed: false, refusal: null });
    expect(await membershipOf(userId)).toMatchObject({ version: 1 });
    expect(await typesOf(userId)).toEqual(['user.created', 'membership.created']);
    expect(await database.db('login_traces').where({ user_id: userId })).toHaveLength(2);
  });

  it('R18 R19 follows the groups, with one event that says what changed', async () => {
    const { userId } = await login('alice', ['engineers']);
    await login('alice', ['support', 'admin']);
    expect(await membershipOf(userId)).toMatchObject({ role: 'admin', version: 2 });
    const events = await eventsOf(userId);
    expect(events).toHaveLength(3);
    expect(events[2]?.payload.data).toMatchObject({
      role: 'admin',
      version: 2,
      groups: [{ name: 'support' }],
      previous: { role: 'builder', groups: [{ name: 'engineers' }] },
      added: [{ name: 'support' }],
      removed: [{ name: 'engineers' }],
      cause: { kind: 'login', connection_id: world.connectionId },
    });
  });

  it('R37 refreshes the reasons without a new version when only they changed', async () => {
    const { userId } = await login('alice', ['engineers']);
    const settings = aSettings({ mapping: { rules: [{ from: 'engineers', match: 'exact', to: 'engineers' }], oneToOne: true } });
    const { changed } = await login('alice', ['engineers'], settings);
    expect(changed).toBe(false);
    const membership = await membershipOf(userId);
    expect(membership.version).toBe(1);
    expect(membership.reasons).toContainEqual(
      expect.objectContaining({ via: expect.objectContaining({ kind: 'rule', to: 'engineers' }) }),
    );
  });

  it('tells of a changed profile', async () => {
    const { userId } = await login('alice', []);
    const renamed = anIdentity('alice', { profile: { ...anIdentity('alice').profile, name: 'Alice Smith' } });
    await applyLogin(aLogin(world, 'alice', [syncOf(world, slug, [])], { identity: renamed }));
    expect(await typesOf(userId)).toEqual(['user.created', 'membership.created', 'user.updated']);
  });

  it('R27 overwrites a manual edit', async () => {
    await login('bob', ['admin']);
    const { userId } = await login('alice', ['engineers']);
    await database.db('memberships').where({ user_id: userId }).update({ role: 'admin', version: 2, fingerprint: null });
    await login('alice', ['engineers']);
    expect(await membershipOf(userId)).toMatchObject({ role: 'builder', version: 3 });
  });
});

describe('unknown groups', () => {
  it('R25 holds the membership as it was, lets the user in, and says so', async () => {
    const { userId } = await login('alice', ['engineers', 'admin']);
    const { refusal } = await login('alice', null);
    expect(refusal).toBeNull();
    expect(await membershipOf(userId)).toMatchObject({ role: 'admin', version: 1 });
    const held = (await eventsOf(userId)).at(-1);
    expect(held).toMatchObject({ type: 'sync.held', payload: { data: { reason: 'groups_absent', version: 1 } } });
    expect(await database.db('identities').where({ user_id: userId }).first()).toMatchObject({
      last_groups: { groups: ['engineers', 'admin'] },
    });
  });

  it('R25 gives the fallback role at a first login', async () => {
    const { userId } = await login('newcomer', null);
    expect(await membershipOf(userId)).toMatchObject({ role: 'end-user', version: 1 });
    expect(await typesOf(userId)).toEqual(['user.created', 'membership.created', 'sync.held']);
  });

  it('R25 deny refuses the login and leaves the membership', async () => {
    const { userId } = await login('alice', ['admin']);
    const { refusal } = await login('alice', null, aSettings({ unknownGroups: 'deny' }));
    expect(refusal).toMatchObject({ code: 'not_entitled', reason: 'groups_unknown' });
    expect(await membershipOf(userId)).toMatchObject({ role: 'admin', status: 'active', version: 1 });
  });

  it('R25 applies the next complete answer again', async () => {
    const { userId } = await login('alice', ['admin']);
    await login('bob', ['admin']);
    await login('alice', null);
    await login('alice', ['support']);
    expect(await membershipOf(userId)).toMatchObject({ role: 'end-user', version: 2 });
  });
});

describe('no matching group', () => {
  const deny = aSettings({ noMatch: 'deny' });

  it('R22 deny refuses a newcomer without a trace of them', async () => {
    await expect(login('stranger', ['other'], deny)).rejects.toMatchObject({ code: 'not_entitled', reason: 'no_matching_group' });
    expect(await database.db('identities').where({ connection_id: world.connectionId })).toEqual([]);
  });

  it('R22 deny takes the membership away from a known user, and gives it back with the group', async () => {
    const { userId } = await login('alice', ['support'], deny);
    const { refusal } = await login('alice', ['other'], deny);
    expect(refusal).toMatchObject({ code: 'not_entitled' });
    expect(await membershipOf(userId)).toMatchObject({ status: 'removed', version: 2, group_ids: [] });
    await login('alice', ['support'], deny);
    expect(await membershipOf(userId)).toMatchObject({ status: 'active', version: 3 });
    expect(await typesOf(userId)).toEqual(['user.created', 'membership.created', 'membership.removed', 'membership.created']);
  });

  it('R22 fallback lowers to the fallback role', async () => {
    const { userId } = await login('alice', ['engineers']);
    await login('alice', ['other']);
    expect(await membershipOf(userId)).toMatchObject({ role: 'end-user', group_ids: [], version: 2 });
  });
});

describe('the last admin', () => {
  it('R30 keeps the role while nobody else has it', async () => {
    const { userId } = await login('alice', ['admin']);
    await login('alice', ['support']);
    expect(await membershipOf(userId)).toMatchObject({ role: 'admin', version: 2 });
    expect((await eventsOf(userId)).at(-1)).toMatchObject({ type: 'sync.held', payload: { data: { reason: 'last_admin' } } });
  });

  it('R30 is demoted at the next login once there is another', async () => {
    const { userId } = await login('alice', ['admin']);
    await login('alice', ['support']);
    await login('bob', ['admin']);
    await login('alice', ['support']);
    expect(await membershipOf(userId)).toMatchObject({ role: 'end-user' });
  });

  it('R30 can be switched off', async () => {
    const { userId } = await login('alice', ['admin']);
    await login('alice', ['support'], aSettings({ keepLastAdmin: false }));
    expect(await membershipOf(userId)).toMatchObject({ role: 'end-user' });
  });

  it('R30 leaves one of two admins who are demoted at the same moment', async () => {
    for (let round = 0; round < 5; round++) {
      await login('alice', ['admin']);
      await login('bob', ['admin']);
      await Promise.all([login('alice', ['support']), login('bob', ['support'])]);
      const admins = await database.db('memberships').where({ workspace_id: world.workspaceId, role: 'admin' });
      expect(admins).toHaveLength(1);
    }
  });
});

describe('identity and replay', () => {
  it('refuses an answer that was accepted before, also when nothing would change', async () => {
    const first = aLogin(world, 'alice', [syncOf(world, slug, ['admin'])]);
    const { userId } = await applyLogin(first);
    await expect(applyLogin({ ...first, loginId: aLogin(world, 'alice', []).loginId })).rejects.toMatchObject({
      code: 'assertion_replayed',
    });
    const changed = { ...first, workspaces: [syncOf(world, slug, [])] };
    await expect(applyLogin(changed)).rejects.toMatchObject({ code: 'assertion_replayed' });
    expect(await membershipOf(userId)).toMatchObject({ role: 'admin', version: 1 });
  });

  it('accepts one answer exactly once under twenty simultaneous tries', async () => {
    await login('alice', ['admin']);
    const answer = aLogin(world, 'alice', [syncOf(world, slug, ['admin'])]);
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => applyLogin({ ...answer, loginId: aLogin(world, 'x', []).loginId })),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('R33 does not hand users on when the connection speaks for another issuer', async () => {
    await login('alice', ['admin']);
    const impostor = anIdentity('alice', { issuer: 'https://other.example.net' });
    const attempt = aLogin(world, 'alice', [syncOf(world, slug, ['admin'])], { identity: impostor });
    await expect(applyLogin(attempt)).rejects.toMatchObject({ code: 'not_entitled', reason: 'issuer_changed' });
  });

  it('R33 keeps the same subject of two connections apart', async () => {
    const other = await aWorld(database.db, `${slug}-other`);
    const here = await login('alice', ['admin']);
    const there = await applyLogin(aLogin(other, 'alice', [syncOf(other, `${slug}-other`, ['admin'])]));
    expect(there.userId).not.toBe(here.userId);
  });

  it('R32 refuses an archived user and does not unarchive', async () => {
    const { userId } = await login('alice', ['admin']);
    await database.db('users').where({ user_id: userId }).update({ status: 'archived' });
    await expect(login('alice', ['admin'])).rejects.toMatchObject({ code: 'user_archived' });
    await expect(login('alice', ['support'])).rejects.toMatchObject({ code: 'user_archived' });
    expect(await membershipOf(userId)).toMatchObject({ role: 'admin', version: 1 });
    expect(await database.db('users').where({ user_id: userId }).first()).toMatchObject({ status: 'archived' });
  });
});

describe('simultaneous logins', () => {
  it('R28 two first logins of one user make one user', async () => {
    const results = await Promise.all(Array.from({ length: 8 }, () => login('alice', ['admin'])));
    expect(new Set(results.map(({ userId }) => userId)).size).toBe(1);
    expect(await typesOf(results[0]?.userId as string)).toEqual(['user.created', 'membership.created']);
  });

  it('R28 logins of one user end in one of the states, with consecutive versions', async () => {
    const { userId } = await login('alice', []);
    const choices = [['engineers'], ['support'], ['admin'], []];
    await Promise.all(
      Array.from({ length: 24 }, (_, n) =>
        login('alice', choices[n % choices.length] as string[], aSettings({ keepLastAdmin: false })),
      ),
    );
    const changes = (await eventsOf(userId)).filter(({ type }) => type.startsWith('membership.'));
    expect(changes.map(({ payload }) => payload.data.version)).toEqual(changes.map((_, n) => n + 1));
    const membership = await membershipOf(userId);
    const last = changes.at(-1)?.payload.data;
    expect(membership).toMatchObject({ version: last.version, role: last.role });
    expect(membership.group_ids).toEqual(last.groups.map(({ id }: { id: string }) => id));
  });

  it('R28 commits all workspaces of a login or none', async () => {
    const second = await aWorld(database.db, `${slug}-second`);
    await serve(world, second);
    const good = syncOf(world, slug, ['admin']);
    const whole = syncOf(second, `${slug}-second`, ['admin']);
    const broken = { ...whole, entitlements: { ...whole.entitlements, groups: [{ groupId: 'no id', name: 'broken' }] } };
    await expect(applyLogin(aLogin(world, 'alice', [good, broken]))).rejects.toThrow();
    expect(await database.db('identities').where({ connection_id: world.connectionId })).toEqual([]);
    expect(await database.db('memberships').where({ workspace_id: world.workspaceId })).toEqual([]);
    const both = await applyLogin(aLogin(world, 'alice', [good, syncOf(second, `${slug}-second`, ['admin'])]));
    expect(await database.db('memberships').where({ user_id: both.userId })).toHaveLength(2);
  });

  it('R10 grants nothing in a workspace that left the connection since the login began, or was archived', async () => {
    const second = await aWorld(database.db, `${slug}-second`);
    const syncs = [syncOf(world, slug, ['admin']), syncOf(second, `${slug}-second`, ['admin'])];
    await serve(world, second);
    const { userId } = await applyLogin(aLogin(world, 'alice', syncs));
    await database.db('connection_workspaces').where({ workspace_id: second.workspaceId }).delete();
    const late = await applyLogin(aLogin(world, 'bob', syncs));
    expect(await database.db('memberships').where({ user_id: late.userId })).toMatchObject([{ workspace_id: world.workspaceId }]);
    expect(await database.db('memberships').where({ user_id: userId })).toHaveLength(2);
    await serve(world, second);
    await database.db('workspaces').where({ workspace_id: second.workspaceId }).update({ status: 'archived' });
    const later = await applyLogin(aLogin(world, 'carol', syncs));
    expect(await database.db('memberships').where({ user_id: later.userId })).toHaveLength(1);
  });

  it('R22 an instance login is refused only when every workspace denies', async () => {
    const second = await aWorld(database.db, `${slug}-second`);
    await serve(world, second);
    const deny = aSettings({ noMatch: 'deny' });
    const one = await applyLogin(
      aLogin(world, 'alice', [syncOf(world, slug, ['support'], deny), syncOf(second, `${slug}-second`, ['support'], deny)]),
    );
    expect(one.refusal).toBeNull();
    expect(await database.db('memberships').where({ user_id: one.userId })).toHaveLength(1);
  });
});

describe('creating missing groups', () => {
  it('R23 creates the target in the same transaction, and refuses when somebody was first', async () => {
    const group = { groupId: '01990000-0000-7000-8000-000000000001', name: 'fresh', requiresRole: null };
    const granted = { ...syncOf(world, slug, ['support']).entitlements, groups: [group] };
    const sync = { ...syncOf(world, slug, ['support']), newGroups: [group], entitlements: granted };
    const { userId } = await applyLogin(aLogin(world, 'alice', [sync]));
    expect((await membershipOf(userId)).group_ids).toEqual([group.groupId]);
    const clash = { ...group, groupId: '01990000-0000-7000-8000-000000000002' };
    const late = { ...sync, newGroups: [clash], entitlements: { ...granted, groups: [clash] } };
    await expect(applyLogin(aLogin(world, 'bob', [late]))).rejects.toMatchObject({ code: 'conflict', reason: 'catalogue_moved' });
    expect(await database.db('app_groups').where({ workspace_id: world.workspaceId, name: 'fresh' })).toHaveLength(1);
  });
});

describe('what the tokens say', () => {
  it('R29 carries role, group names and version of the workspaces that the connection serves, and of no other', async () => {
    const { userId } = await login('alice', ['engineers', 'support']);
    const second = await aWorld(database.db, `${slug}-second`);
    await database.db('memberships').insert({ workspace_id: second.workspaceId, user_id: userId, role: 'admin' });
    const account = await createMembershipStore({ db: database.db }).loadAccount({ userId, connectionId: world.connectionId });
    expect(account?.memberships).toEqual([
      { workspaceId: world.workspaceId, workspaceSlug: slug, role: 'builder', version: 1, groups: ['engineers', 'support'] },
    ]);
    const elsewhere = await createMembershipStore({ db: database.db }).loadAccount({ userId, connectionId: second.connectionId });
    expect(elsewhere?.memberships).toMatchObject([{ workspaceSlug: `${slug}-second`, role: 'admin' }]);
  });

  it('R37 explains a member: connection, login, reasons', async () => {
    const { userId } = await login('alice', ['engineers']);
    const explanation = await createMembershipStore({ db: database.db }).explain(world.workspaceId, userId);
    expect(explanation).toMatchObject({
      member: { role: 'builder', version: 1, groups: [{ name: 'engineers' }] },
      login: { connection: `${slug} IdP`, connectionId: world.connectionId },
    });
    expect(explanation.reasons).toContainEqual(
      expect.objectContaining({ grant: expect.objectContaining({ kind: 'group', name: 'engineers' }), idpGroup: 'engineers' }),
    );
  });
});
