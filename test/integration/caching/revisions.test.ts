import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createNotifications, type Notifications } from '../../../src/infra/notifications.ts';
import type { Database } from '../../../src/infra/postgres.ts';
import { createDomainStore } from '../../../src/login/domains.ts';
import { parseRevisionMessage, readRevised, revisionChannel } from '../../../src/login/revisions.ts';
import { compiledCatalogue } from '../../../src/login/sync-context.ts';
import { createSyncListStore } from '../../../src/login/sync-list.ts';
import {
  type CatalogueDocument,
  isCatalogueDocument,
  isConnectionDocument,
  readCatalogueText,
  readConnectionText,
} from '../../../src/login/sync-texts.ts';
import { createCatalogueChanges } from '../../../src/membership/catalogue-changes.ts';
import { createCatalogueStore } from '../../../src/membership/catalogue-store.ts';
import { createReevaluateMembers } from '../../../src/membership/reevaluate.ts';
import { aConnectionInput, connectionWorld, oidcProtocol } from '../../support/connection-world.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { quietLog } from '../../support/quiet-log.ts';

const now = () => new Date();
const roles = ['admin', 'builder', 'end-user'] as const;

let database: TestDatabase;
let db: Database;
let notifications: Notifications;
const messages: string[] = [];
let world: ReturnType<typeof connectionWorld>;
let acme: string;
let globex: string;
let connectionId: string;
let listed: string;

beforeAll(async () => {
  database = await createTestDatabase();
  db = database.db;
  notifications = createNotifications({ url: database.url, log: quietLog });
  let ready = false;
  notifications.listen(
    revisionChannel,
    (message) => messages.push(message),
    () => (ready = true),
  );
  notifications.start();
  await vi.waitFor(() => expect(ready).toBe(true));
});
afterAll(async () => {
  await notifications?.stop();
  await database?.drop();
});
beforeEach(async () => {
  await db.raw('TRUNCATE workspaces CASCADE');
  world = connectionWorld(db);
  acme = (await world.workspaces.create({ slug: 'acme', displayName: 'Acme' })).workspaceId;
  globex = (await world.workspaces.create({ slug: 'globex', displayName: 'Globex' })).workspaceId;
  await world.workspaces.create({ slug: 'initech', displayName: 'Initech' });
  ({ connectionId } = await world.connections.create(aConnectionInput({ workspace: 'acme', display_name: 'Own' })));
  ({ connectionId: listed } = await world.connections.create(
    aConnectionInput({
      display_name: 'Instance',
      group_sync: { enabled: true },
      sync_list: [{ workspace: 'acme', is_default: true }, { workspace: 'globex' }],
    }),
  ));
  await upsert([{ name: 'engineers', requiresRole: null }]);
});

const domains = () => createDomainStore({ db, resolveTxt: async () => [], now });
const lists = () => createSyncListStore({ db, now });
const catalogue = () => createCatalogueStore({ db, roles, now });
const changes = () =>
  createCatalogueChanges({
    db,
    catalogue: catalogue(),
    roles,
    reevaluateMembers: createReevaluateMembers({ db, ladder: roles, now }),
    now,
  });
const upsert = (groups: Parameters<ReturnType<typeof createCatalogueStore>['upsert']>[1]) => catalogue().upsert(acme, groups);
const groupId = async () => (await catalogue().list(acme, { limit: 1 }))[0]?.groupId ?? '';

/** What Postgres says was revised by an act, as `kind id`; NOTIFY must have told exactly that with the revision now in force. */
async function revisedBy(act: () => Promise<unknown>): Promise<string[]> {
  const { horizon } = await readRevised(db, null);
  const before = new Set(await revisions());
  await fence();
  messages.length = 0;
  await act();
  // A reading may repeat what an older one had, while any transaction on the server is as old as that.
  const revised = (await readRevised(db, horizon)).revised.filter(({ revision }) => !before.has(revision ?? ''));
  await vi.waitFor(() => {
    const last = new Map(
      messages.map((message) => parseRevisionMessage(message)).map((each) => [`${each?.kind} ${each?.id}`, each]),
    );
    expect([...last.values()].sort(byId)).toEqual([...revised].sort(byId));
  });
  return revised.map(({ kind, id }) => `${kind} ${id}`).sort();
}

