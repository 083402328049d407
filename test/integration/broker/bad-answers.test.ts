import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Acme, startAcme } from '../../support/broker-acme.ts';
import type { Visit } from '../../support/broker-browser.ts';
import { connectOidc } from '../../support/broker-connections.ts';
import { type ExpectedRefusal, expectRefusal, tellApp } from '../../support/broker-evidence.ts';
import {
  answerOidc,
  answerSaml,
  beginOidcLogin,
  beginSamlLogin,
  logInByOidc,
  logInBySaml,
  type OidcConnection,
  postAnswer,
  redeem,
  type SamlConnection,
} from '../../support/broker-login.ts';
import type { BrokerWorld } from '../../support/broker-world.ts';
import type { AttackName } from '../../support/oidc-attacks.ts';
import type { OidcIdp, OidcIdpBehaviour } from '../../support/oidc-idp.ts';
import { freePort } from '../../support/servers.ts';

let world: BrokerWorld;
let idp: OidcIdp;
let saml: SamlConnection;
let oidc: OidcConnection;

let acme: Acme;
beforeAll(async () => {
  acme = await startAcme();
  ({ world, idp, saml, oidc } = acme);
});
afterEach(() => idp.behave());
afterAll(() => acme.stop());

const person = { nameId: 'ada', email: 'ada@customer.example', groups: ['design'] };
const user = { sub: 'ada', email: 'ada@customer.example', groups: ['design'] };
const base64 = (text: string) => Buffer.from(text).toString('base64');

const status = (second: string) => (xml: string) =>
  xml
    .replace(/<saml:Assertion[\s\S]*<\/saml:Assertion>/, '')
    .replace(
      /<samlp:Status>.*<\/samlp:Status>/,
      `<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Responder"><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:${second}"></samlp:StatusCode></samlp:StatusCode><samlp:StatusMessage>&lt;script&gt;alert(1)&lt;/script&gt; ada@customer.example</samlp:StatusMessage></samlp:Status>`,
    );

describe('the IdP says no', () => {
  test.each([
    ['AuthnFailed', 'authn_failed'],
    ['RequestDenied', 'request_denied'],
    ['NoPassive', 'no_passive'],
    ['Whatever', 'responder'],
  ])('SAML status %s', async (code, reason) => {
    const login = await beginSamlLogin(world, saml);
    const answer = () => answerSaml(login, saml, person, { signed: 'none', edit: { message: status(code) } });
    const refusal = await expectRefusal(world, answer, { code: 'upstream_denied', reason, traced: true });
    expect(refusal.visit.text).not.toContain('script&gt;');
    expect(await tellApp(world, login, refusal)).toBe('access_denied');
    expect((await logInBySaml(world, saml, person)).memberships).toHaveLength(1);
  });

  const errors: readonly [string, ExpectedRefusal, string][] = [
    ['access_denied', { code: 'upstream_denied', reason: 'access_denied', traced: true }, 'access_denied'],
    ['login_required', { code: 'upstream_denied', reason: 'login_required', traced: true }, 'access_denied'],
    [
      'temporarily_unavailable',
      { code: 'upstream_unavailable', reason: 'temporarily_unavailable', traced: true },
      'temporarily_unavailable',
    ],
    ['server_error', { code: 'upstream_unavailable', reason: 'server_error', traced: true }, 'temporarily_unavailable'],
    ['invalid_scope', { code: 'upstream_misconfigured', reason: 'invalid_scope', traced: true }, 'server_error'],
    ['<script>alert(1)</script>', { code: 'upstream_denied', reason: 'unknown_error', traced: true }, 'access_denied'],
  ];
  test.each(errors)('OpenID Connect error=%s', async (error, expected, told) => {
    idp.behaviour.authorizationError = { error, error_description: '<b>ada@customer.example</b> is not assigned' };
    const login = await beginOidcLogin(world, oidc, user);
    const refusal = await expectRefusal(world, () => answerOidc(login), expected);
    expect(refusal.visit.text).not.toContain('not assigned');
    expect(await tellApp(world, login, refusal)).toBe(told);
    idp.behave();
    expect((await logInByOidc(world, oidc, user)).memberships).toHaveLength(1);
  });
});

