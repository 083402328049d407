import { X509Certificate } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestWorkspace } from '../../support/broker-api.ts';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import {
  answerSaml,
  beginSamlLogin,
  logInByOidc,
  logInBySaml,
  type OidcConnection,
  redeem,
  type SamlConnection,
} from '../../support/broker-login.ts';
import { createSamlIdp, type SamlPerson } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, type OidcIdpUser, startOidcIdp } from '../../support/oidc-idp.ts';

let world: BrokerWorld;
let oidcIdp: OidcIdp;
let acme: TestWorkspace;
let globex: TestWorkspace;
let ownSaml: SamlConnection;
let ownOidc: OidcConnection;
let instanceSaml: SamlConnection;
let instanceOidc: OidcConnection;

beforeAll(async () => {
  const samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  [world, oidcIdp] = await Promise.all([startBrokerWorld(), startOidcIdp()]);
  acme = await world.api.workspace('acme', { design: null, platform: 'builder' });
  globex = await world.api.workspace('globex', { design: null });
  const groupSync = { mapping: 'Platform Team -> platform' };
  const fields = {
    sync_list: [
      { workspace: 'acme', is_default: true },
      { workspace: 'globex', mapping: 'Platform Team -> design' },
    ],
  };
  ownSaml = await connectSaml(world, samlIdp, { workspace: 'acme', groupSync });
  ownOidc = await connectOidc(world, oidcIdp, { workspace: acme.id, groupSync });
  instanceSaml = await connectSaml(world, samlIdp, { groupSync, fields });
  instanceOidc = await connectOidc(world, oidcIdp, { groupSync, fields });
});
afterAll(async () => {
  await world.stop();
  await oidcIdp.stop();
});

const ada: SamlPerson = {
  nameId: 'ada@customer.example',
  email: 'Ada@CUSTOMER.example',
  name: 'Ada Lovelace',
  groups: ['Platform Team', 'design'],
  attributes: { firstName: ['Ada'], lastName: ['Lovelace'] },
};
const bob: OidcIdpUser = {
  sub: 'bob-1',
  email: 'Bob@CUSTOMER.example',
  name: 'Bob',
  groups: ['Platform Team', 'design'],
  claims: { given_name: 'Bob', family_name: 'Martin' },
};

const inAcme = () => ({
  workspace_id: acme.id,
  workspace: 'acme',
  role: 'builder',
  groups: ['design', 'platform'],
  membership_version: 1,
});
const inGlobex = () => ({
  workspace_id: globex.id,
  workspace: 'globex',
  role: 'end-user',
  groups: ['design'],
  membership_version: 1,
});
const adaAtTheApp = {
  email: 'Ada@customer.example',
  email_verified: false,
  name: 'Ada Lovelace',
  given_name: 'Ada',
  family_name: 'Lovelace',
};
const bobAtTheApp = {
  email: 'Bob@customer.example',
  email_verified: true,
  name: 'Bob',
  given_name: 'Bob',
  family_name: 'Martin',
};

describe('R29 ID token and userinfo carry who it is and what they may do', () => {
  test('by a SAML connection of a workspace', async () => {
    const { claims, userinfo, sub } = await logInBySaml(world, ownSaml, ada);
    const expected = { sub, ...adaAtTheApp, memberships: [inAcme()] };
    expect(userinfo).toEqual(expected);
    expect(claims).toMatchObject({ ...expected, iss: `${world.publicUrl}/oidc`, aud: 'app' });
  });

  test('by an OpenID Connect connection of a workspace', async () => {
    const { claims, userinfo, sub } = await logInByOidc(world, ownOidc, bob);
    const expected = { sub, ...bobAtTheApp, memberships: [inAcme()] };
    expect(userinfo).toEqual(expected);
    expect(claims).toMatchObject(expected);
    // When the IdP saw the person, which was a moment before we did.
    expect(Date.now() / 1_000 - (claims.auth_time ?? 0)).toBeGreaterThanOrEqual(4);
  });

  test('R3 R4 by a SAML connection of the instance, for every workspace that it syncs', async () => {
    const { claims, userinfo, sub } = await logInBySaml(world, instanceSaml, ada);
    const expected = { sub, ...adaAtTheApp, memberships: [inAcme(), inGlobex()] };
    expect(userinfo).toEqual(expected);
    expect(claims).toMatchObject(expected);
  });

  test('R3 R4 by an OpenID Connect connection of the instance, for every workspace that it syncs', async () => {
    const { claims, userinfo, sub } = await logInByOidc(world, instanceOidc, bob);
    const expected = { sub, ...bobAtTheApp, memberships: [inAcme(), inGlobex()] };
    expect(userinfo).toEqual(expected);
    expect(claims).toMatchObject(expected);
  });

  test('with the scope openid alone: memberships, but neither e-mail nor name', async () => {
    const options = { parameters: { scope: 'openid' } };
    const { claims, userinfo, sub } = await logInBySaml(world, ownSaml, ada, options);
    expect(userinfo).toEqual({ sub, memberships: [inAcme()] });
    expect(claims).not.toHaveProperty('email');
    expect(claims).not.toHaveProperty('name');
  });

  test('R33 one person by two connections is two users, until an operator links them', async () => {
    const [own, instance] = [await logInBySaml(world, ownSaml, ada), await logInBySaml(world, instanceSaml, ada)];
    expect(own.sub).not.toBe(instance.sub);
  });
});

