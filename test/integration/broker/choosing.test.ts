import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestWorkspace } from '../../support/broker-api.ts';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { expectRefusal } from '../../support/broker-evidence.ts';
import {
  answerSaml,
  beginLogin,
  beginOidcLogin,
  beginSamlLogin,
  logInByOidc,
  type OidcConnection,
  redeem,
  type SamlConnection,
} from '../../support/broker-login.ts';
import { createSamlIdp, type SamlIdp, samlRequestIn } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { unescapeHtml } from '../../support/http-browser.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';

let world: BrokerWorld;
let samlIdp: SamlIdp;
let oidcIdp: OidcIdp;
let globex: TestWorkspace;
let ofAcme: SamlConnection;
let ofGlobex: OidcConnection;
let ofInstance: OidcConnection;

const unpleasant = `<b onmouseover="alert(1)">O'Reilly & Søns</b> 🙂`;

beforeAll(async () => {
  samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  [world, oidcIdp] = await Promise.all([startBrokerWorld(), startOidcIdp()]);
  await world.api.workspace('acme');
  globex = await world.api.workspace('globex');
  await world.api.workspace('empty');
  ofAcme = await connectSaml(world, samlIdp, { workspace: 'acme', fields: { display_name: unpleasant } });
  ofGlobex = await connectOidc(world, oidcIdp, { workspace: 'globex' });
  ofInstance = await connectOidc(world, oidcIdp, {
    fields: { display_name: 'Everybody', sync_list: [{ workspace: 'acme', is_default: true }] },
  });
});
afterAll(async () => {
  await world.stop();
  await oidcIdp.stop();
});

/** Connections that a chooser page offers: name to address. */
function choicesOn(page: string): Record<string, string> {
  const links = [...page.matchAll(/<li><a href="([^"]+)">([^<]*)</g)];
  return Object.fromEntries(links.map(([, href = '', name = '']) => [unescapeHtml(name), unescapeHtml(href)]));
}

const idpOf = (leadsTo: string | null) => (leadsTo === null ? null : new URL(leadsTo).origin);

describe('the app names where its user signs in', () => {
  test.each(['slug', 'id'] as const)('workspace= by %s leads to the only connection of that workspace', async (by) => {
    const { visit } = await beginLogin(world, { parameters: { workspace: globex[by] } });
    expect(idpOf(visit.leadsTo)).toBe(oidcIdp.issuer);
  });

  test('connection= leads there', async () => {
    const { visit } = await beginLogin(world, { parameters: { connection: ofAcme.id } });
    expect(idpOf(visit.leadsTo)).toBe(samlIdp.origin);
  });

  test('workspace= and connection= together narrow each other', async () => {
    const { visit } = await beginLogin(world, { parameters: { workspace: 'acme', connection: ofInstance.id } });
    expect(idpOf(visit.leadsTo)).toBe(oidcIdp.issuer);
    const refused = { code: 'not_found', reason: 'no_connection', traced: true } as const;
    const begin = () => beginLogin(world, { parameters: { workspace: 'acme', connection: ofGlobex.id } });
    await expectRefusal(world, async () => (await begin()).visit, refused);
  });

  test('login_hint= is passed on to an OpenID Connect IdP', async () => {
    await beginOidcLogin(world, ofGlobex, { sub: 'carol@customer.example' }).then(({ authorizationUrl }) => {
      expect(authorizationUrl.searchParams.get('login_hint')).toBe('carol@customer.example');
    });
    await logInByOidc(world, ofGlobex, { sub: 'carol@customer.example', groups: [] });
    expect(oidcIdp.lastAuthorization().get('login_hint')).toBe('carol@customer.example');
  });
});

