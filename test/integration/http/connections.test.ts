import { describe, expect, it } from 'vitest';
import { apiOn } from '../../support/api-stores.ts';
import { paths, useApi } from '../../support/api-world.ts';
import { aMetadata, connectionWorld, oidcProtocol, samlProtocol } from '../../support/connection-world.ts';
import { aServer } from '../../support/http-server.ts';

const api = useApi();
const { get, post, patch, remove } = api;

describe('connections', () => {
  const saml = { display_name: 'Okta', protocol: samlProtocol };
  const oidc = { display_name: 'Entra ID', protocol: oidcProtocol };

  it('R1 R15 are made with the mapping as text, and shown with both forms and what the IdP needs to know', async () => {
    const { status, body, headers } = await post('/v1/connections', {
      ...saml,
      workspace: 'acme',
      group_sync: { enabled: true, group_claim: 'memberOf', mapping: 'Marketing Team -> marketing, regex:"^app-(.+)$" -> $1' },
    });
    expect(status).toBe(201);
    expect(headers.location).toBe(`/v1/connections/${body.connection_id}`);
    expect(body).toMatchObject({
      workspace: api.acme,
      workspace_slug: 'acme',
      display_name: 'Okta',
      enabled: true,
      protocol: { type: 'saml', metadata_xml: aMetadata },
      group_sync: {
        enabled: true,
        group_claim: { name: 'memberOf' },
        mapping: {
          one_to_one: true,
          rules: [
            { from: 'Marketing Team', match: 'exact', to: 'marketing' },
            { from: '^app-(.+)$', match: 'regex', to: '$1' },
          ],
        },
      },
      mapping_text: 'Marketing Team -> marketing, regex:^app-(.+)$ -> $1',
      identity_provider_setup: {
        entity_id: `https://login.example.com/saml/${body.connection_id}/metadata`,
        acs_url: `https://login.example.com/saml/${body.connection_id}/acs`,
      },
      version: 1,
    });
    expect((await get(headers.location as string)).body).toEqual(body);
  });

  it('R15 the mapping as JSON is the same mapping', async () => {
    const mapping = { rules: [{ from: 'Marketing Team', to: 'marketing' }], one_to_one: false };
    const { body } = await post('/v1/connections', { ...saml, group_sync: { mapping } });
    expect(body.group_sync.mapping).toEqual({
      rules: [{ from: 'Marketing Team', match: 'exact', to: 'marketing' }],
      one_to_one: false,
    });
    expect(body.mapping_text).toBe('Marketing Team -> marketing');
  });

  it('R2 never show the secret of an OIDC client, in no answer and no log line', async () => {
    const made = await post('/v1/connections', { ...oidc, workspace: 'acme' });
    expect(made.body.protocol).toEqual({
      type: 'oidc',
      discovery_url: oidcProtocol.discovery_url,
      client_id: 'rollcall',
      scopes: [],
      clock_skew_seconds: 60,
      has_client_secret: true,
    });
    expect(made.body.identity_provider_setup).toEqual({
      redirect_uri: `https://login.example.com/callback/${made.body.connection_id}`,
    });
    const answers = [made, await get(made.headers.location as string), await get('/v1/connections')];
    for (const { text } of answers) expect(text).not.toContain(oidcProtocol.client_secret);
    expect(api.server.logText()).not.toContain(oidcProtocol.client_secret);
  });

  it.each([
    ['an unknown field', { ...saml, colour: 'red' }, ['colour']],
    ['an unknown field of the protocol', { ...saml, protocol: { ...samlProtocol, client_id: 'x' } }, ['protocol.client_id']],
    ['no protocol', { display_name: 'x' }, ['protocol']],
    ['another protocol', { ...saml, protocol: { type: 'ldap' } }, ['protocol.type']],
    ['neither metadata nor its address', { ...saml, protocol: { type: 'saml' } }, ['protocol.metadata_xml']],
    [
      'both metadata and its address',
      { ...saml, protocol: { ...samlProtocol, metadata_url: 'https://idp.example.com/metadata' } },
      ['protocol.metadata_url'],
    ],
    ['metadata that is none', { ...saml, protocol: { type: 'saml', metadata_xml: 'hello' } }, ['protocol.metadata_xml']],
    [
      'an address that is none',
      { ...oidc, protocol: { ...oidcProtocol, discovery_url: 'ftp://idp' } },
      ['protocol.discovery_url'],
    ],
    [
      'a password in an address',
      { ...oidc, protocol: { ...oidcProtocol, discovery_url: 'https://ann:secret@idp.example.com' } },
      ['protocol.discovery_url'],
    ],
    ['scopes without openid', { ...oidc, protocol: { ...oidcProtocol, scopes: ['email'] } }, ['protocol.scopes']],
    ['an error in the mapping text', { ...saml, group_sync: { mapping: 'a -> b\nc ->' } }, ['group_sync.mapping.rules']],
    [
      'a rule with an unknown field',
      { ...saml, group_sync: { mapping: { rules: [{ from: 'a', to: 'b', x: 1 }] } } },
      ['group_sync.mapping.rules.0.x'],
    ],
    [
      'a sync list on workspace level',
      { ...saml, workspace: 'acme', sync_list: [{ workspace: 'acme', is_default: true }] },
      ['sync_list'],
    ],
    ['a sync list without a default', { ...saml, sync_list: [{ workspace: 'acme' }] }, ['sync_list']],
    ['an unknown workspace', { ...saml, workspace: 'nowhere' }, ['workspace']],
    ['a name with a line break', { ...saml, display_name: 'Okta\nadmin' }, ['display_name']],
    ['a default on workspace level', { ...saml, workspace: 'acme', is_default: true }, ['is_default']],
  ])('refuse %s and name the field', async (_case, given, expected) => {
    const answer = await post('/v1/connections', given);
    expect([answer.status, paths(answer)]).toEqual([422, expected]);
    expect(await api.database.db('connections')).toEqual([]);
  });

  it('R15 say line and column of an error in the mapping text', async () => {
    const { body } = await post('/v1/connections', { ...saml, group_sync: { mapping: 'a -> b,\nc -> ' } });
    expect(body.errors[0].message).toMatch(/line 2/);
  });

  it('are patched member by member, keeping what is not given, the secret too', async () => {
    const { body: made } = await post('/v1/connections', {
      ...oidc,
      workspace: 'acme',
      group_sync: { group_claim: 'roles', mapping: 'a -> b' },
    });
    const path = `/v1/connections/${made.connection_id}`;
    const { status, body } = await patch(path, {
      display_name: 'New',
      group_sync: { enabled: true },
      protocol: { scopes: ['openid'] },
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      display_name: 'New',
      version: 2,
      group_sync: { enabled: true, group_claim: { name: 'roles' }, mapping: { rules: [{ from: 'a', to: 'b' }] } },
      protocol: { scopes: ['openid'], has_client_secret: true },
    });
    expect((await patch(path, {})).body.version).toBe(2);
    expect((await patch(path, { protocol: { client_secret: null } })).body.protocol.has_client_secret).toBe(false);
    expect((await patch(path, { group_sync: { mapping: 'c -> d' } })).body.mapping_text).toBe('c -> d');
  });

  it('lose none of several patches at once', async () => {
    const { body: made } = await post('/v1/connections', { ...saml, workspace: 'acme' });
    const path = `/v1/connections/${made.connection_id}`;
    const answers = await Promise.all([
      patch(path, { display_name: 'New' }),
      patch(path, { group_sync: { enabled: true } }),
      patch(path, { group_sync: { mapping: 'a -> b' } }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect((await get(path)).body).toMatchObject({
      display_name: 'New',
      mapping_text: 'a -> b',
      group_sync: { enabled: true },
      version: 4,
    });
  });

  it('do not hand a kept secret to another address', async () => {
    const { body: made } = await post('/v1/connections', oidc, api.keys.acme);
    const path = `/v1/connections/${made.connection_id}`;
    const moved = { protocol: { discovery_url: 'https://attacker.example.com' } };
    expect(paths(await patch(path, moved, api.keys.acme))).toEqual(['protocol.client_secret']);
    expect((await patch(path, { protocol: { ...moved.protocol, client_secret: 'given again' } }, api.keys.acme)).status).toBe(
      200,
    );
  });

  it('metadata given anew displaces the address, and the other way round', async () => {
    const world = connectionWorld(api.database.db);
    api.serve(aServer({ api: apiOn(api.database.db, world) }));
    const { body: made } = await post('/v1/connections', saml);
    const path = `/v1/connections/${made.connection_id}`;
    const byAddress = await patch(path, { protocol: { metadata_url: 'https://idp.example.com/metadata' } });
    expect(byAddress.body.protocol).toMatchObject({ metadata_url: 'https://idp.example.com/metadata', metadata_xml: aMetadata });
    const byText = await patch(path, { protocol: { metadata_xml: `${aMetadata}<!-- new -->` } });
    expect(byText.body.protocol.metadata_xml).toContain('new');
    expect(byText.body.protocol.metadata_url).toBeUndefined();
  });

  it('R12 keep their settings while sync is off', async () => {
    const { body: made } = await post('/v1/connections', {
      ...saml,
      workspace: 'acme',
      group_sync: { enabled: true, mapping: 'a -> b' },
    });
    const path = `/v1/connections/${made.connection_id}`;
    await patch(path, { group_sync: { enabled: false } });
    const { body } = await patch(path, { group_sync: { enabled: true } });
    expect(body.group_sync).toEqual(made.group_sync);
  });

  it('are switched off by DELETE, not destroyed', async () => {
    const { body: made } = await post('/v1/connections', saml);
    const path = `/v1/connections/${made.connection_id}`;
    expect((await remove(path)).body).toMatchObject({ enabled: false });
    expect((await get(path)).body).toMatchObject({ enabled: false, display_name: 'Okta' });
    expect((await patch(path, { enabled: true })).body).toMatchObject({ enabled: true });
  });

  it('R11 keep one workspace enabled: 409', async () => {
    const { body: made } = await post('/v1/connections', { ...saml, sync_list: [{ workspace: 'acme', is_default: true }] });
    const answer = await patch(`/v1/connections/${made.connection_id}`, {
      sync_list: [{ workspace: 'acme', is_default: true, enabled: false }],
    });
    expect([answer.status, answer.body.reason]).toEqual([409, 'last_enabled_workspace']);
  });

  describe('R13 with the key of a workspace', () => {
    it('are made within it, named or not', async () => {
      expect((await post('/v1/connections', saml, api.keys.acme)).body.workspace).toBe(api.acme);
      expect((await post('/v1/connections', { ...oidc, workspace: api.acme }, api.keys.acme)).body.workspace).toBe(api.acme);
    });

    it('are neither made on instance level nor in another workspace, and nothing tells whether that exists', async () => {
      expect((await post('/v1/connections', { ...saml, workspace: null }, api.keys.acme)).status).toBe(403);
      const foreign = await post('/v1/connections', { ...saml, workspace: 'globex' }, api.keys.acme);
      const missing = await post('/v1/connections', { ...saml, workspace: 'nowhere' }, api.keys.acme);
      expect([foreign.status, paths(foreign)]).toEqual([422, ['workspace']]);
      expect(foreign.body.errors).toEqual(missing.body.errors);
      const { body: own } = await post('/v1/connections', saml, api.keys.acme);
      const moved = await patch(`/v1/connections/${own.connection_id}`, { workspace: 'globex' }, api.keys.acme);
      expect(moved.body.errors).toEqual(missing.body.errors);
    });

    it('of others are not there: not to read, change, switch off or list', async () => {
      const { body: foreign } = await post('/v1/connections', { ...saml, workspace: 'globex' });
      const { body: instance } = await post('/v1/connections', oidc);
      for (const { connection_id: id } of [foreign, instance]) {
        const path = `/v1/connections/${id}`;
        expect((await get(path, api.keys.acme)).status).toBe(404);
        expect((await patch(path, { display_name: 'mine' }, api.keys.acme)).status).toBe(404);
        expect((await remove(path, api.keys.acme)).status).toBe(404);
        expect((await get(path)).body).toMatchObject({ enabled: true, version: 1 });
      }
      expect((await get('/v1/connections', api.keys.acme)).body.data).toEqual([]);
      expect((await get('/v1/connections', api.keys.globex)).body.data).toHaveLength(1);
      expect((await get('/v1/connections')).body.data).toHaveLength(2);
    });
  });
});
