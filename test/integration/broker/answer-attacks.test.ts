import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { TestWorkspace } from '../../support/broker-api.ts';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { expectRefusal, latestTrace } from '../../support/broker-evidence.ts';
import {
  answerOidc,
  answerSaml,
  beginOidcLogin,
  beginSamlLogin,
  logInByOidc,
  logInBySaml,
  type OidcConnection,
  oidcAnswer,
  postAnswer,
  redeem,
  type SamlConnection,
} from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';
import { createSamlSigner } from '../../support/saml-response-builder.ts';

let world: BrokerWorld;
let acme: TestWorkspace;
let globex: TestWorkspace;
let ofAcme: SamlConnection;
/** The same IdP and key: a company with two workspaces. */
let twin: SamlConnection;
let ofGlobex: SamlConnection;
let evilIdp: OidcIdp;
let honestIdp: OidcIdp;
let evil: OidcConnection;
let honest: OidcConnection;

beforeAll(async () => {
  const idpAt = (name: string) => createSamlIdp({ entityId: `https://${name}.example/metadata`, origin: 'http://127.0.0.1:9' });
  const [acmeIdp, globexIdp] = await Promise.all([idpAt('acme'), idpAt('globex')]);
  [world, evilIdp, honestIdp] = await Promise.all([startBrokerWorld(), startOidcIdp(), startOidcIdp()]);
  acme = await world.api.workspace('acme', { design: null });
  globex = await world.api.workspace('globex', { design: null });
  ofAcme = await connectSaml(world, acmeIdp, { workspace: 'acme' });
  twin = await connectSaml(world, acmeIdp, { workspace: 'globex' });
  ofGlobex = await connectSaml(world, globexIdp, { workspace: 'globex' });
  evil = await connectOidc(world, evilIdp, { workspace: 'acme' });
  honest = await connectOidc(world, honestIdp, { workspace: 'globex' });
});
afterEach(() => {
  evilIdp.behave();
  honestIdp.behave();
});
afterAll(async () => {
  await world.stop();
  await Promise.all([evilIdp.stop(), honestIdp.stop()]);
});

const person = { nameId: 'ada', email: 'ada@customer.example', groups: ['admin'] };
const user = { sub: 'ada', email: 'ada@customer.example', groups: ['admin'] };
const rejected = (reason: string) => ({ code: 'assertion_rejected', reason, traced: true }) as const;
const expired = (reason: string) => ({ code: 'login_expired', reason, traced: false }) as const;

