import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { beginLogin, logInByOidc, type OidcConnection, type SamlConnection } from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';

let world: BrokerWorld;
let idp: OidcIdp;
let okta: SamlConnection;
let entra: OidcConnection;

beforeAll(async () => {
  world = await startBrokerWorld();
  idp = await startOidcIdp();
  await world.api.workspace('acme');
  await world.api.workspace('globex');
  okta = await connectSaml(world, await createSamlIdp({ entityId: 'https://okta.example', origin: 'http://127.0.0.1:1' }), {
    workspace: 'acme',
  });
  entra = await connectOidc(world, idp, { workspace: 'globex' });
});
afterAll(async () => {
  await world?.stop();
  await idp?.stop();
});

const allow = (connectionId: string, domain: string, status = 'allowed') =>
  world.api.post(`/v1/connections/${connectionId}/domains`, { domain, status });

async function type(email: string, parameters: Readonly<Record<string, string>> = {}) {
  const { browser, visit } = await beginLogin(world, { parameters });
  expect(visit.text).toContain('Your e-mail address at work');
  return browser.post(visit.url, { email }, { from: world.publicUrl });
}

describe('the chooser page', () => {
  it('R33 has no field for an address, and is no page at all, while no domain is set up', async () => {
    expect((await beginLogin(world)).visit.status).toBe(404);
    const other = await connectOidc(world, idp, { workspace: 'globex' });
    const { visit } = await beginLogin(world, { parameters: { workspace: 'globex' } });
    expect(visit.text).toContain('Choose how to sign in');
    expect(visit.text).not.toContain('e-mail');
    await world.api.delete(`/v1/connections/${other.id}`);
  });

  it('R33 leads an address to the connection of its domain, and tells the IdP who it is', async () => {
    await allow(okta.id, 'acme.example');
    await allow(entra.id, 'globex.example', 'verified');
    expect((await type('ann@ACME.example')).leadsTo).toMatch(/^http:\/\/127\.0\.0\.1:1\//);
    const { leadsTo } = await type('bob@globex.example');
    expect(leadsTo?.startsWith(idp.issuer)).toBe(true);
    expect(new URL(leadsTo as string).searchParams.get('login_hint')).toBe('bob@globex.example');
  });

  it('R33 gives known and unknown people the same answer', async () => {
    await logInByOidc(world, entra, { sub: 'known', email: 'known@globex.example', emailVerified: true, groups: [] });
    const shapes = await Promise.all(
      ['known@globex.example', 'nobody@globex.example'].map(async (email) => {
        const { status, leadsTo, headers } = await type(email);
        const address = new URL(leadsTo as string);
        for (const once of ['state', 'nonce', 'code_challenge', 'login_hint']) address.searchParams.delete(once);
        return { status, address: address.href, headers: [...headers.keys()].sort() };
      }),
    );
    expect(shapes[0]).toEqual(shapes[1]);
    const elsewhere = await Promise.all(['known@nowhere.example', 'other@nowhere.example'].map((email) => type(email)));
    const text = elsewhere.map((visit) => visit.text.replaceAll(/(known|other)@/g, '@').replaceAll(/interaction\/[\w-]+/g, ''));
    expect(text[0]).toBe(text[1]);
  });

  it.each([
    ['ann@nowhere.example', 'No way to sign in is set up for this e-mail domain'],
    ['ann', 'This is no e-mail address'],
    ['', 'This is no e-mail address'],
    ['"><script>alert(1)</script>@x.example', 'No way to sign in is set up for this e-mail domain'],
  ])('R33 comes again for %j and says why', async (email, words) => {
    const { status, text } = await type(email);
    expect(status).toBe(200);
    expect(text).toContain(words);
    expect(text).not.toContain('<script>alert');
  });

  it('R33 leads nowhere by a domain that still waits for its DNS record, or whose connection is off', async () => {
    await allow(okta.id, 'pending.example', 'pending');
    expect((await type('ann@pending.example')).text).toContain('No way to sign in is set up');
    await allow(okta.id, 'off.example');
    await world.api.patch(`/v1/connections/${okta.id}`, { enabled: false });
    expect((await type('ann@off.example')).text).toContain('No way to sign in is set up');
    await world.api.patch(`/v1/connections/${okta.id}`, { enabled: true });
    expect((await type('ann@off.example')).leadsTo).toMatch(/^http:\/\/127\.0\.0\.1:1\//);
  });

  it('R33 takes an address only within the interaction of this browser', async () => {
    const { visit } = await beginLogin(world);
    const stranger = await world.newBrowser().post(visit.url, { email: 'ann@acme.example' }, { from: world.publicUrl });
    expect(stranger.status).toBe(400);
    expect(stranger.leadsTo).toBeNull();
  });
});

describe('login_hint', () => {
  it('R33 with an address picks the connection of its domain when nothing else is named', async () => {
    const { visit } = await beginLogin(world, { parameters: { login_hint: 'bob@globex.example' } });
    expect(visit.leadsTo?.startsWith(idp.issuer)).toBe(true);
  });

  it('R33 does not override a workspace or connection that the app named', async () => {
    for (const named of [{ workspace: 'acme' }, { connection: okta.id }] as Record<string, string>[]) {
      const { visit } = await beginLogin(world, { parameters: { ...named, login_hint: 'bob@globex.example' } });
      expect(visit.leadsTo).toMatch(/^http:\/\/127\.0\.0\.1:1\//);
    }
  });

  it('R33 of no known domain leaves the choice to the person', async () => {
    const { visit } = await beginLogin(world, { parameters: { login_hint: 'bob@nowhere.example' } });
    expect(visit.text).toContain('Choose how to sign in');
  });
});
