import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createDatabase, type Database } from '../../../src/infra/postgres.ts';
import { createIdentityStore } from '../../../src/login/linking-store.ts';
import { createApplyLogin } from '../../../src/membership/apply.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { blockedBy, processOf, untilBlocked, whileWaiting } from '../../support/lock-waits.ts';
import { aLogin, anIdentity, aWorld, syncOf, type World } from '../../support/membership-world.ts';
import { aSettings, ladder } from '../../support/sync-builder.ts';

/** Logins of one person at two brokers, and whatever gets in between a login's reading and its writing. */

let database: TestDatabase;
let otherPool: Database;
let world: World;
let slug: string;
let worlds = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  otherPool = createDatabase({ url: database.url, poolSize: 10, statementTimeoutSeconds: 10 });
});
afterAll(async () => {
  await otherPool.destroy();
  await database.drop();
});
beforeEach(async () => {
  worlds += 1;
  slug = `world-${worlds}`;
  world = await aWorld(database.db, slug, [
    { name: 'engineers', requiresRole: 'builder' },
    { name: 'support', requiresRole: null },
  ]);
});

const brokers = () => [database.db, otherPool].map((db) => createApplyLogin({ db, ladder, now: () => new Date() }));
const settings = aSettings({ keepLastAdmin: false });
const loginOf = (names: readonly string[], subject = 'alice') => aLogin(world, subject, [syncOf(world, slug, names, settings)]);
const applyLogin = (login: ReturnType<typeof loginOf>) =>
  createApplyLogin({ db: database.db, ladder, now: () => new Date() })(login);
const eventsOf = (userId: string) => database.db('events').where({ user_id: userId }).orderBy('position');
const membershipOf = (userId: string) =>
  database.db('memberships').where({ workspace_id: world.workspaceId, user_id: userId }).first();

describe('R28 logins of one person at two brokers at once', () => {
  it('give consecutive versions, events in their order, and each answer one outcome', async () => {
    const { userId } = await applyLogin(loginOf([]));
    const choices = [['engineers'], ['support'], ['admin'], [], ['engineers', 'support'], ['admin', 'support']];
    const [one, two] = brokers();
    for (let round = 0; round < 4; round++) {
      const logins = Array.from({ length: 24 }, (_, n) => loginOf(choices[(n + round) % choices.length] as string[]));
      // Each answer is presented at both brokers.
      const results = await Promise.all(
        logins.map((login) => Promise.allSettled([one?.(login), two?.({ ...login, loginId: loginOf([]).loginId })])),
      );
      for (const pair of results) {
        const reasons = pair.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
        expect(reasons).toMatchObject([{ code: 'assertion_replayed' }]);
      }
    }
    const changes = (await eventsOf(userId)).filter(({ type }) => type.startsWith('membership.'));
    expect(changes.length).toBeGreaterThan(4);
    expect(changes.map(({ payload }) => payload.data.version)).toEqual(changes.map((_, n) => n + 1));
    for (const [n, { payload }] of changes.entries()) {
      const before = changes[n - 1]?.payload.data;
      expect(payload.data.previous).toEqual(before ? { role: before.role, groups: before.groups } : null);
    }
    const last = changes.at(-1)?.payload.data;
    const stored = await membershipOf(userId);
    expect(stored).toMatchObject({ version: last.version, role: last.role });
    expect(stored.group_ids).toEqual(last.groups.map(({ id }: { id: string }) => id));
    expect(await database.db('login_traces').where({ user_id: userId })).toHaveLength(1 + 4 * 24);
  });

  it('make one person at twenty first logins, by one login each', async () => {
    const [one, two] = brokers();
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, n) => (n % 2 ? one : two)?.(loginOf([n % 3 ? 'support' : 'admin']))),
    );
    const userIds = new Set(results.map((result) => result?.userId));
    expect(userIds.size).toBe(1);
    const events = await eventsOf([...userIds][0] as string);
    expect(events.filter(({ type }) => type === 'user.created')).toHaveLength(1);
    const versions = events.flatMap(({ type, payload }) => (type.startsWith('membership.') ? [payload.data.version] : []));
    expect(versions).toEqual(versions.map((_, n) => n + 1));
  });
});

