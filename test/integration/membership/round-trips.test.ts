import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createApplyLogin } from '../../../src/membership/apply.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { aLogin, anIdentity, aWorld, syncOf, type World } from '../../support/membership-world.ts';
import { statementsOf } from '../../support/round-trips.ts';
import { aSettings, ladder } from '../../support/sync-builder.ts';

let database: TestDatabase;
let world: World;
let second: World;
let worlds = 0;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  worlds += 1;
  const groups = [
    { name: 'engineers', requiresRole: 'builder' },
    { name: 'support', requiresRole: null },
  ];
  world = await aWorld(database.db, `one-${worlds}`, groups);
  second = await aWorld(database.db, `two-${worlds}`, groups);
  await database
    .db('connection_workspaces')
    .insert({ connection_id: world.connectionId, workspace_id: second.workspaceId, is_default: true });
});

const settings = aSettings({ keepLastAdmin: false });

/** A login that concerns two workspaces. */
const loginOf = (subject: string, names: readonly string[] | null, overrides: Parameters<typeof aLogin>[3] = {}) =>
  aLogin(
    world,
    subject,
    [syncOf(world, `one-${worlds}`, names, settings), syncOf(second, `two-${worlds}`, names, settings)],
    overrides,
  );

async function measured(login: ReturnType<typeof loginOf>) {
  const applyLogin = createApplyLogin({ db: database.db, ladder, now: () => new Date() });
  const { result, statements } = await statementsOf(() => applyLogin(login));
  const events = await database.db('events').whereRaw(`payload #>> '{data,cause,login_id}' = ?`, [login.loginId]);
  return { ...result, roundTrips: statements.length, membershipEvents: events.length };
}

describe('round trips to Postgres', () => {
  it('a login that changes nothing is one', async () => {
    await measured(loginOf('alice', ['engineers']));
    expect(await measured(loginOf('alice', ['engineers']))).toMatchObject({ changed: false, roundTrips: 1, membershipEvents: 0 });
  });

  it('a first login is three', async () => {
    expect(await measured(loginOf('alice', ['engineers']))).toMatchObject({ changed: true, roundTrips: 3, membershipEvents: 2 });
  });

  it('a login that changes groups and role in two workspaces is three', async () => {
    await measured(loginOf('alice', ['engineers', 'admin']));
    expect(await measured(loginOf('alice', ['support']))).toMatchObject({ changed: true, roundTrips: 3, membershipEvents: 2 });
  });

  it('a changed name is three', async () => {
    await measured(loginOf('alice', ['support']));
    const identity = anIdentity('alice', { profile: { ...anIdentity('alice').profile, name: 'Alice Smith' } });
    const renamed = await measured(loginOf('alice', ['support'], { identity }));
    expect(renamed).toMatchObject({ changed: true, roundTrips: 3, membershipEvents: 0 });
    expect(await database.db('users').where({ user_id: renamed.userId }).first()).toMatchObject({ name: 'Alice Smith' });
  });

  it('R25 a login whose groups are unknown is three', async () => {
    await measured(loginOf('alice', ['support']));
    expect(await measured(loginOf('alice', null))).toMatchObject({ changed: true, roundTrips: 3, membershipEvents: 2 });
  });

  it('R22 a removal of access is three', async () => {
    const deny = aSettings({ noMatch: 'deny' });
    const only = (names: readonly string[]) => aLogin(world, 'alice', [syncOf(world, `one-${worlds}`, names, deny)]);
    await measured(only(['support']));
    expect(await measured(only(['other']))).toMatchObject({
      refusal: { code: 'not_entitled' },
      roundTrips: 3,
      membershipEvents: 1,
    });
  });

  it('R33 a person who is known by another connection is three at the first login there', async () => {
    const { userId } = await measured(loginOf('alice', ['support']));
    await database.db('identities').insert({
      connection_id: second.connectionId,
      subject: 'alice there',
      issuer: 'https://idp.example.com',
      user_id: userId,
    });
    const there = aLogin(second, 'alice there', [syncOf(second, `two-${worlds}`, ['support'], settings)]);
    expect(await measured(there)).toMatchObject({ userId, changed: true, roundTrips: 3 });
  });
});
