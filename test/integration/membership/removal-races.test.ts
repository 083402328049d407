import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSyncListStore, syncListDeparture } from '../../../src/login/sync-list.ts';
import { createApplyLogin, type LoginSync, type SyncResult } from '../../../src/membership/apply.ts';
import { applyUnderLocks } from '../../../src/membership/apply-locked.ts';
import { fingerprintsOf } from '../../../src/membership/login-outcome.ts';
import { createWorkspaceLifecycle } from '../../../src/membership/workspace-lifecycle.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { blockedBy, processOf, untilBlocked, whileWaiting } from '../../support/lock-waits.ts';
import { aLogin, anIdentity, anInstanceWorld, syncOf, type World } from '../../support/membership-world.ts';
import { aSettings, ladder } from '../../support/sync-builder.ts';

/** Logins under way while a workspace leaves their connection, by both ways of applying a login. */

let database: TestDatabase;
let staying: World;
let leaving: World;
let worlds = 0;
let slugs: readonly [string, string];

const now = () => new Date();

beforeAll(async () => {
  database = await createTestDatabase({ poolSize: 20 });
});
afterAll(() => database.drop());
beforeEach(async () => {
  worlds += 1;
  slugs = [`staying-${worlds}`, `leaving-${worlds}`];
  [staying, leaving] = await anInstanceWorld(database.db, slugs);
});

const syncLists = () => createSyncListStore({ db: database.db, now });
const lifecycle = () => createWorkspaceLifecycle({ db: database.db, syncLists: syncListDeparture({ now }), now });

/** The connection as it was when the login looked at it: with both workspaces. */
const loginOf = (subject: string, names: readonly string[] = ['admin']) =>
  aLogin(staying, subject, [
    syncOf(staying, slugs[0], names, aSettings({ keepLastAdmin: false })),
    syncOf(leaving, slugs[1], names, aSettings({ keepLastAdmin: false })),
  ]);
type Way = (login: LoginSync) => Promise<SyncResult>;
const ways: readonly (readonly [string, Way])[] = [
  ['by comparison', (login) => createApplyLogin({ db: database.db, ladder, now })(login)],
  [
    'under locks',
    (login) => {
      const context = { prints: fingerprintsOf(login), ladder, maxUsers: null, now: now() };
      return database.db.transaction((tx) => applyUnderLocks(tx, login, context));
    },
  ],
];

const membershipsOf = (userId: string) =>
  database.db('memberships').where({ user_id: userId, status: 'active' }).orderBy('workspace_id').pluck('workspace_id');
const membersLeft = () =>
  database.db('memberships').where({ workspace_id: leaving.workspaceId, status: 'active' }).pluck('user_id');

/** With the warning confirmed; again when somebody came in between. */
async function removeFromList(): Promise<void> {
  const { connectionId } = staying;
  for (let confirm: string | undefined; ; ) {
    const removal = await syncLists().remove(connectionId, leaving.workspaceId, { confirm });
    if (removal.kind === 'removed') return;
    confirm = removal.token;
  }
}
async function archive(): Promise<void> {
  for (let confirm: string | undefined; ; ) {
    const removal = await lifecycle().remove(leaving.workspaceId, { confirm });
    if (removal.kind === 'removed') return;
    confirm = removal.token;
  }
}
const departures = [
  ['R10 the removal from the sync list', removeFromList],
  ['the archiving of the workspace', archive],
] as const;

