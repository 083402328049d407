import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import { createApplyLogin, type LoginSync, type SyncResult } from '../../../src/membership/apply.ts';
import { applyUnderLocks } from '../../../src/membership/apply-locked.ts';
import { fingerprintsOf, traceRow } from '../../../src/membership/login-outcome.ts';
import { confirmUnchanged } from '../../../src/membership/login-store.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { aLogin, anIdentity, anInstanceWorld, syncOf, type World } from '../../support/membership-world.ts';
import { aSettings, ladder } from '../../support/sync-builder.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const catalogue = [
  { name: 'engineers', requiresRole: 'builder' },
  { name: 'support', requiresRole: null },
  { name: 'design', requiresRole: null },
];
const names = fc.option(fc.subarray(['admin', 'builder', 'engineers', 'support', 'design', 'elsewhere']), { freq: 6 });
const subject = fc.constantFrom('ann', 'ben', 'cyd');
const place = fc.constantFrom(0, 1);
const steps = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('login' as const),
        subject,
        names: fc.tuple(names, names),
        settings: fc.record({
          enabled: fc.constantFrom(true, true, true, false),
          noMatch: fc.constantFrom('fallback', 'deny', 'keep'),
          unknownGroups: fc.constantFrom('hold', 'treat-as-empty', 'deny'),
          mode: fc.constantFrom('authoritative', 'managed-only'),
          keepLastAdmin: fc.boolean(),
        }),
        surname: fc.constantFrom(null, null, 'Smith'),
        issuer: fc.constantFrom(...Array.from({ length: 8 }, () => 'https://idp.example.com'), 'https://other.example.net'),
        justInTimeProvisioning: fc.constantFrom(true, true, true, false),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('edit' as const), subject, place, role: fc.constantFrom(...ladder) }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('status' as const), subject, status: fc.constantFrom('active', 'archived') }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('listed' as const), place, enabled: fc.boolean() }) },
  ),
  { minLength: 2, maxLength: 12 },
);
type Step = typeof steps extends fc.Arbitrary<(infer Each)[]> ? Each : never;

it('R28 a login applied by comparison leaves exactly what one applied under locks leaves', async () => {
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (history) => {
      runs += 1;
      const [compared, locked] = [await aTwin(`compared-${runs}`), await aTwin(`locked-${runs}`)];
      for (const [index, step] of history.entries()) {
        const now = new Date(Date.UTC(2030, 0, 1, 0, index));
        const byComparison = createApplyLogin({ db: database.db, ladder, now: () => now });
        const one = await take(compared, step, index, byComparison);
        const other = await take(locked, step, index, (login) => withLocksOnly(login, now));
        expect(one).toEqual(other);
      }
      expect(await stateOf(compared)).toEqual(await stateOf(locked));
    }),
    { numRuns: 40 },
  );
}, 60_000);

async function withLocksOnly(login: LoginSync, now: Date): Promise<SyncResult> {
  const prints = fingerprintsOf(login);
  const confirmed = await confirmUnchanged(database.db, {
    connectionId: login.connectionId,
    identity: login.identity,
    profileFingerprint: prints.profile,
    groupsFingerprint: prints.groups,
    memberships: prints.memberships,
    trace: traceRow(login, null, now),
  });
  if (confirmed) return { userId: confirmed.userId, changed: false, refusal: null };
  return database.db.transaction((tx) => applyUnderLocks(tx, login, { prints, ladder, maxUsers: null, now }));
}

interface Twin {
  readonly places: readonly [World, World];
  /** Ids that differ between the twins, to what they stand for. */
  readonly labels: Map<string, string>;
}

async function aTwin(slug: string): Promise<Twin> {
  const places = await anInstanceWorld(database.db, [`${slug}-a`, `${slug}-b`] as const, catalogue);
  const labels = new Map([
    [places[0].connectionId, 'connection'],
    [`${slug}-a`, 'slug 0'],
    [`${slug}-b`, 'slug 1'],
  ]);
  for (const [index, world] of places.entries()) {
    labels.set(world.workspaceId, `workspace ${index}`);
    for (const { groupId, name } of world.catalogue) labels.set(groupId, `group ${name} ${index}`);
  }
  return { places, labels };
}

