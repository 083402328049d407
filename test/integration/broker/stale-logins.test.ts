import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Acme, startAcme } from '../../support/broker-acme.ts';
import { expectRefusal } from '../../support/broker-evidence.ts';
import {
  answerOidc,
  answerSaml,
  beginOidcLogin,
  beginSamlLogin,
  type OidcConnection,
  redeem,
  type SamlConnection,
} from '../../support/broker-login.ts';
import type { BrokerWorld } from '../../support/broker-world.ts';
import type { OidcIdp } from '../../support/oidc-idp.ts';

let world: BrokerWorld;
let idp: OidcIdp;
let saml: SamlConnection;
let oidc: OidcConnection;

let acme: Acme;
beforeAll(async () => {
  acme = await startAcme();
  ({ world, idp, saml, oidc } = acme);
});
afterAll(() => acme.stop());

const person = { nameId: 'ada', email: 'ada@customer.example', groups: ['design'] };
const user = { sub: 'ada', email: 'ada@customer.example', groups: ['design'] };
const stale = { code: 'login_expired', reason: 'unknown_login', traced: false } as const;

/** What happens `seconds` later, by the broker's clock. */
async function later<T>(seconds: number, act: () => Promise<T>): Promise<T> {
  world.clock.advance(seconds);
  try {
    return await act();
  } finally {
    world.clock.advance(-seconds);
  }
}

test('a person who takes longer than the settings allow has to start again; a second less is in time', async () => {
  const [late, inTime] = [await beginSamlLogin(world, saml), await beginSamlLogin(world, saml)];
  await later(598, async () => {
    const visit = await answerSaml(inTime, saml, person, { now: world.clock.now() });
    expect(visit.leadsTo).toContain('code=');
  });
  await later(601, async () => {
    const answer = () => answerSaml(late, saml, person, { now: world.clock.now() });
    const refusal = await expectRefusal(world, answer, stale);
    expect(refusal.advice).toBe('Go back to the application and sign in again.');
    // Starting again is all that it takes, in the same browser.
    const again = await beginSamlLogin(world, saml, { browser: late.browser });
    const visit = await answerSaml(again, saml, person, { now: world.clock.now() });
    expect((await redeem(world, again, visit)).memberships).toHaveLength(1);
  });
});

test('OpenID Connect: the same, and the code of a stale login is not sent anywhere', async () => {
  const login = await beginOidcLogin(world, oidc, user);
  const served = idp.served.token;
  await later(601, () => expectRefusal(world, () => answerOidc(login), stale));
  expect(idp.served.token).toBe(served);
  const again = await beginOidcLogin(world, oidc, user);
  expect((await redeem(world, again, await answerOidc(again))).memberships).toHaveLength(1);
});

test('an answer that the IdP made long ago is refused, although its login is still waiting', async () => {
  const login = await beginSamlLogin(world, saml);
  const old = new Date(world.clock.now().getTime() - 500_000);
  const expired = { code: 'assertion_rejected', reason: 'confirmation_expired', traced: true } as const;
  await expectRefusal(world, () => answerSaml(login, saml, person, { now: old }), expired);
  expect((await redeem(world, login, await answerSaml(login, saml, person))).memberships).toHaveLength(1);
});

test('an outcome that nobody fetches is gone with the login', async () => {
  const login = await beginSamlLogin(world, saml);
  const fields = saml.idp.answer(login.saml, person);
  const post = () => login.browser.post(login.saml.acsUrl, fields, { from: saml.idp.origin, follow: false });
  const { leadsTo } = await post();
  await later(1_300, () =>
    expectRefusal(world, () => login.browser.open(leadsTo ?? ''), { code: 'login_expired', traced: false }),
  );
});