async function revisions(): Promise<readonly string[]> {
  const [ofConnections, ofCatalogues] = [db('connections').pluck('revision'), db('workspaces').pluck('catalogue_revision')];
  return [...(await ofConnections), ...(await ofCatalogues)];
}

/** Until everything that was sent before has come. */
async function fence(): Promise<void> {
  await db.raw('SELECT pg_notify(?, ?)', [revisionChannel, 'fence']);
  await vi.waitFor(() => expect(messages.at(-1)).toBe('fence'));
}

function byId(left: { id: string } | null | undefined, right: { id: string } | null | undefined): number {
  return (left?.id ?? '') < (right?.id ?? '') ? -1 : 1;
}

describe('a connection has a new revision, and NOTIFY tells of it, when', () => {
  const acts: readonly [string, () => Promise<unknown>, () => string[]][] = [
    ['it is switched off', () => world.connections.setEnabled(connectionId, false), () => [connectionId]],
    [
      'it is edited',
      () =>
        world.connections.update(connectionId, () =>
          aConnectionInput({ workspace: 'acme', display_name: 'Own', group_sync: { enabled: true } }),
        ),
      () => [connectionId],
    ],
    [
      'a workspace is put on its list',
      () => lists().add(listed, 'initech', { enabled: true, claimName: null, mapping: null }),
      () => [listed],
    ],
    ['a workspace overrides', () => lists().update(listed, globex, { claimName: 'teams' }), () => [listed]],
    ['a workspace is switched off on its list', () => lists().update(listed, globex, { enabled: false }), () => [listed]],
    ['a domain is added', () => domains().put(connectionId, 'acme.example', 'allowed'), () => [connectionId]],
    [
      'a domain is removed',
      async () => {
        await domains().put(connectionId, 'acme.example', 'allowed');
        await domains().remove(connectionId, 'acme.example');
      },
      () => [connectionId],
    ],
    [
      'somebody writes into the list by hand',
      () => db('connection_workspaces').where({ workspace_id: globex }).delete(),
      () => [listed],
    ],
    [
      'a workspace that it serves is archived by hand',
      () => db('workspaces').where({ workspace_id: acme }).update({ status: 'archived' }),
      () => [connectionId, listed],
    ],
  ];
  test.each(acts)('%s', async (_, act, expected) => {
    const revised = (await revisedBy(act)).filter((each) => each.startsWith('connection'));
    expect(revised).toEqual(
      expected()
        .map((id) => `connection ${id}`)
        .sort(),
    );
  });

  test('it is made', async () => {
    const revised = await revisedBy(() =>
      world.connections.create(aConnectionInput({ display_name: 'New', protocol: oidcProtocol })),
    );
    expect(revised).toHaveLength(1);
  });
});

describe('a catalogue has a new revision when', () => {
  const acts: readonly [string, () => Promise<unknown>][] = [
    ['groups are pushed', () => upsert([{ name: 'designers', requiresRole: null }])],
    ['a push changes what a group requires', () => upsert([{ name: 'engineers', requiresRole: 'builder' }])],
    ['a group is renamed by a push', async () => upsert([{ groupId: await groupId(), name: 'makers', requiresRole: null }])],
    ['a group is renamed', async () => changes().update(acme, await groupId(), { name: 'makers' }, { applyNow: false })],
    ['a group is deleted', async () => changes().remove(acme, await groupId(), {})],
  ];
  test.each(acts)('%s', async (_, act) => {
    expect(await revisedBy(act)).toEqual([`catalogue ${acme}`]);
  });
});

