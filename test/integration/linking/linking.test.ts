import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ProblemBody } from '../../support/broker-api.ts';
import { oauthErrorIn } from '../../support/broker-app.ts';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { expectErrorPage, expectRefusal } from '../../support/broker-evidence.ts';
import {
  answerOidc,
  answerSaml,
  beginOidcLogin,
  beginSamlLogin,
  logInByOidc,
  logInBySaml,
  type OidcConnection,
  redeem,
  type SamlConnection,
} from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, type OidcIdpUser, startOidcIdp } from '../../support/oidc-idp.ts';

let world: BrokerWorld;
let idp: OidcIdp;
/** OIDC, instance level: whatever address it verified counts. */
let entra: OidcConnection;
/** SAML, of workspace acme, with acme.example as its own verified domain and linking on. */
let okta: SamlConnection;
/** OIDC, of workspace globex: its administrator runs an IdP that says whatever he likes. */
let hostile: OidcConnection;
let count = 0;
/** Another person for each test. */
const aPerson = () => {
  count += 1;
  return `person${count}`;
};

beforeAll(async () => {
  world = await startBrokerWorld();
  idp = await startOidcIdp();
  await world.api.workspace('acme', { engineers: 'builder' });
  await world.api.workspace('globex');
  entra = await connectOidc(world, idp, {
    fields: { sync_list: [{ workspace: 'acme', is_default: true }, { workspace: 'globex' }] },
  });
  hostile = await connectOidc(world, idp, { workspace: 'globex' });
  okta = await connectSaml(world, await createSamlIdp({ entityId: 'https://okta.example', origin: 'http://127.0.0.1:1' }), {
    workspace: 'acme',
    fields: { linking: 'verified-email' },
  });
  await allow(okta.id, 'acme.example', 'verified');
});
afterAll(async () => {
  await world?.stop();
  await idp?.stop();
});
beforeEach(() => world.api.patch(`/v1/connections/${okta.id}`, { linking: 'verified-email' }));

const allow = (connectionId: string, domain: string, status: 'allowed' | 'verified') =>
  world.api.post(`/v1/connections/${connectionId}/domains`, { domain, status });
const verified = (name: string, changes: Partial<OidcIdpUser> = {}): OidcIdpUser => ({
  sub: `entra-${name}`,
  email: `${name}@acme.example`,
  emailVerified: true,
  groups: [],
  ...changes,
});
const atOkta = (name: string, changes: object = {}) => ({
  nameId: `okta-${name}`,
  email: `${name}@acme.example`,
  groups: ['engineers'],
  ...changes,
});
const usersWith = (name: string) =>
  world.stores
    .db('users')
    .whereRaw('lower(email) = ?', [`${name}@acme.example`])
    .orderBy('user_id')
    .pluck<string[]>('user_id');
const identitiesOf = (userId: string) =>
  world.stores.db('identities').where({ user_id: userId }).orderBy('subject').pluck('subject');