describe('the SAML answer is broken', () => {
  const signedBytes = (fields: { SAMLResponse: string }) => fields.SAMLResponse;
  const broken: readonly [string, (genuine: string) => string, string][] = [
    ['no base64', (genuine) => `${genuine.slice(0, 40)}!${genuine.slice(41)}`, 'base64_invalid'],
    ['base64 that is cut off', (genuine) => genuine.slice(0, 41), 'base64_invalid'],
    ['base64 of no XML', () => base64('hello'), 'encoding_not_allowed'],
    ['XML that is cut off', (genuine) => base64(Buffer.from(genuine, 'base64').toString().slice(0, -20)), 'xml_malformed'],
    ['XML with a DOCTYPE', (genuine) => base64(`<!DOCTYPE a []>${Buffer.from(genuine, 'base64')}`), 'doctype_not_allowed'],
    ['another XML document', () => base64('<html></html>'), 'not_a_response'],
    ['larger than allowed', () => base64(`<a>${'x'.repeat(300_000)}</a>`), 'response_too_large'],
    [
      'changed after it was signed',
      (genuine) => base64(Buffer.from(genuine, 'base64').toString().replace('>design<', '>admin<')),
      'digest_mismatch',
    ],
  ];
  test.each(broken)('%s', async (_, breakIt, reason) => {
    const login = await beginSamlLogin(world, saml);
    const genuine = saml.idp.answer(login.saml, person);
    const forged = { ...genuine, SAMLResponse: breakIt(signedBytes(genuine)) };
    const post = () => postAnswer(login.browser, login.saml.acsUrl, forged, saml.idp);
    const refusal = await expectRefusal(world, post, { code: 'assertion_rejected', reason, traced: true });
    expect(refusal.back).toMatch(/^\/interaction\/[\w-]+\/finish$/);
    // Law 4: what did not verify has used nothing up.
    const visit = await postAnswer(login.browser, login.saml.acsUrl, genuine, saml.idp);
    expect((await redeem(world, login, visit)).memberships).toHaveLength(1);
  });
});

describe('the token answer is broken', () => {
  const attacks: readonly [AttackName, ExpectedRefusal['code'], string][] = [
    ['garbage_token', 'assertion_rejected', 'id_token_invalid'],
    ['stripped_signature', 'assertion_rejected', 'signature_invalid'],
    ['changed_payload', 'assertion_rejected', 'signature_invalid'],
    ['algorithm_none', 'assertion_rejected', 'id_token_invalid'],
    ['expired', 'assertion_rejected', 'token_expired'],
    ['wrong_nonce', 'assertion_rejected', 'nonce_mismatch'],
    ['wrong_audience', 'assertion_rejected', 'audience_mismatch'],
    ['no_id_token', 'assertion_rejected', 'id_token_invalid'],
    ['missing_code', 'assertion_rejected', 'code_missing'],
    ['doubled_code', 'assertion_rejected', 'parameter_repeated'],
    ['foreign_code', 'upstream_denied', 'invalid_grant'],
    ['userinfo_of_another_subject', 'assertion_rejected', 'userinfo_subject_mismatch'],
  ];
  test.each(attacks)('%s', async (attack, code, reason) => {
    Object.assign(idp.behaviour, { attack, emailIn: 'userinfo' });
    const login = await beginOidcLogin(world, oidc, user);
    const refusal = await expectRefusal(world, () => answerOidc(login), { code, reason, traced: true });
    expect(await tellApp(world, login, refusal)).toBe('access_denied');
    idp.behaviour.attack = null;
    expect((await logInByOidc(world, oidc, user)).memberships).toHaveLength(1);
  });

  const failures: readonly [string, Partial<OidcIdpBehaviour>, ExpectedRefusal['code'], string][] = [
    ['a server error', { instead: { token: { status: 500, body: '{}' } } }, 'upstream_unavailable', 'http_500'],
    [
      'a page of somebody in between',
      { instead: { token: { status: 200, body: '<html>sign in to the proxy</html>' } } },
      'upstream_misconfigured',
      'token_endpoint_invalid',
    ],
    [
      'too many requests',
      { instead: { token: { status: 429, body: '{"error":"slow_down"}' } } },
      'upstream_unavailable',
      'slow_down',
    ],
    [
      'our secret refused',
      { instead: { token: { status: 401, body: '{"error":"invalid_client"}' } } },
      'upstream_misconfigured',
      'invalid_client',
    ],
    ['nothing, for too long', { delayMilliseconds: { token: 3_000 } }, 'upstream_unavailable', 'timeout'],
    [
      'more than anybody reads',
      { instead: { token: { status: 200, body: `"${'x'.repeat(1_100_000)}"` } } },
      'upstream_misconfigured',
      'too_large',
    ],
  ];
  test.each(failures)('%s', async (_, behaviour, code, reason) => {
    Object.assign(idp.behaviour, behaviour);
    const login = await beginOidcLogin(world, oidc, user);
    const refusal = await expectRefusal(world, () => answerOidc(login), { code, reason, traced: true });
    const told = code === 'upstream_unavailable' ? 'temporarily_unavailable' : 'server_error';
    expect(await tellApp(world, login, refusal)).toBe(told);
    idp.behave();
    expect((await logInByOidc(world, oidc, user)).memberships).toHaveLength(1);
  });
});