describe('the app wants its user to be asked anew', () => {
  test.each<Record<string, string>>([{ prompt: 'login' }, { max_age: '0' }])('%o is passed on to the IdP', async (parameters) => {
    const bySaml = await beginSamlLogin(world, ofAcme, { parameters });
    expect(bySaml.saml.forceAuthn).toBe(true);
    expect(
      (await redeem(world, bySaml, await answerSaml(bySaml, ofAcme, { nameId: 'eve', groups: [] }))).memberships,
    ).toHaveLength(1);
    const byOidc = await beginOidcLogin(world, ofGlobex, { sub: 'eve' }, { parameters });
    expect(byOidc.authorizationUrl.searchParams.get('prompt')).toBe('login');
  });

  test('without it the IdP may let them pass', async () => {
    expect((await beginSamlLogin(world, ofAcme)).saml.forceAuthn).toBe(false);
    const { authorizationUrl } = await beginOidcLogin(world, ofGlobex, { sub: 'eve' });
    expect(authorizationUrl.searchParams.has('prompt')).toBe(false);
  });

  test('prompt=none: nobody is asked, so the app hears that a login is required', async () => {
    const { visit } = await beginLogin(world, { parameters: { connection: ofAcme.id, prompt: 'none' } });
    expect(new URL(visit.leadsTo ?? '').searchParams.get('error')).toBe('login_required');
  });
});

describe('the app names nothing', () => {
  test('one connection of the instance: it is taken, and connections of workspaces are not offered', async () => {
    const { visit } = await beginLogin(world);
    expect(idpOf(visit.leadsTo)).toBe(oidcIdp.issuer);
  });

  test('several without a default: a page to choose from; with a default: that one', async () => {
    const second = await connectSaml(world, samlIdp, {
      fields: { display_name: 'Others', sync_list: [{ workspace: 'globex', is_default: true }] },
    });
    const asked = await beginLogin(world);
    expect(asked.visit.status).toBe(200);
    expect(Object.keys(choicesOn(asked.visit.text))).toEqual(['Everybody', 'Others']);

    await world.api.patch(`/v1/connections/${second.id}`, { is_default: true });
    const { visit } = await beginLogin(world);
    expect(idpOf(visit.leadsTo)).toBe(samlIdp.origin);
    await world.api.delete(`/v1/connections/${second.id}`);
  });

  test('no connection at all: a page that says so', async () => {
    const lonely = await startBrokerWorld();
    try {
      const refused = { code: 'not_found', reason: 'no_connection', traced: true } as const;
      await expectRefusal(lonely, async () => (await beginLogin(lonely)).visit, refused);
    } finally {
      await lonely.stop();
    }
  });
});

describe('the chooser page', () => {
  test('offers the connections of the workspace, its own first, and any text in their names is text', async () => {
    const { visit } = await beginLogin(world, { parameters: { workspace: 'acme' } });
    expect(visit.status).toBe(200);
    expect(visit.headers.get('cache-control')).toBe('no-store');
    expect(Object.keys(choicesOn(visit.text))).toEqual([unpleasant, 'Everybody']);
    expect(visit.text).not.toContain('<b onmouseover');
  });

  test('leads on to the one that was chosen, and the login ends well', async () => {
    const { browser, request, visit } = await beginLogin(world, { parameters: { workspace: 'acme' } });
    const chosen = choicesOn(visit.text)[unpleasant] ?? '';
    const departure = await browser.open(new URL(chosen, world.publicUrl).href, { from: world.publicUrl });
    const login = { browser, request, visit: departure, saml: samlRequestIn(departure) };
    const tokens = await redeem(world, login, await answerSaml(login, ofAcme, { nameId: 'dora@customer.example' }));
    expect(tokens.memberships).toMatchObject([{ workspace: 'acme', role: 'end-user' }]);
  });

  test('a choice that was not on it is refused: what the app asked for still holds', async () => {
    const refused = { code: 'not_found', reason: 'no_connection', traced: true } as const;
    const { browser, visit } = await beginLogin(world, { parameters: { workspace: 'acme' } });
    await expectRefusal(world, () => browser.open(`${visit.url}?connection=${ofGlobex.id}`), refused);
    await expectRefusal(world, () => browser.open(`${visit.url}?connection=%00`), refused);
    const again = await browser.open(`${visit.url}?connection=${ofInstance.id}`);
    expect(idpOf(again.leadsTo)).toBe(oidcIdp.issuer);
  });
});