describe('the next login', () => {
  test('R26 asks the IdP again, in the same browser too', async () => {
    const browser = world.newBrowser();
    await logInBySaml(world, ownSaml, ada, { browser });
    const { visit } = await beginSamlLogin(world, ownSaml, { browser });
    expect(visit.leadsTo).toContain('http://127.0.0.1:9/sso?SAMLRequest=');
  });

  test('R27 changes role and groups as the IdP says, and the version by one', async () => {
    const person = { ...ada, nameId: 'changing@customer.example' };
    const before = await logInBySaml(world, ownSaml, person);
    const same = await logInBySaml(world, ownSaml, person);
    const after = await logInBySaml(world, ownSaml, { ...person, groups: ['design', 'admin'] });
    expect(before.memberships).toEqual([inAcme()]);
    expect(same.memberships).toEqual([inAcme()]);
    expect(after.memberships).toEqual([{ ...inAcme(), role: 'admin', groups: ['design'], membership_version: 2 }]);
    expect(after.sub).toBe(before.sub);
  });

  test('R12 with group sync off leaves the membership as it was, and the app still hears of it', async () => {
    const person = { ...ada, nameId: 'switched@customer.example' };
    await logInBySaml(world, ownSaml, person);
    await world.api.patch(`/v1/connections/${ownSaml.id}`, { group_sync: { enabled: false } });
    const off = await logInBySaml(world, ownSaml, { ...person, groups: ['admin'] });
    await world.api.patch(`/v1/connections/${ownSaml.id}`, { group_sync: { enabled: true } });
    const on = await logInBySaml(world, ownSaml, { ...person, groups: ['admin'] });
    expect(off.memberships).toEqual([inAcme()]);
    expect(on.memberships).toMatchObject([{ role: 'admin', groups: [], membership_version: 2 }]);
  });
});

describe('R37 explain', () => {
  test('tells for each role and group the IdP group, the rule, the connection and the login that gave it', async () => {
    const person = { ...ada, nameId: 'explained@customer.example', groups: ['Platform Team', 'design', 'Design', 'Other'] };
    const { sub } = await logInBySaml(world, ownSaml, person);
    const explanation = await world.api.explain(acme.id, sub);
    const platform = { id: acme.groups.platform, name: 'platform' };
    const design = { id: acme.groups.design, name: 'design' };
    expect(explanation).toMatchObject({ role: 'builder', groups: [design, platform], status: 'active', version: 1 });
    expect(explanation.reasons).toEqual([
      {
        grant: { kind: 'role', role: 'builder' },
        idp_group: 'Platform Team',
        via: { kind: 'group-requires', group: platform, requires_role: 'builder' },
      },
      { grant: { kind: 'group', ...design }, idp_group: 'design', via: { kind: 'one-to-one' } },
      {
        grant: { kind: 'group', ...platform },
        idp_group: 'Platform Team',
        via: { kind: 'rule', rule_index: 0, from: 'Platform Team', match: 'exact', to: 'platform' },
      },
    ]);
    expect(explanation.warnings).toContainEqual({ kind: 'near-miss', idp_group: 'Design', name: 'design', difference: 'case' });
    expect(explanation.warnings).toContainEqual({ kind: 'unmatched', idp_group: 'Other' });
    expect(explanation.login.connection_id).toBe(ownSaml.id);

    const trace = await world.api.trace(explanation.login.login_id);
    expect(trace).toMatchObject({ outcome: 'signed_in', user_id: sub, connection_id: ownSaml.id });
    expect(trace?.detail.workspaces).toEqual([
      {
        workspace_id: acme.id,
        group_sync: 'on',
        claim: 'groups',
        groups: { state: 'known', found_in: 'saml_attributes', count: 4 },
        role: 'builder',
        group_count: 2,
        warnings: 3,
      },
    ]);
    expect(trace?.detail.checks).toContain('checkAudience');
  });

  test('names the login that gave the present state, not the last one that changed nothing', async () => {
    const { sub } = await logInByOidc(world, ownOidc, { ...bob, sub: 'explained-1' });
    const first = await world.api.explain(acme.id, sub);
    await logInByOidc(world, ownOidc, { ...bob, sub: 'explained-1' });
    expect(await world.api.explain(acme.id, sub)).toEqual(first);
  });
});