describe('the token endpoint is not there', () => {
  test("a connection that is refused by the IdP is the IdP's failure, not ours", async () => {
    idp.behaviour.metadata = { token_endpoint: `http://127.0.0.1:${await freePort()}/token` };
    const dead = await connectOidc(world, idp, { workspace: 'acme' });
    const login = await beginOidcLogin(world, dead, user);
    const expected = { code: 'upstream_unavailable', reason: 'connect', traced: true } as const;
    const refusal = await expectRefusal(world, () => answerOidc(login), expected);
    expect(await tellApp(world, login, refusal)).toBe('temporarily_unavailable');
    expect((await logInByOidc(world, oidc, user)).memberships).toHaveLength(1);
  });
});

describe('the form is broken', () => {
  const post = async (fields: (genuine: { SAMLResponse: string; RelayState: string }) => string | Record<string, string>) => {
    const login = await beginSamlLogin(world, saml);
    const genuine = saml.idp.answer(login.saml, person);
    return (): Promise<Visit> => login.browser.post(login.saml.acsUrl, fields(genuine), { from: saml.idp.origin });
  };
  const doubled = (genuine: object) => `${new URLSearchParams({ ...genuine })}&SAMLResponse=x`;

  test.each([
    ['without SAMLResponse', ({ RelayState }: { RelayState: string }) => ({ RelayState }), 'invalid_request', 'malformed_answer'],
    ['with two of them', doubled, 'invalid_request', 'malformed_answer'],
    ['without RelayState', ({ SAMLResponse }: { SAMLResponse: string }) => ({ SAMLResponse }), 'login_expired', 'unknown_login'],
    [
      'with a RelayState of somewhere else',
      (genuine: object) => ({ ...genuine, RelayState: 'https://evil.example/' }),
      'login_expired',
      'unknown_login',
    ],
    ['larger than allowed', (genuine: object) => ({ ...genuine, more: 'x'.repeat(600_000) }), 'payload_too_large', undefined],
  ] as const)('%s', async (_, fields, code, reason) => {
    await expectRefusal(world, await post(fields), { code, ...(reason && { reason }), traced: false });
  });

  test('with some more fields that nobody asked for it is accepted', async () => {
    const visit = await (await post((genuine) => ({ ...genuine, submit: 'Continue', 'a[b]': '__proto__' })))();
    expect(visit.leadsTo).toContain('code=');
  });

  test('JSON instead of a form, and a form where a link belongs', async () => {
    const login = await beginSamlLogin(world, saml);
    const json = () => login.browser.post(login.saml.acsUrl, '{}', { headers: { 'content-type': 'application/json' } });
    await expectRefusal(world, json, { code: 'invalid_request', traced: false });
    const headers = { 'content-encoding': 'gzip', 'content-type': 'application/x-www-form-urlencoded' };
    const compressed = () => login.browser.post(login.saml.acsUrl, { SAMLResponse: 'x' }, { headers });
    await expectRefusal(world, compressed, { code: 'invalid_request', reason: 'unsupported_media_type', traced: false });
    await expectRefusal(world, () => login.browser.open(login.saml.acsUrl), { code: 'not_found', traced: false });
    const callback = `${world.publicUrl}/callback/${oidc.id}`;
    await expectRefusal(world, () => login.browser.post(callback, { state: 'x' }), { code: 'not_found', traced: false });
  });
});