/** @returns what came of it, with labels for ids */
async function take(twin: Twin, step: Step, index: number, apply: (login: LoginSync) => Promise<SyncResult>): Promise<unknown> {
  const { places, labels } = twin;
  const { db } = database;
  const [first] = places;
  const person =
    'subject' in step ? await db('identities').where({ connection_id: first.connectionId, subject: step.subject }).first() : null;
  switch (step.kind) {
    case 'login': {
      const login = loginOf(twin, step);
      labels.set(login.loginId, `login ${index}`);
      const outcome = await apply(login).then(
        ({ userId, changed, refusal }) => {
          labels.set(userId, `user ${step.subject}`);
          return { userId, changed, refusal: refusal?.reason };
        },
        (error: unknown) => ({ error: error instanceof BrokerError ? [error.code, error.reason] : String(error) }),
      );
      return labelled(twin, outcome);
    }
    case 'edit':
      if (!person) return null;
      return db('memberships')
        .where({ user_id: person.user_id, workspace_id: places[step.place]?.workspaceId, status: 'active' })
        .update({ role: step.role, version: db.raw('version + 1'), reasons: '[]', fingerprint: null, login_id: null });
    case 'status':
      return person && db('users').where({ user_id: person.user_id }).update({ status: step.status });
    case 'listed':
      await db('connections').where({ connection_id: first.connectionId }).increment('version');
      return db('connection_workspaces')
        .where({ connection_id: first.connectionId, workspace_id: places[step.place]?.workspaceId })
        .update({ enabled: step.enabled });
    default:
      return step satisfies never;
  }
}

function loginOf({ places, labels }: Twin, step: Step & { kind: 'login' }): LoginSync {
  const settings = aSettings(step.settings);
  const slugs = [...labels].flatMap(([id, label]) => (label.startsWith('slug') ? [id] : []));
  const workspaces = places.map((world, index) => syncOf(world, slugs[index] as string, step.names[index] ?? null, settings));
  const { profile } = anIdentity(step.subject);
  const identity = anIdentity(step.subject, {
    issuer: step.issuer,
    profile: { ...profile, familyName: step.surname },
  });
  return aLogin(places[0], step.subject, workspaces, { identity, justInTimeProvisioning: step.justInTimeProvisioning });
}

/** Everything that logins write, in an order that does not depend on ids. */
async function stateOf(twin: Twin): Promise<unknown> {
  const { db } = database;
  const { connectionId } = twin.places[0];
  const here = { connection_id: connectionId };
  const identities = await db('identities').where(here).orderBy('subject');
  const userIds = identities.map(({ user_id }) => user_id);
  const users = await db('users').whereIn('user_id', userIds).orderBy('email');
  const memberships = await db('memberships').whereIn('user_id', userIds);
  const events = await db('events')
    .whereIn('user_id', userIds)
    .orderBy('position')
    .select('order_key', 'type', 'payload', 'occurred_at');
  const traces = await db('login_traces').where(here).orderBy('occurred_at');
  const answers = await db('used_answers').where(here);
  // One login's workspaces come in the order of their ids, which differs between the twins; the order within one member counts.
  const keyOf = (event: { order_key: string }) => labelled(twin, event.order_key);
  const inOrder = events.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : keyOf(a) > keyOf(b) ? 1 : 0));
  const state = { identities, users, events: inOrder, traces, answers: answers.length };
  const sorted = memberships.map((each) => labelled(twin, each)).toSorted();
  return [sorted, labelled(twin, state)];
}

function labelled({ labels }: Twin, value: unknown): string {
  let text = JSON.stringify(value, comparable, 1);
  for (const [id, label] of labels) text = text.replaceAll(id, label);
  return text;
}

/** Fingerprints cover ids, which differ between the twins. */
function comparable(key: string, part: unknown): unknown {
  if (key === 'created_at') return undefined;
  return key === 'fingerprint' ? part !== null : part;
}