describe('an answer for one connection at another', () => {
  test('SAML: as it is', async () => {
    const login = await beginSamlLogin(world, ofAcme);
    const fields = ofAcme.idp.answer(login.saml, person);
    const acsOfGlobex = login.saml.acsUrl.replace(ofAcme.id, ofGlobex.id);
    await expectRefusal(world, () => postAnswer(login.browser, acsOfGlobex, fields, ofAcme.idp), expired('other_connection'));
    const visit = await postAnswer(login.browser, login.saml.acsUrl, fields, ofAcme.idp);
    expect((await redeem(world, login, visit)).memberships).toMatchObject([{ workspace: 'acme' }]);
  });

  test('SAML: in a login that was begun there, by an IdP that two connections trust', async () => {
    const [atAcme, atGlobex] = [await beginSamlLogin(world, ofAcme), await beginSamlLogin(world, twin)];
    const stolen = ofAcme.idp.answer({ ...atAcme.saml, requestId: atGlobex.saml.requestId }, person);
    const fields = { ...stolen, RelayState: atGlobex.saml.relayState };
    const post = () => postAnswer(atGlobex.browser, atGlobex.saml.acsUrl, fields, twin.idp);
    await expectRefusal(world, post, rejected('destination_mismatch'));
    expect((await answerSaml(atGlobex, twin, person)).leadsTo).toContain('code=');
  });

  test.each([
    ['in its own name', () => ofAcme.idp.entityId, 'response_issuer_mismatch'],
    ['in the name of the other IdP', () => ofGlobex.idp.entityId, 'signature_invalid'],
  ])("SAML: one customer's IdP speaks for another customer, %s", async (_, entityId, reason) => {
    const login = await beginSamlLogin(world, ofGlobex);
    const { saml } = login;
    const { key } = ofAcme.idp;
    const SAMLResponse = createSamlSigner({ ...key, entityId: entityId() }).respond({
      acsUrl: saml.acsUrl,
      audience: saml.spEntityId,
      inResponseTo: saml.requestId,
      nameId: 'ada',
      attributes: { groups: ['admin'] },
      now: new Date(),
    });
    const post = () => postAnswer(login.browser, saml.acsUrl, { SAMLResponse, RelayState: saml.relayState }, ofAcme.idp);
    // Whatever is checked first, nothing of it gets through.
    const refusal = await expectRefusal(world, post, { code: 'assertion_rejected', traced: true });
    expect([reason, 'signature_invalid']).toContain(refusal.trace?.reason);
    expect((await answerSaml(login, ofGlobex, person)).leadsTo).toContain('code=');
  });

  test('OpenID Connect: as it is', async () => {
    const login = await beginOidcLogin(world, evil, user);
    const address = (await oidcAnswer(login)).replace(evil.id, honest.id);
    await expectRefusal(world, () => login.browser.open(address), expired('other_connection'));
    expect((await answerOidc(login)).leadsTo).toContain('code=');
  });

  test('OpenID Connect mix-up: the answer of one IdP in a login that was begun at another', async () => {
    const atHonest = await beginOidcLogin(world, honest, user);
    const atEvil = await beginOidcLogin(world, evil, user, { browser: atHonest.browser });
    const address = new URL(await oidcAnswer(atEvil));
    address.pathname = `/callback/${honest.id}`;
    address.searchParams.set('state', atHonest.authorizationUrl.searchParams.get('state') ?? '');
    const open = () => atHonest.browser.open(address.href);
    await expectRefusal(world, open, rejected('iss_mismatch'));
    address.searchParams.delete('iss');
    await expectRefusal(world, open, rejected('iss_missing'));
    // Told to claim the right issuer, it still has no code of it.
    address.searchParams.set('iss', honestIdp.issuer);
    await expectRefusal(world, open, { code: 'upstream_denied', reason: 'invalid_grant', traced: true });
    expect((await answerOidc(atHonest)).leadsTo).toContain('code=');
  });

  test('of the other protocol', async () => {
    const login = await beginOidcLogin(world, honest, user);
    const state = login.authorizationUrl.searchParams.get('state') ?? '';
    const { SAMLResponse } = ofAcme.idp.answer({ ...(await beginSamlLogin(world, ofAcme)).saml, relayState: state }, person);
    const acs = `${world.publicUrl}/saml/${honest.id}/acs`;
    const post = () => login.browser.post(acs, { SAMLResponse, RelayState: state });
    await expectRefusal(world, post, { code: 'login_expired', reason: 'other_protocol', traced: true });

    const saml = await beginSamlLogin(world, ofAcme);
    const callback = `${world.publicUrl}/callback/${ofAcme.id}?state=${saml.saml.relayState}&code=x`;
    const open = () => saml.browser.open(callback);
    await expectRefusal(world, open, { code: 'login_expired', reason: 'other_protocol', traced: true });
    expect((await answerOidc(login)).leadsTo).toContain('code=');
  });
});