describe('a first login by another connection', () => {
  it('R33 makes another user by default: connection and subject say who it is', async () => {
    const name = aPerson();
    await world.api.patch(`/v1/connections/${okta.id}`, { linking: 'none' });
    const first = await logInByOidc(world, entra, verified(name));
    const second = await logInBySaml(world, okta, atOkta(name));
    expect(second.sub).not.toBe(first.sub);
    expect(await usersWith(name)).toHaveLength(2);
  });

  it('R33 is the same person where the operator allows linking, and the trace says so', async () => {
    const name = aPerson();
    const first = await logInByOidc(world, entra, verified(name));
    const second = await logInBySaml(world, okta, atOkta(name, { email: `${name.toUpperCase()}@ACME.example` }));
    expect(second.sub).toBe(first.sub);
    expect(second.memberships).toMatchObject([{ workspace: 'acme', role: 'builder' }]);
    expect(await identitiesOf(first.sub)).toEqual([`entra-${name}`, `okta-${name}`]);
    const trace = await world.stores.db('login_traces').where({ user_id: first.sub, connection_id: okta.id }).first();
    expect(trace).toMatchObject({ outcome: 'signed_in', detail: { linked_by_email: true } });
    expect((await logInByOidc(world, entra, verified(name))).sub).toBe(first.sub);
  });

  it('R31 R33 is the same person too where unknown ones are not provisioned', async () => {
    const name = aPerson();
    const { sub } = await logInByOidc(world, entra, verified(name));
    await world.api.patch(`/v1/connections/${okta.id}`, { just_in_time_provisioning: false });
    try {
      expect((await logInBySaml(world, okta, atOkta(name))).sub).toBe(sub);
      const stranger = await beginSamlLogin(world, okta);
      const { back } = await expectRefusal(world, () => answerSaml(stranger, okta, atOkta(aPerson())), {
        code: 'not_entitled',
        reason: 'unknown_user',
        traced: true,
      });
      const told = oauthErrorIn((await stranger.browser.open(`${world.publicUrl}${back}`)).leadsTo);
      expect(told).toMatchObject({ error: 'access_denied', description: expect.stringContaining('unknown_user') });
    } finally {
      await world.api.patch(`/v1/connections/${okta.id}`, { just_in_time_provisioning: true });
    }
  });

  it('R33 does not fall for a user that the IdP of another workspace put in place, whatever domains that asks for', async () => {
    const name = aPerson();
    await world.api.post(`/v1/connections/${hostile.id}/domains`, { domain: 'acme.example', status: 'pending' });
    const planted = await logInByOidc(world, hostile, verified(name, { sub: `planted-${name}` }));
    const real = await logInBySaml(world, okta, atOkta(name));
    expect(real.sub).not.toBe(planted.sub);
    expect(await identitiesOf(planted.sub)).toEqual([`planted-${name}`]);
  });

  it('R33 does not fall for a user with whom that IdP became involved later', async () => {
    const name = aPerson();
    const { sub } = await logInByOidc(world, entra, verified(name));
    await world.api.post(`/v1/users/${sub}/identities`, { connection_id: hostile.id, subject: `later-${name}` });
    expect((await logInBySaml(world, okta, atOkta(name))).sub).not.toBe(sub);
  });

  it('R33 does not fall for an address that an instance-level IdP did not verify', async () => {
    const name = aPerson();
    const claimed = await logInByOidc(world, entra, verified(name, { emailVerified: false }));
    expect((await logInBySaml(world, okta, atOkta(name))).sub).not.toBe(claimed.sub);
  });

  it('R33 by two connections at once makes one user', async () => {
    await world.api.patch(`/v1/connections/${entra.id}`, { linking: 'verified-email' });
    await allow(entra.id, 'acme.example', 'allowed');
    try {
      for (let round = 0; round < 3; round += 1) {
        const name = aPerson();
        const [byOidc, bySaml] = [await beginOidcLogin(world, entra, verified(name)), await beginSamlLogin(world, okta)];
        const visits = await Promise.all([answerOidc(byOidc), answerSaml(bySaml, okta, atOkta(name))]);
        const tokens = await Promise.all([redeem(world, byOidc, visits[0]), redeem(world, bySaml, visits[1])]);
        expect(tokens[0]?.sub).toBe(tokens[1]?.sub);
        expect(await usersWith(name)).toHaveLength(1);
      }
    } finally {
      await world.api.delete(`/v1/connections/${entra.id}/domains/acme.example`);
      await world.api.patch(`/v1/connections/${entra.id}`, { linking: 'none' });
    }
  });
});

describe('a first login whose person is not certain', () => {
  const refused = async (name: string, reason: string, code: 'not_entitled' | 'user_archived' = 'not_entitled') => {
    const login = await beginSamlLogin(world, okta);
    return expectRefusal(world, () => answerSaml(login, okta, atOkta(name)), { code, reason, traced: true });
  };

  it('R33 is refused while two people have the address, until an administrator links it', async () => {
    const name = aPerson();
    const one = await logInByOidc(world, entra, verified(name));
    const two = await logInByOidc(world, entra, verified(name, { sub: `twin-${name}` }));
    expect(two.sub).not.toBe(one.sub);
    const { trace } = await refused(name, 'email_ambiguous');
    const identity = { subject: `okta-${name}`, issuer: 'https://okta.example' };
    expect(trace?.detail).toMatchObject({ identity });
    await world.api.post(`/v1/users/${two.sub}/identities`, { connection_id: okta.id, ...identity });
    expect((await logInBySaml(world, okta, atOkta(name))).sub).toBe(two.sub);
  });

  it('R32 R33 is refused while the person is archived, until an administrator restores them', async () => {
    const name = aPerson();
    const { sub } = await logInByOidc(world, entra, verified(name));
    await world.stores.db('users').where({ user_id: sub }).update({ status: 'archived' });
    await refused(name, 'email_of_archived_user', 'user_archived');
    await world.stores.db('users').where({ user_id: sub }).update({ status: 'active' });
    expect((await logInBySaml(world, okta, atOkta(name))).sub).toBe(sub);
  });

  it('R33 is refused when the address is known there under another subject, until an administrator rebinds it', async () => {
    const name = aPerson();
    const { sub } = await logInBySaml(world, okta, atOkta(name, { nameId: `before-${name}` }));
    await refused(name, 'email_linked_to_other_subject');
    await world.api.post(`/v1/users/${sub}/identities/rebind`, { connection_id: okta.id, subject: `okta-${name}` });
    expect((await logInBySaml(world, okta, atOkta(name))).sub).toBe(sub);
    expect(await identitiesOf(sub)).toEqual([`okta-${name}`]);
  });

  it('R33 is refused when a domain is only allowed and the IdP verified nothing; a verified address is linked', async () => {
    const name = aPerson();
    await allow(okta.id, 'acme.example', 'allowed');
    try {
      const { sub } = await logInByOidc(world, entra, verified(name));
      await refused(name, 'email_not_verified');
      await allow(okta.id, 'acme.example', 'verified');
      expect((await logInBySaml(world, okta, atOkta(name))).sub).toBe(sub);
    } finally {
      await allow(okta.id, 'acme.example', 'verified');
    }
  });
});