describe('R28 what gets in between the reading and the writing of a login', () => {
  it('another change of the membership: the login looks again', async () => {
    const { userId } = await applyLogin(loginOf(['engineers']));
    const { result } = await whileWaiting(
      database.db,
      () => applyLogin(loginOf(['support'])),
      async (tx) => {
        await tx('users').where({ user_id: userId }).forNoKeyUpdate().first();
        await tx('memberships').where({ user_id: userId }).update({ role: 'admin', version: 2, fingerprint: null });
      },
    );
    expect(result).toMatchObject({ userId, changed: true });
    expect(await membershipOf(userId)).toMatchObject({ role: 'end-user', version: 3 });
    expect((await eventsOf(userId)).at(-1)?.payload.data).toMatchObject({ version: 3, previous: { role: 'admin' } });
  });

  it('a membership that was not there: the login looks again', async () => {
    const other = await aWorld(database.db, `${slug}-other`);
    const { userId } = await applyLogin(aLogin(other, 'alice', [syncOf(other, `${slug}-other`, [], settings)]));
    const identity = { connection_id: world.connectionId, subject: 'alice', issuer: 'https://idp.example.com', user_id: userId };
    await database.db('identities').insert(identity);
    await whileWaiting(
      database.db,
      () => applyLogin(loginOf(['support'])),
      async (tx) => {
        await tx('users').where({ user_id: userId }).forNoKeyUpdate().first();
        await tx('memberships').insert({ workspace_id: world.workspaceId, user_id: userId, role: 'admin', version: 7 });
      },
    );
    expect(await membershipOf(userId)).toMatchObject({ role: 'end-user', version: 8 });
  });

  it('R32 the archiving of the person: the login is refused', async () => {
    const { userId } = await applyLogin(loginOf(['engineers']));
    const { error } = await whileWaiting(
      database.db,
      () => applyLogin(loginOf(['support'])),
      async (tx) => {
        await tx('users').where({ user_id: userId }).update({ status: 'archived' });
      },
    );
    expect(error).toMatchObject({ code: 'user_archived' });
    expect(await membershipOf(userId)).toMatchObject({ role: 'builder', version: 1 });
  });

  it('R33 the identity made by somebody else: the login is theirs', async () => {
    const { userId } = await applyLogin(loginOf(['engineers'], 'bob'));
    const { result } = await whileWaiting(
      database.db,
      () => applyLogin(loginOf(['support'])),
      async (tx) => {
        const identity = {
          connection_id: world.connectionId,
          subject: 'alice',
          issuer: 'https://idp.example.com',
          user_id: userId,
        };
        await tx('identities').insert(identity);
      },
    );
    expect(result).toMatchObject({ userId });
    expect(await database.db('identities').where({ connection_id: world.connectionId, user_id: userId })).toHaveLength(2);
    expect(await membershipOf(userId)).toMatchObject({ role: 'end-user', version: 2 });
  });

  it('R33 an administrator who gives the subject to somebody waits for its first login, and is told', async () => {
    const { userId } = await applyLogin(loginOf(['engineers'], 'bob'));
    const identities = createIdentityStore({ db: database.db, entityIdOf: () => '', now: () => new Date() });
    const change = {
      connectionId: world.connectionId,
      subject: 'alice',
      issuer: 'https://idp.example.com',
      previousSubject: null,
    };
    const identity = anIdentity('alice');
    const mark = { connection_id: world.connectionId, answer_id: identity.answerId, used_until: identity.answerExpiresAt };
    const blocker = await database.db.transaction();
    await blocker('used_answers').insert(mark);
    const login = applyLogin({ ...loginOf(['support']), identity });
    await untilBlocked(database.db, await processOf(blocker));
    const rebinding = identities.rebind(userId, change).catch((error: unknown) => error);
    await untilBlocked(database.db, await blockedBy(blocker));
    await blocker.rollback();
    expect((await login).userId).not.toBe(userId);
    expect(await rebinding).toMatchObject({ code: 'conflict', reason: 'identity_taken' });
  });

  it('nothing: the login goes through, whoever else held the lock', async () => {
    const { userId } = await applyLogin(loginOf(['engineers']));
    const { result } = await whileWaiting(
      database.db,
      () => applyLogin(loginOf(['support'])),
      async (tx) => {
        await tx('users').where({ user_id: userId }).forNoKeyUpdate().first();
      },
    );
    expect(result).toMatchObject({ userId, changed: true });
    expect(await membershipOf(userId)).toMatchObject({ role: 'end-user', version: 2 });
  });

  it('a lock that is held for long: the login waits in a transaction, which the server itself would end', async () => {
    const { userId } = await applyLogin(loginOf(['engineers']));
    const holder = await database.db.transaction();
    await holder('users').where({ user_id: userId }).forNoKeyUpdate().first();
    const login = applyLogin(loginOf(['support']));
    await vi.waitUntil(
      async () => {
        const { rows } = await database.db.raw(
          `SELECT 1 FROM pg_stat_activity WHERE ? = ANY (pg_blocking_pids(pid)) AND query LIKE 'SELECT i.issuer%'`,
          [await processOf(holder)],
        );
        return rows.length > 0;
      },
      { timeout: 10_000 },
    );
    await holder.commit();
    expect(await login).toMatchObject({ userId, changed: true });
    expect(await membershipOf(userId)).toMatchObject({ role: 'end-user', version: 2 });
  });

  it('the same answer, accepted elsewhere: the login is a replay', async () => {
    const { userId } = await applyLogin(loginOf(['engineers']));
    const identity = anIdentity('alice');
    const { error } = await whileWaiting(
      database.db,
      () => applyLogin({ ...loginOf(['support']), identity }),
      async (tx) => {
        await tx('used_answers').insert({
          connection_id: world.connectionId,
          answer_id: identity.answerId,
          used_until: identity.answerExpiresAt,
        });
      },
    );
    expect(error).toMatchObject({ code: 'assertion_replayed' });
    expect(await membershipOf(userId)).toMatchObject({ role: 'builder', version: 1 });
  });
});
