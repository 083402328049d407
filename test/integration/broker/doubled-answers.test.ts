import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Acme, startAcme } from '../../support/broker-acme.ts';
import type { Visit } from '../../support/broker-browser.ts';
import { errorPageIn, eventsOf, expectErrorPage, expectRefusal } from '../../support/broker-evidence.ts';
import {
  answerOidc,
  beginOidcLogin,
  beginSamlLogin,
  type OidcConnection,
  oidcAnswer,
  postAnswer,
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

/** What a browser does with the first of several answers: follows it to the app. */
const goOn = (login: { browser: { open(url: string): Promise<Visit> } }, { leadsTo }: Visit) => login.browser.open(leadsTo ?? '');
const signedIn = ({ leadsTo }: Visit) => leadsTo?.endsWith('/finish') ?? false;

describe('an answer that comes twice', () => {
  test('SAML, one after the other: the first one signs in, the second is refused', async () => {
    const login = await beginSamlLogin(world, saml);
    const fields = saml.idp.answer(login.saml, person);
    const first = await postAnswer(login.browser, login.saml.acsUrl, fields, saml.idp);
    await expectRefusal(world, () => postAnswer(login.browser, login.saml.acsUrl, fields, saml.idp), {
      code: 'login_expired',
      reason: 'unknown_login',
      traced: false,
    });
    expect((await redeem(world, login, first)).memberships).toHaveLength(1);
  });

  test('OpenID Connect, one after the other: the first one signs in, the second is refused', async () => {
    const login = await beginOidcLogin(world, oidc, user);
    const address = await oidcAnswer(login);
    const first = await login.browser.open(address);
    await expectRefusal(world, () => login.browser.open(address), {
      code: 'login_expired',
      reason: 'unknown_login',
      traced: false,
    });
    expect((await redeem(world, login, first)).memberships).toHaveLength(1);
  });

  test('SAML, before the browser went on: the refusal of the second does not undo the first', async () => {
    const login = await beginSamlLogin(world, saml);
    const fields = saml.idp.answer(login.saml, person);
    const post = () => login.browser.post(login.saml.acsUrl, fields, { from: saml.idp.origin, follow: false });
    const first = await post();
    expect(signedIn(first)).toBe(true);
    await expectErrorPage(world, await post(), { code: 'login_expired', reason: 'unknown_login', traced: false });
    expect((await redeem(world, login, await goOn(login, first))).memberships).toHaveLength(1);
  });

  test('R28 SAML, many at the same moment: exactly one gets through, and it ends at the app', async () => {
    const login = await beginSamlLogin(world, saml);
    const fields = saml.idp.answer(login.saml, { ...person, nameId: 'at once' });
    const post = () => login.browser.post(login.saml.acsUrl, fields, { from: saml.idp.origin, follow: false });
    const visits = await Promise.all(Array.from({ length: 12 }, post));
    const winners = visits.filter(signedIn);
    expect(winners).toHaveLength(1);
    for (const loser of visits.filter((visit) => !signedIn(visit)))
      expect(errorPageIn(loser).title).toBe('This sign-in is no longer valid');
    const { sub, memberships } = await redeem(world, login, await goOn(login, winners[0] as Visit));
    expect(memberships).toMatchObject([{ groups: ['design'], membership_version: 1 }]);
    expect((await eventsOf(world, sub)).map(({ type }) => type)).toEqual(['user.created', 'membership.created']);
  });

  test('R28 OpenID Connect, many at the same moment: exactly one gets through, and it ends at the app', async () => {
    const login = await beginOidcLogin(world, oidc, { ...user, sub: 'at once' });
    const address = await oidcAnswer(login);
    const visits = await Promise.all(Array.from({ length: 8 }, () => login.browser.open(address, { follow: false })));
    const winners = visits.filter(signedIn);
    expect(winners).toHaveLength(1);
    const { memberships } = await redeem(world, login, await goOn(login, winners[0] as Visit));
    expect(memberships).toMatchObject([{ groups: ['design'], membership_version: 1 }]);
  });

  test('the page of the second one still leads on to the app, where the first one signed in', async () => {
    const login = await beginSamlLogin(world, saml);
    const fields = saml.idp.answer(login.saml, person);
    const post = () => login.browser.post(login.saml.acsUrl, fields, { from: saml.idp.origin, follow: false });
    const visits = await Promise.all([post(), post(), post(), post()]);
    const backs = visits.filter((visit) => !signedIn(visit)).map((visit) => errorPageIn(visit).back);
    const back = backs.find((address) => address !== null);
    // Those that came after the winner belong to no login any more, and have no way back.
    if (back) {
      const visit = await login.browser.open(new URL(back, world.publicUrl).href);
      expect((await redeem(world, login, visit)).memberships).toHaveLength(1);
    }
  });
});

describe('an answer that is refused late', () => {
  test('OpenID Connect: the IdP refuses the code of the second callback after the first one signed in', async () => {
    const login = await beginOidcLogin(world, oidc, user);
    const address = await oidcAnswer(login);
    const served = idp.served.token;
    const both: Promise<Visit>[] = [];
    for (const milliseconds of [150, 500]) {
      idp.behaviour.delayMilliseconds.token = milliseconds;
      both.push(login.browser.open(address, { follow: false }));
      await vi.waitFor(() => expect(idp.served.token).toBe(served + both.length), { interval: 2 });
    }
    idp.behave();
    const [first, second] = (await Promise.all(both)) as [Visit, Visit];
    expect(signedIn(first)).toBe(true);
    await expectErrorPage(world, second, { code: 'upstream_denied', reason: 'invalid_grant', traced: true });
    expect((await redeem(world, login, await goOn(login, first))).memberships).toHaveLength(1);
  });
});

describe('what the app got', () => {
  test('the finish of a login is used once, and another login does not need it', async () => {
    const login = await beginOidcLogin(world, oidc, user);
    const answered = await login.browser.open(await oidcAnswer(login), { follow: false });
    const finish = answered.leadsTo ?? '';
    const visit = await login.browser.open(finish);
    await redeem(world, login, visit);
    await expectRefusal(world, () => login.browser.open(finish), { code: 'login_expired', traced: false });
    const next = await beginOidcLogin(world, oidc, user, { browser: login.browser });
    expect((await redeem(world, next, await answerOidc(next))).memberships).toHaveLength(1);
  });

  test('two logins of one browser at the same time both end at the app', async () => {
    const browser = world.newBrowser();
    const [one, two] = [await beginSamlLogin(world, saml, { browser }), await beginSamlLogin(world, saml, { browser })];
    const answers = [one, two].map((login) =>
      postAnswer(browser, login.saml.acsUrl, saml.idp.answer(login.saml, person), saml.idp),
    );
    const [first, second] = await Promise.all(answers);
    expect((await redeem(world, one, first as Visit)).memberships).toHaveLength(1);
    expect((await redeem(world, two, second as Visit)).memberships).toHaveLength(1);
  });
});