describe('allowed e-mail domains', () => {
  it('R33 keep logins with other addresses or none out, and let those in', async () => {
    for (const email of ['eve@evil.example', 'eve@acme.example.evil.example', undefined]) {
      const login = await beginSamlLogin(world, okta);
      const refusal = await expectRefusal(world, () => answerSaml(login, okta, { nameId: 'eve', ...(email && { email }) }), {
        code: 'not_entitled',
        reason: 'email_domain_not_allowed',
        traced: true,
      });
      const told = oauthErrorIn((await login.browser.open(`${world.publicUrl}${refusal.back}`)).leadsTo);
      expect(told.description).toContain('email_domain_not_allowed');
      expect(JSON.stringify(refusal.trace)).not.toContain('evil.example');
    }
    expect((await logInBySaml(world, okta, { nameId: 'eve', email: 'eve@acme.example', groups: [] })).memberships).toHaveLength(
      1,
    );
  });

  it('R33 keep out a known person whose address moved elsewhere', async () => {
    const name = aPerson();
    await logInBySaml(world, okta, atOkta(name));
    const login = await beginSamlLogin(world, okta);
    await expectRefusal(world, () => answerSaml(login, okta, atOkta(name, { email: `${name}@gone.example` })), {
      code: 'not_entitled',
      reason: 'email_domain_not_allowed',
      traced: true,
    });
  });

  it('R33 that wait for their DNS record keep nobody out', async () => {
    await world.api.post(`/v1/connections/${hostile.id}/domains`, { domain: 'pending.example', status: 'pending' });
    expect((await logInByOidc(world, hostile, verified(aPerson()))).memberships).toHaveLength(1);
  });
});

describe('an e-mail address that changed at the IdP', () => {
  it('R33 is taken over with a user.updated event, and the person stays the same', async () => {
    const name = aPerson();
    const { sub } = await logInBySaml(world, okta, atOkta(name));
    const again = await logInBySaml(world, okta, atOkta(name, { email: `${name}.married@acme.example` }));
    expect(again.sub).toBe(sub);
    expect(again.claims.email).toBe(`${name}.married@acme.example`);
    const told = await world.stores.db('events').where({ user_id: sub, type: 'user.updated' }).pluck('payload');
    expect(told.map(({ data }) => data.user.email)).toEqual([`${name}.married@acme.example`]);
  });
});

