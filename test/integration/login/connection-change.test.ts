import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectionDocument } from '../../../src/login/connection-document.ts';
import { connectionInputSchema } from '../../../src/login/connection-input.ts';
import type { StoredConnection } from '../../../src/login/connection-rows.ts';
import { connectionSecretContext } from '../../../src/login/connection-store.ts';
import { aConnectionInput, aMetadata, connectionWorld, oidcProtocol } from '../../support/connection-world.ts';
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

describe('changing a connection', () => {
  const change = async (connectionId: string, given: object) => {
    const prepared = await world.connections.prepare(aConnectionInput(given), await world.connections.get(connectionId));
    return world.connections.replace(connectionId, prepared);
  };

  it('raises the version once for each change and says which fields changed', async () => {
    const { connectionId } = await create({ workspace: 'acme' });
    expect(await change(connectionId, { workspace: 'acme', display_name: 'New', enabled: false })).toEqual([
      'display_name',
      'enabled',
    ]);
    expect(await world.connections.get(connectionId)).toMatchObject({ displayName: 'New', enabled: false, version: 2 });
  });

  it('does nothing when nothing changes, sync list, mapping and secret included', async () => {
    const given = {
      protocol: oidcProtocol,
      group_sync: syncOn,
      sync_list: [
        { workspace: 'acme', is_default: true },
        { workspace: 'globex', mapping: 'a -> b' },
      ],
    };
    const { connectionId } = await create(given);
    expect(await change(connectionId, given)).toEqual([]);
    expect(await world.connections.get(connectionId)).toMatchObject({ version: 1 });
  });

  it('reads back as the document that makes it again', async () => {
    const { connectionId } = await create({
      protocol: oidcProtocol,
      group_sync: syncOn,
      sync_list: [{ workspace: 'acme', is_default: true }],
    });
    const stored = await world.connections.get(connectionId);
    const again = connectionInputSchema.parse(connectionDocument(stored as NonNullable<typeof stored>));
    expect(await world.connections.replace(connectionId, await world.connections.prepare(again, stored))).toEqual([]);
  });

  it('keeps a secret that is left out, replaces one that is given, drops one that is null', async () => {
    const { connectionId } = await create({ protocol: oidcProtocol });
    const secret = async () => {
      const stored = await world.connections.get(connectionId);
      const sealed = stored?.protocol.type === 'oidc' ? stored.protocol.sealedClientSecret : null;
      return sealed && world.sealedBox.open(sealed, connectionSecretContext(connectionId));
    };
    const { client_secret: _, ...without } = oidcProtocol;
    expect(await change(connectionId, { protocol: without })).toEqual([]);
    expect(await secret()).toBe(oidcProtocol.client_secret);
    expect(await change(connectionId, { protocol: { ...oidcProtocol, client_secret: 'another one' } })).toEqual(['protocol']);
    expect(await secret()).toBe('another one');
    expect(await change(connectionId, { protocol: { ...oidcProtocol, client_secret: null } })).toEqual(['protocol']);
    expect(await secret()).toBeNull();
  });

  it('keeps fetched metadata while its address stays, though the address no longer answers', async () => {
    const given = { protocol: { type: 'saml', metadata_url: 'https://idp.example.com/metadata' } };
    const { connectionId } = await create(given);
    world.documents.clear();
    expect(await change(connectionId, { ...given, display_name: 'Renamed' })).toEqual(['display_name']);
    expect(await world.connections.get(connectionId)).toMatchObject({ protocol: { metadataXml: aMetadata } });
  });

  it('R33 keeps protocol and workspace: the identities of its users hang on them', async () => {
    const { connectionId } = await create({ workspace: 'acme' });
    await expect(change(connectionId, { workspace: 'acme', protocol: oidcProtocol })).rejects.toMatchObject({
      fields: [{ path: 'protocol.type' }],
    });
    await expect(change(connectionId, { workspace: 'globex' })).rejects.toMatchObject({ fields: [{ path: 'workspace' }] });
    expect(await world.connections.get(connectionId)).toMatchObject({ workspaceId: acme.workspaceId, version: 1 });
  });

  it('R11 refuses to disable or remove the last workspace, and allows it while another one stays', async () => {
    const list = (acmeEnabled: boolean, globexEnabled: boolean) => ({
      sync_list: [
        { workspace: 'acme', is_default: true, enabled: acmeEnabled },
        { workspace: 'globex', enabled: globexEnabled },
      ],
    });
    const { connectionId } = await create(list(true, true));
    const lastOne = { code: 'conflict', reason: 'last_enabled_workspace', fields: [{ path: 'sync_list' }] };
    await expect(change(connectionId, list(false, false))).rejects.toMatchObject(lastOne);
    await expect(change(connectionId, { sync_list: [] })).rejects.toMatchObject(lastOne);
    // R6: the default workspace's inheritance can be off while another one is on.
    expect(await change(connectionId, list(false, true))).toEqual(['sync_list']);
  });

  it('of changes at once none is lost: each is made to the outcome of the one before', async () => {
    const { connectionId } = await create({ workspace: 'acme' });
    const document = (stored: StoredConnection) => connectionDocument(stored) as object;
    const update = (given: object) =>
      world.connections.update(connectionId, (stored) => connectionInputSchema.parse({ ...document(stored), ...given }));
    await Promise.all([
      update({ display_name: 'New' }),
      update({ just_in_time_provisioning: false }),
      update({ enabled: false }),
    ]);
    expect(await world.connections.get(connectionId)).toMatchObject({
      displayName: 'New',
      justInTimeProvisioning: false,
      enabled: false,
      version: 4,
    });
  });

  it('refuses to replace a version that is no longer there', async () => {
    const { connectionId } = await create({ workspace: 'acme' });
    const prepare = async (name: string) =>
      world.connections.prepare(
        aConnectionInput({ workspace: 'acme', display_name: name }),
        await world.connections.get(connectionId),
      );
    const [first, second] = [await prepare('first'), await prepare('second')];
    await world.connections.replace(connectionId, first);
    await expect(world.connections.replace(connectionId, second)).rejects.toMatchObject({
      code: 'conflict',
      reason: 'version_moved',
    });
    expect(await world.connections.get(connectionId)).toMatchObject({ displayName: 'first', version: 2 });
  });

  it.each([
    ['address', { discovery_url: 'https://attacker.example.com' }],
    ['client id', { client_id: 'another' }],
  ])('does not send a kept secret to another %s: it has to be given again', async (_case, moved) => {
    const { connectionId } = await create({ protocol: oidcProtocol });
    const { client_secret: _, ...without } = oidcProtocol;
    await expect(change(connectionId, { protocol: { ...without, ...moved } })).rejects.toMatchObject({
      code: 'validation_failed',
      fields: [{ path: 'protocol.client_secret' }],
    });
    expect(await world.connections.get(connectionId)).toMatchObject({ version: 1 });
    expect(await change(connectionId, { protocol: { ...without, ...moved, client_secret: 'given again' } })).toEqual([
      'protocol',
    ]);
  });

  it('switches off and on again with everything kept', async () => {
    const { connectionId } = await create({ workspace: 'acme', group_sync: syncOn });
    expect(await world.connections.setEnabled(connectionId, false)).toMatchObject({ enabled: false, version: 2 });
    expect(await world.connections.setEnabled(connectionId, false)).toMatchObject({ enabled: false, version: 2 });
    expect(await world.connections.setEnabled(connectionId, true)).toMatchObject({
      enabled: true,
      groupSync: { enabled: true, mapping: { rules: [{ from: 'Marketing Team' }] } },
    });
  });

  it('writes nothing of a change within a transaction that does not commit', async () => {
    const { connectionId } = await create({ workspace: 'acme' });
    await database.db
      .transaction(async (tx) => {
        const stores = connectionWorld(tx);
        await stores.connections.replace(
          connectionId,
          await stores.connections.prepare(aConnectionInput({ workspace: 'acme', display_name: 'lost' })),
        );
        throw new Error('something later fails');
      })
      .catch(() => {});
    expect(await world.connections.get(connectionId)).toMatchObject({ displayName: 'Okta', version: 1 });
  });
});