test('a connection that is deleted by hand is told of', async () => {
  await fence();
  await db('connections').where({ connection_id: connectionId }).delete();
  await vi.waitFor(() => expect(messages).toContain(`connection ${connectionId}`));
});

describe('nothing is revised by', () => {
  test.each<[string, () => Promise<unknown>]>([
    ['a push that changes nothing', () => upsert([{ name: 'engineers', requiresRole: null }])],
    ['another name of a workspace', () => world.workspaces.rename(acme, 'Acme Inc.')],
    ['switching on what is on', () => world.connections.setEnabled(connectionId, true)],
    [
      'a change that was rolled back',
      () =>
        db
          .transaction(async (tx) => {
            await tx('connections').update({ enabled: false });
            throw new Error('undone');
          })
          .catch(() => {}),
    ],
  ])('%s', async (_, act) => {
    expect(await revisedBy(act)).toEqual([]);
  });
});

test('a change that commits late is found, however many readings and later changes lie between', async () => {
  let { horizon } = await readRevised(db, null);
  const before = new Set(await revisions());
  const found = new Set<string>();
  const look = async () => {
    const reading = await readRevised(db, horizon);
    ({ horizon } = reading);
    for (const { id, revision } of reading.revised) if (!before.has(revision ?? '')) found.add(id);
  };
  await db.transaction(async (tx) => {
    await tx('connections').where({ connection_id: connectionId }).update({ enabled: false });
    await world.connections.setEnabled(listed, false);
    await look();
    await look();
    await upsert([{ name: 'designers', requiresRole: null }]);
    await look();
    expect([found.has(connectionId), found.has(listed), found.has(acme)]).toEqual([false, true, true]);
  });
  await look();
  expect(found.has(connectionId)).toBe(true);
});

describe('the text that caches hold', () => {
  test('of a connection is what the login reads, and comes only for another revision than the known one', async () => {
    const found = await readConnectionText(db, listed, null);
    const document: unknown = JSON.parse(found?.text ?? '');
    expect(isConnectionDocument(document)).toBe(true);
    expect(document).toMatchObject({ connection_id: listed, workspace_active: true, targets: [{ workspaceSlug: 'acme' }, {}] });
    expect(await readConnectionText(db, listed, found?.revision ?? '')).toEqual({ revision: found?.revision, text: null });
    await lists().update(listed, globex, { claimName: 'teams' });
    const again = await readConnectionText(db, listed, found?.revision ?? '');
    expect(again?.revision).not.toBe(found?.revision);
    expect(JSON.parse(again?.text ?? '')).toMatchObject({ targets: [{ claimName: null }, { claimName: 'teams' }] });
  });

  test('of an OpenID Connect connection carries its secret sealed only', async () => {
    const made = await world.connections.create(aConnectionInput({ display_name: 'New', protocol: oidcProtocol }));
    const found = await readConnectionText(db, made.connectionId, null);
    expect(isConnectionDocument(JSON.parse(found?.text ?? ''))).toBe(true);
    expect(found?.text).not.toContain(oidcProtocol.client_secret);
  });

  test('of a catalogue likewise; an empty one is not an unknown one', async () => {
    const found = await readCatalogueText(db, acme, null);
    const document: unknown = JSON.parse(found?.text ?? '');
    expect(isCatalogueDocument(document)).toBe(true);
    expect(compiledCatalogue(document as CatalogueDocument).groups).toEqual(await catalogue().loadCatalogue(acme));
    expect(await readCatalogueText(db, acme, found?.revision ?? '')).toEqual({ revision: found?.revision, text: null });
    expect((await readCatalogueText(db, globex, null))?.text).toBe('[]');
  });

  test.each(['', 'x', "' OR true --", '01890a5d-ac96-774b-bcce-b302099a8057'])(
    'of what does not exist (%j) is none',
    async (id) => {
      expect(await readConnectionText(db, id, null)).toBeNull();
      expect(await readCatalogueText(db, id, 'no revision either')).toBeNull();
    },
  );
});
