import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectionSecretContext } from '../../../src/login/connection-store.ts';
import { aConnectionInput, aMetadata, connectionWorld, oidcProtocol } from '../../support/connection-world.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let database: TestDatabase;
let world: ReturnType<typeof connectionWorld>;
let acme: { workspaceId: string; slug: string };
let globex: { workspaceId: string; slug: string };

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.db.raw('TRUNCATE workspaces CASCADE');
  world = connectionWorld(database.db);
  acme = await world.workspaces.create({ slug: 'acme', displayName: 'Acme' });
  globex = await world.workspaces.create({ slug: 'globex', displayName: 'Globex' });
});

const create = (given: object) => world.connections.create(aConnectionInput(given));
const syncOn = { enabled: true, group_claim: 'groups', mapping: 'Marketing Team -> marketing' };

describe('creating a connection', () => {
  it('R1 keeps a SAML connection of a workspace: metadata, display name, group attribute name', async () => {
    const { connectionId } = await create({
      workspace: 'acme',
      display_name: 'Acme Okta',
      group_sync: { enabled: true, group_claim: 'memberOf' },
    });
    expect(await world.connections.get(connectionId)).toMatchObject({
      workspaceId: acme.workspaceId,
      workspaceSlug: 'acme',
      displayName: 'Acme Okta',
      enabled: true,
      justInTimeProvisioning: true,
      protocol: {
        type: 'saml',
        metadataXml: aMetadata,
        metadataUrl: null,
        authnRequestBinding: 'redirect',
        clockSkewSeconds: 60,
      },
      groupSync: { enabled: true, groupClaim: { name: 'memberOf', delimiter: null }, mapping: { rules: [], oneToOne: true } },
      version: 1,
    });
  });

  it('R1 fetches metadata from its address and keeps both', async () => {
    const { protocol } = await create({ protocol: { type: 'saml', metadata_url: 'https://idp.example.com/metadata' } });
    expect(protocol).toMatchObject({ metadataXml: aMetadata, metadataUrl: 'https://idp.example.com/metadata' });
  });

  it('R2 keeps an OIDC connection with its secret sealed for this connection alone', async () => {
    const { connectionId } = await create({ workspace: acme.workspaceId, protocol: oidcProtocol, group_sync: syncOn });
    const stored = await world.connections.get(connectionId);
    if (stored?.protocol.type !== 'oidc') throw new Error('not the connection that was made');
    expect(stored.protocol).toMatchObject({ discoveryUrl: oidcProtocol.discovery_url, clientId: 'rollcall', scopes: [] });
    const sealed = stored.protocol.sealedClientSecret as string;
    expect(sealed).not.toContain('secret of the IdP');
    expect(world.sealedBox.open(sealed, connectionSecretContext(connectionId))).toBe('a secret of the IdP');
    expect(() => world.sealedBox.open(sealed, connectionSecretContext(acme.workspaceId))).toThrow();
    expect(stored.groupSync.mapping.rules).toEqual([{ from: 'Marketing Team', match: 'exact', to: 'marketing' }]);
  });

  it('R12 leaves group sync off unless it is switched on', async () => {
    expect((await create({})).groupSync.enabled).toBe(false);
  });

  it.each([
    [
      'no metadata in the text',
      { protocol: { type: 'saml', metadata_xml: 'hello' } },
      'protocol.metadata_xml',
      'metadata_invalid',
    ],
    [
      'an address without an answer',
      { protocol: { type: 'saml', metadata_url: 'https://idp.example.com/gone' } },
      'protocol.metadata_url',
      'timeout',
    ],
    ['an unknown workspace', { workspace: 'nowhere' }, 'workspace', undefined],
    [
      'an unknown workspace in the sync list',
      { sync_list: [{ workspace: 'acme', is_default: true }, { workspace: 'nowhere' }] },
      'sync_list.1.workspace',
      undefined,
    ],
    [
      'one workspace twice in the sync list',
      { sync_list: [{ workspace: 'acme', is_default: true }, { workspace: 'acme' }] },
      'sync_list.1.workspace',
      undefined,
    ],
  ])('refuses %s and names the field', async (_case, given, path, reason) => {
    const error = await create(given).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'validation_failed', reason, fields: [{ path }] });
    expect(await world.connections.list({ limit: 10 })).toEqual([]);
  });

  it('refuses metadata behind an address that is none, and keeps nothing', async () => {
    world.documents.set('https://idp.example.com/page', '<html>');
    await expect(create({ protocol: { type: 'saml', metadata_url: 'https://idp.example.com/page' } })).rejects.toMatchObject({
      code: 'validation_failed',
      fields: [{ path: 'protocol.metadata_url', message: expect.stringContaining('no SAML metadata') }],
    });
  });

  it('refuses a display name that the same level has, and accepts it on another', async () => {
    await create({ workspace: 'acme', display_name: 'Okta' });
    await expect(create({ workspace: 'acme', display_name: 'Okta' })).rejects.toMatchObject({
      code: 'conflict',
      fields: [{ path: 'display_name' }],
    });
    await expect(create({ workspace: 'globex', display_name: 'Okta' })).resolves.toMatchObject({ displayName: 'Okta' });
  });

  it('has one default connection: a new one takes the place of the old', async () => {
    const first = await create({ display_name: 'first', is_default: true });
    const second = await create({ display_name: 'second', is_default: true });
    expect(await world.connections.get(first.connectionId)).toMatchObject({ isDefault: false, version: 2 });
    expect(second).toMatchObject({ isDefault: true, version: 1 });
  });
});

describe('listing', () => {
  it('goes page by page, and shows one workspace its own only', async () => {
    const made = [
      await create({ workspace: 'acme', display_name: 'a' }),
      await create({ workspace: 'globex', display_name: 'b' }),
      await create({ display_name: 'c' }),
    ].map(({ connectionId }) => connectionId);
    made.sort();
    const first = await world.connections.list({ limit: 2 });
    const rest = await world.connections.list({ limit: 2, after: first.at(-1)?.connectionId });
    expect([...first, ...rest].map(({ connectionId }) => connectionId)).toEqual(made);
    const own = await world.connections.list({ workspaceId: globex.workspaceId, limit: 10 });
    expect(own.map(({ displayName }) => displayName)).toEqual(['b']);
  });
});