describe.each(ways)('a login applied %s', (_way, apply) => {
  describe.each(departures)('%s', (_what, depart) => {
    it('begun before the login writes: it grants nothing there, and the rest as ever', async () => {
      await apply(loginOf('alice'));
      const { result } = await whileWaiting(
        database.db,
        () => apply(loginOf('bob')),
        async (tx) => {
          await tx('connections').where({ connection_id: staying.connectionId }).forNoKeyUpdate().first();
          await tx('connections').where({ connection_id: staying.connectionId }).increment('version');
          await tx('connection_workspaces').where({ workspace_id: leaving.workspaceId }).delete();
        },
      );
      expect(await membershipsOf(result?.userId as string)).toEqual([staying.workspaceId]);
      await depart().catch(() => {});
      expect(await membersLeft()).not.toContain(result?.userId);
    });

    it('waits for a login that writes, and ends what that granted', async () => {
      const identity = anIdentity('carol');
      const blocker = await database.db.transaction();
      await blocker('used_answers').insert({
        connection_id: staying.connectionId,
        answer_id: identity.answerId,
        used_until: identity.answerExpiresAt,
      });
      const login = apply({ ...loginOf('carol'), identity });
      await untilBlocked(database.db, await processOf(blocker));
      let departed = false;
      const departing = depart().then(() => {
        departed = true;
      });
      await untilBlocked(database.db, await blockedBy(blocker));
      expect(departed).toBe(false);
      await blocker.rollback();
      const { userId } = await login;
      await departing;
      expect(await membersLeft()).toEqual([]);
      expect(await membershipsOf(userId)).toEqual([staying.workspaceId]);
      const events = await database
        .db('events')
        .where({ user_id: userId, workspace_id: leaving.workspaceId })
        .orderBy('position');
      expect(events.map(({ type, payload }) => [type, payload.data.version])).toEqual([
        ['membership.created', 1],
        ['membership.removed', 2],
      ]);
    });

    it('amid many first logins and changes: nobody stays in', async () => {
      await Promise.all(['ann', 'ben'].map((name) => apply(loginOf(name))));
      const logins = Array.from({ length: 16 }, (_, n) =>
        apply(n % 4 === 0 ? loginOf(n % 8 ? 'ann' : 'ben', ['builder']) : loginOf(`newcomer-${n}`)),
      );
      const [results] = await Promise.all([Promise.all(logins), depart()]);
      expect(await membersLeft()).toEqual([]);
      for (const { userId } of results) expect(await membershipsOf(userId)).toEqual([staying.workspaceId]);
    });
  });

  it('R12 sync disabled for the workspace meanwhile: the login changes nothing there', async () => {
    const { userId } = await apply(loginOf('alice', ['admin']));
    await syncLists().update(staying.connectionId, leaving.workspaceId, { enabled: false });
    await apply(loginOf('alice', []));
    const roles = await database.db('memberships').where({ user_id: userId }).select('workspace_id', 'role', 'version');
    expect(roles).toContainEqual({ workspace_id: staying.workspaceId, role: 'end-user', version: 2 });
    expect(roles).toContainEqual({ workspace_id: leaving.workspaceId, role: 'admin', version: 1 });
    // Its twin: enabled again, the same login takes the role.
    await syncLists().update(staying.connectionId, leaving.workspaceId, { enabled: true });
    await apply(loginOf('alice', ['builder']));
    expect(await database.db('memberships').where({ user_id: userId }).pluck('role')).toEqual(['builder', 'builder']);
  });

  it('R12 sync disabled at the connection meanwhile: members keep what they have, newcomers get in with the fallback role', async () => {
    const { userId } = await apply(loginOf('alice', ['admin']));
    const { connectionId } = staying;
    const groupSync = { group_sync: JSON.stringify({ enabled: false }), version: 2 };
    await database.db('connections').where({ connection_id: connectionId }).update(groupSync);
    await apply(loginOf('alice', []));
    expect(await database.db('memberships').where({ user_id: userId }).pluck('role')).toEqual(['admin', 'admin']);
    const late = await apply(loginOf('bob', ['admin']));
    const memberships = await database.db('memberships').where({ user_id: late.userId });
    expect(memberships).toMatchObject([{ workspace_id: staying.workspaceId, role: 'end-user' }]);
  });

  it('the connection switched off meanwhile: the login is refused and leaves nothing', async () => {
    const { connectionId } = staying;
    await database.db('connections').where({ connection_id: connectionId }).update({ enabled: false });
    await expect(apply(loginOf('alice'))).rejects.toMatchObject({ code: 'connection_disabled' });
    expect(await database.db('identities').where({ connection_id: connectionId })).toEqual([]);
    await database.db('connections').where({ connection_id: connectionId }).update({ enabled: true });
    await expect(apply(loginOf('alice'))).resolves.toMatchObject({ refusal: null });
  });

  it('the connection switched off meanwhile: nor is a login let in that would change nothing', async () => {
    const { connectionId } = staying;
    await apply(loginOf('alice'));
    await database.db('connections').where({ connection_id: connectionId }).update({ enabled: false });
    const login = loginOf('alice');
    await expect(apply(login)).rejects.toMatchObject({ code: 'connection_disabled' });
    await database.db('connections').where({ connection_id: connectionId }).update({ enabled: true });
    // The refusal did not burn the answer.
    await expect(apply(login)).resolves.toMatchObject({ changed: false, refusal: null });
  });
});