describe('R38 the groups last seen are kept for each identity', () => {
  const lastGroups = async (subject: string) => {
    const { rows } = await world.stores.db.raw('SELECT last_groups FROM identities WHERE subject = ?', [subject]);
    return rows.map(({ last_groups }: { last_groups: unknown }) => last_groups);
  };

  test('and an answer in which they are unknown leaves them', async () => {
    const person = { ...ada, nameId: 'seen@customer.example', groups: ['design', 'Other'] };
    await logInBySaml(world, ownSaml, person);
    expect(await lastGroups(person.nameId)).toEqual([{ groups: ['design', 'Other'] }]);
    const { groups: _, ...withoutGroups } = person;
    await logInBySaml(world, ownSaml, withoutGroups);
    expect(await lastGroups(person.nameId)).toEqual([{ groups: ['design', 'Other'] }]);
    await logInBySaml(world, ownSaml, { ...person, groups: [] });
    expect(await lastGroups(person.nameId)).toEqual([{ groups: [] }]);
  });
});

describe('R1 metadata by its address', () => {
  test('is fetched when the connection is made, and logins need the address no more', async () => {
    const idp = await createSamlIdp({ entityId: 'https://by-address.example/metadata', origin: 'http://127.0.0.1:9' });
    const server = createServer((_, response) => void response.end(idp.metadata));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const protocol = { metadata_xml: null, metadata_url: `http://127.0.0.1:${port}/metadata` };
    const connection = await connectSaml(world, idp, { workspace: 'acme', protocol });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect((await logInBySaml(world, connection, ada)).memberships).toMatchObject([{ workspace: 'acme', groups: ['design'] }]);
  });
});

describe('the SAML bindings of the request', () => {
  test('POST: a page that sends itself, and the answer signs in', async () => {
    const byPost = await connectSaml(world, ownSaml.idp, {
      workspace: 'acme',
      protocol: { authn_request_binding: 'post', sign_authn_requests: true },
    });
    const login = await beginSamlLogin(world, byPost);
    expect(login.visit.leadsTo).toBeNull();
    expect(login.visit.text).toContain('<form method="post" action="http://127.0.0.1:9/sso">');
    expect(login.visit.headers.get('cache-control')).toBe('no-store');
    expect((await redeem(world, login, await answerSaml(login, byPost, ada))).memberships).toHaveLength(1);
  });

  test('the metadata of the service provider names what the request and the checks go by', async () => {
    const { saml } = await beginSamlLogin(world, ownSaml);
    const response = await world.send(saml.spEntityId, {});
    expect(response.headers.get('content-type')).toContain('application/samlmetadata+xml');
    const metadata = await response.text();
    expect(metadata).toContain(`entityID="${saml.spEntityId}"`);
    expect(metadata).toContain(`Location="${saml.acsUrl}"`);
  });

  test('an encrypted assertion in a signed response signs in', async () => {
    const login = await beginSamlLogin(world, ownSaml);
    const metadata = await (await world.send(login.saml.spEntityId, {})).text();
    const certificate = /use="encryption"[\s\S]*?<(?:\w+:)?X509Certificate>([^<]+)</.exec(metadata)?.[1] ?? '';
    expect(certificate).not.toBe('');
    const { publicKey } = new X509Certificate(Buffer.from(certificate, 'base64'));
    const visit = await answerSaml(login, ownSaml, ada, { signed: 'both', encrypt: { publicKey } });
    expect((await redeem(world, login, visit)).memberships).toHaveLength(1);
  });
});