describe('a replay', () => {
  test('the same SAML answer in a fresh login answers another request', async () => {
    const first = await beginSamlLogin(world, ofAcme);
    const fields = ofAcme.idp.answer(first.saml, person);
    await postAnswer(first.browser, first.saml.acsUrl, fields, ofAcme.idp);
    const fresh = await beginSamlLogin(world, ofAcme, { browser: first.browser });
    const replayed = { ...fields, RelayState: fresh.saml.relayState };
    const post = () => postAnswer(fresh.browser, fresh.saml.acsUrl, replayed, ofAcme.idp);
    await expectRefusal(world, post, rejected('in_response_to_mismatch'));
    expect((await answerSaml(fresh, ofAcme, person)).leadsTo).toContain('code=');
  });

  test('an assertion id that was accepted before is refused, even signed anew for this login', async () => {
    const withId = (id: string) => ({ edit: { assertion: (xml: string) => xml.replace(/ ID="[^"]+"/, ` ID="${id}"`) } });
    await logInBySaml(world, ofAcme, person, { changes: withId('_used') });
    const fresh = await beginSamlLogin(world, ofAcme);
    const post = () => answerSaml(fresh, ofAcme, person, withId('_used'));
    await expectRefusal(world, post, { code: 'assertion_replayed', traced: true });
    // Ids are the IdP's own: another connection may see the same one.
    expect((await logInBySaml(world, twin, person, { changes: withId('_used') })).memberships).toHaveLength(1);
    expect((await logInBySaml(world, ofAcme, person, { changes: withId('_other') })).memberships).toHaveLength(1);
  });
});

describe("one customer's IdP and the workspaces of others", () => {
  test('R29 tokens carry only memberships that the connection of this login serves', async () => {
    const byAcme = await logInBySaml(world, ofAcme, { ...person, nameId: 'both' });
    const byGlobex = await logInBySaml(world, ofGlobex, { ...person, nameId: 'both' });
    // An operator links the two: one person, member of both workspaces.
    const { db } = world.stores;
    await db('identities').where({ user_id: byGlobex.sub }).update({ user_id: byAcme.sub });
    await db('memberships').where({ user_id: byGlobex.sub }).update({ user_id: byAcme.sub });

    const onlyAcme = await logInBySaml(world, ofAcme, { ...person, nameId: 'both' });
    const onlyGlobex = await logInBySaml(world, ofGlobex, { ...person, nameId: 'both' });
    expect([onlyAcme.sub, onlyGlobex.sub]).toEqual([byAcme.sub, byAcme.sub]);
    expect(onlyAcme.memberships).toMatchObject([{ workspace_id: acme.id }]);
    expect(onlyGlobex.memberships).toMatchObject([{ workspace_id: globex.id }]);
    expect(onlyAcme.userinfo.memberships).toEqual(onlyAcme.memberships);
    // An instance-level connection that serves both vouches for both.
    const fields = { sync_list: [{ workspace: 'acme', is_default: true }, { workspace: 'globex' }] };
    const ofInstance = await connectSaml(world, ofAcme.idp, { fields });
    const third = await logInBySaml(world, ofInstance, { ...person, nameId: 'both' });
    await db('identities').where({ user_id: third.sub }).update({ user_id: byAcme.sub });
    const both = await logInBySaml(world, ofInstance, { ...person, nameId: 'both' });
    expect(both.memberships).toMatchObject([{ workspace_id: acme.id }, { workspace_id: globex.id }]);
  });

  test('R33 another issuer behind the same connection does not inherit its users', async () => {
    const connection = await connectSaml(world, ofAcme.idp, { workspace: 'acme' });
    const { sub } = await logInBySaml(world, connection, { ...person, nameId: 'inherited' });
    const newIdp = await createSamlIdp({ entityId: 'https://new.example/metadata', origin: 'http://127.0.0.1:9' });
    const point = (metadata: string) =>
      world.api.patch(`/v1/connections/${connection.id}`, { protocol: { metadata_xml: metadata } });
    await point(newIdp.metadata);
    const moved = { id: connection.id, idp: newIdp };
    const login = await beginSamlLogin(world, moved);
    const answer = () => answerSaml(login, moved, { ...person, nameId: 'inherited' });
    await expectRefusal(world, answer, { code: 'not_entitled', reason: 'issuer_changed', traced: true });
    // Somebody else of the new IdP is welcome, and the old one's user is as before when it is back.
    expect((await logInBySaml(world, moved, { ...person, nameId: 'somebody else' })).sub).not.toBe(sub);
    await point(connection.idp.metadata);
    expect((await logInBySaml(world, connection, { ...person, nameId: 'inherited' })).sub).toBe(sub);
  });

  test('R33 the same for OpenID Connect, also while the person is on the way', async () => {
    const connection = await connectOidc(world, evilIdp, { workspace: 'acme' });
    const { sub } = await logInByOidc(world, connection, { ...user, sub: 'inherited' });
    const onTheWay = await beginOidcLogin(world, connection, { ...user, sub: 'inherited' });
    const { issuer, client } = honestIdp;
    const protocol = { discovery_url: issuer, client_id: client.id, client_secret: client.secret };
    await world.api.patch(`/v1/connections/${connection.id}`, { protocol });
    const changed = { code: 'login_expired', reason: 'issuer_changed', traced: true } as const;
    await expectRefusal(world, () => answerOidc(onTheWay), changed);

    const moved = { id: connection.id, idp: honestIdp };
    const login = await beginOidcLogin(world, moved, { ...user, sub: 'inherited' });
    await expectRefusal(world, () => answerOidc(login), { code: 'not_entitled', reason: 'issuer_changed', traced: true });
    const other = await logInByOidc(world, moved, { ...user, sub: 'somebody else' });
    expect(other.sub).not.toBe(sub);
    expect((await latestTrace(world, sub)).outcome).toBe('signed_in');
  });
});