describe('identities over the API', () => {
  const problem = async (method: string, path: string, body?: object) => {
    const answer = await world.api.call<ProblemBody>(method, path, body);
    return [answer.status, answer.body.reason ?? answer.body.errors?.map(({ path }) => path)];
  };

  it('R33 are listed, linked once, and unlinked; what they gave stays until the next login', async () => {
    const { sub } = await logInByOidc(world, entra, verified(aPerson()));
    const link = { connection_id: okta.id, subject: 'a/b?c=d e' };
    const made = await world.api.post(`/v1/users/${sub}/identities`, link);
    expect(made).toMatchObject({ ...link, issuer: 'https://okta.example', last_login_at: null });
    expect(await world.api.post(`/v1/users/${sub}/identities`, link)).toEqual(made);
    const { data } = await world.api.get<{ data: object[] }>(`/v1/users/${sub}/identities`);
    expect(data).toHaveLength(2);
    expect((await logInBySaml(world, okta, atOkta('x', { nameId: 'a/b?c=d e' }))).sub).toBe(sub);
    await world.api.delete(`/v1/users/${sub}/identities?connection_id=${okta.id}&subject=${encodeURIComponent('a/b?c=d e')}`);
    expect((await world.api.get<{ data: object[] }>(`/v1/users/${sub}/identities`)).data).toHaveLength(1);
  });

  it("R33 are never taken from somebody: another one's is a conflict until it is unlinked there", async () => {
    const [name, other] = [aPerson(), aPerson()];
    const one = await logInBySaml(world, okta, atOkta(name));
    const two = await logInBySaml(world, okta, atOkta(other));
    const link = { connection_id: okta.id, subject: `okta-${name}` };
    expect(await problem('POST', `/v1/users/${two.sub}/identities`, link)).toEqual([409, 'identity_taken']);
    expect(await problem('POST', `/v1/users/${two.sub}/identities/rebind`, link)).toEqual([409, 'identity_taken']);
    await world.api.delete(`/v1/users/${one.sub}/identities?connection_id=${okta.id}&subject=okta-${name}`);
    await world.api.post(`/v1/users/${two.sub}/identities`, link);
    expect((await logInBySaml(world, okta, atOkta(name))).sub).toBe(two.sub);
  });

  it('R33 take with them what was given by them: tokens end when an identity is unlinked or rebound', async () => {
    const name = aPerson();
    const opens = async (token: string) =>
      (await world.send(`${world.publicUrl}/oidc/userinfo`, { headers: { authorization: `Bearer ${token}` } })).status === 200;
    const { sub, accessToken } = await logInBySaml(world, okta, atOkta(name));
    expect(await opens(accessToken)).toBe(true);
    await world.api.post(`/v1/users/${sub}/identities/rebind`, { connection_id: okta.id, subject: `new-${name}` });
    expect(await opens(accessToken)).toBe(false);
    const again = await logInBySaml(world, okta, atOkta(name, { nameId: `new-${name}` }));
    expect([again.sub, await opens(again.accessToken)]).toEqual([sub, true]);
    await world.api.delete(`/v1/users/${sub}/identities?connection_id=${okta.id}&subject=new-${name}`);
    expect(await opens(again.accessToken)).toBe(false);

    // An unlinking whose process died before it revoked is completed by the next request, which finds nothing to unlink.
    const other = await logInBySaml(world, okta, atOkta(aPerson()));
    const { subject } = await world.stores.db('identities').where({ user_id: other.sub }).first('subject');
    await world.stores.db('identities').where({ user_id: other.sub }).delete();
    expect(await opens(other.accessToken)).toBe(true);
    const path = `/v1/users/${other.sub}/identities?connection_id=${okta.id}&subject=${subject}`;
    expect((await world.api.call('DELETE', path)).status).toBe(404);
    expect(await opens(other.accessToken)).toBe(false);
  });

  it('R33 are rebound to another issuer when the connection moved to another IdP', async () => {
    const name = aPerson();
    const { sub } = await logInBySaml(world, okta, atOkta(name));
    await world.stores.db('identities').where({ user_id: sub }).update({ issuer: 'https://old.example' });
    const login = await beginSamlLogin(world, okta);
    const visit = await answerSaml(login, okta, atOkta(name));
    await expectErrorPage(world, visit, { code: 'not_entitled', reason: 'issuer_changed', traced: true });
    await world.api.post(`/v1/users/${sub}/identities/rebind`, { connection_id: okta.id, subject: `okta-${name}` });
    expect((await logInBySaml(world, okta, atOkta(name))).sub).toBe(sub);
  });

  it('R33 refuse what names nothing, and unknown fields', async () => {
    const { sub } = await logInByOidc(world, entra, verified(aPerson()));
    const nobody = '01890000-0000-7000-8000-000000000001';
    const link = { connection_id: okta.id, subject: 'x' };
    const path = `/v1/users/${sub}/identities`;
    expect(await problem('POST', `/v1/users/${nobody}/identities`, link)).toEqual([404, undefined]);
    expect(await problem('GET', `/v1/users/${nobody}/identities`)).toEqual([404, undefined]);
    expect(await problem('POST', path, { ...link, connection_id: nobody })).toEqual([422, ['connection_id']]);
    expect(await problem('POST', path, { ...link, colour: 'red' })).toEqual([422, ['colour']]);
    expect(await problem('POST', `${path}/rebind`, link)).toEqual([404, undefined]);
    expect(await problem('DELETE', `${path}?connection_id=${okta.id}&subject=x`)).toEqual([404, undefined]);
  });
});
