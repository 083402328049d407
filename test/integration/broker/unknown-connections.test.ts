import { createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ProblemBody } from '../../support/broker-api.ts';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { type ExpectedRefusal, expectRefusal, tellApp } from '../../support/broker-evidence.ts';
import {
  answerOidc,
  answerSaml,
  beginLogin,
  beginOidcLogin,
  beginSamlLogin,
  logInByOidc,
  logInBySaml,
  type OidcConnection,
  type SamlConnection,
} from '../../support/broker-login.ts';
import { createSamlIdp, samlMetadata } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, type OidcIdpBehaviour, startOidcIdp } from '../../support/oidc-idp.ts';
import { freePort } from '../../support/servers.ts';

let world: BrokerWorld;
let idp: OidcIdp;
let saml: SamlConnection;
let oidc: OidcConnection;

beforeAll(async () => {
  const samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  [world, idp] = await Promise.all([startBrokerWorld({ settings: { outbound: { timeoutSeconds: 1 } } }), startOidcIdp()]);
  await world.api.workspace('acme', { design: null });
  saml = await connectSaml(world, samlIdp, { workspace: 'acme' });
  oidc = await connectOidc(world, idp, { workspace: 'acme' });
});
afterEach(() => idp.behave());
afterAll(async () => {
  await world.stop();
  await idp.stop();
});

const nobody = '01890000-0000-7000-8000-000000000000';
const person = { nameId: 'ada', groups: ['design'] };
const user = { sub: 'ada', email: 'ada@customer.example', groups: ['design'] };

describe('an unknown connection', () => {
  test('named by the app: the person reads it, and the app is told', async () => {
    const login = await beginLogin(world, { parameters: { connection: nobody } });
    const expected = { code: 'not_found', reason: 'no_connection', traced: true } as const;
    const refusal = await expectRefusal(world, async () => login.visit, expected);
    expect(await tellApp(world, login, refusal)).toBe('invalid_request');
  });

  test.each([nobody, 'not-an-id', '%00', '..%2f..%2fetc'])('in the address of the metadata: %s', async (id) => {
    const browser = world.newBrowser();
    const open = () => browser.open(`${world.publicUrl}/saml/${id}/metadata`);
    await expectRefusal(world, open, { code: 'not_found', traced: false });
    // An OpenID Connect connection has no SAML metadata either.
    const ofOther = () => browser.open(`${world.publicUrl}/saml/${oidc.id}/metadata`);
    await expectRefusal(world, ofOther, { code: 'not_found', traced: false });
    expect((await browser.open(`${world.publicUrl}/saml/${saml.id}/metadata`)).status).toBe(200);
  });

  test('in the address of an answer', async () => {
    const login = await beginSamlLogin(world, saml);
    const fields = saml.idp.answer(login.saml, person);
    const post = (id: string) => () => login.browser.post(`${world.publicUrl}/saml/${id}/acs`, fields);
    await expectRefusal(world, post(nobody), { code: 'login_expired', reason: 'other_connection', traced: false });
    await expectRefusal(world, post('not-an-id'), { code: 'not_found', traced: false });
    const callback = () => login.browser.open(`${world.publicUrl}/callback/${nobody}?state=x&code=y`);
    await expectRefusal(world, callback, { code: 'login_expired', reason: 'unknown_login', traced: false });
    expect((await post(saml.id)()).leadsTo).toContain('code=');
  });
});

describe('a connection that was switched off', () => {
  const disabled = { code: 'connection_disabled', traced: true } as const;
  const enable = (enabled: boolean) => world.api.patch(`/v1/connections/${saml.id}`, { enabled });

  test('before the login: nobody is sent to its IdP', async () => {
    await enable(false);
    const login = await beginLogin(world, { parameters: { connection: saml.id } });
    const refusal = await expectRefusal(world, async () => login.visit, disabled);
    expect(await tellApp(world, login, refusal)).toBe('access_denied');
    await enable(true);
    expect((await logInBySaml(world, saml, person)).memberships).toHaveLength(1);
  });

  test('while the person is at its IdP: the answer is refused, until it is on again', async () => {
    const login = await beginSamlLogin(world, saml);
    await enable(false);
    const refusal = await expectRefusal(world, () => answerSaml(login, saml, person), disabled);
    expect(refusal.trace?.connection_id).toBe(saml.id);
    await enable(true);
    expect((await answerSaml(login, saml, person)).leadsTo).toContain('code=');
  });

  test('by the archiving of its workspace', async () => {
    const { id } = await world.api.workspace('archived');
    const connection = await connectSaml(world, saml.idp, { workspace: id });
    const login = await beginSamlLogin(world, connection);
    await world.stores.db('workspaces').where({ workspace_id: id }).update({ status: 'archived' });
    await world.api.patch(`/v1/connections/${saml.id}`, {});
    const begin = async () => (await beginLogin(world, { parameters: { workspace: 'archived' } })).visit;
    await expectRefusal(world, begin, { code: 'not_found', traced: true });
    // What the login cached may be two seconds old; a replica would see it as late as that.
    await new Promise((resolve) => setTimeout(resolve, 2_050));
    await expectRefusal(world, () => answerSaml(login, connection, person), disabled);
  });
});

describe('an IdP that cannot be reached when the login begins', () => {
  /** Takes connections and never answers. */
  async function startSilentServer() {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => void sockets.add(socket.on('error', () => {})));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const stop = () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    };
    return { url: `http://127.0.0.1:${port}`, stop };
  }

  const begin = (connection: string) => beginLogin(world, { parameters: { connection } });

  test('nobody listens: 503 and word for the app', async () => {
    const dead = await connectOidc(world, idp, { protocol: { discovery_url: `http://127.0.0.1:${await freePort()}` } });
    const login = await begin(dead.id);
    const expected = { code: 'upstream_unavailable', reason: 'connect', traced: true } as const;
    const refusal = await expectRefusal(world, async () => login.visit, expected);
    expect(refusal.visit.headers.get('retry-after')).toBe('30');
    expect(refusal.trace?.connection_id).toBe(dead.id);
    expect(await tellApp(world, login, refusal)).toBe('temporarily_unavailable');
  });

  test('it takes the connection and says nothing: 503 after the time limit', async () => {
    const silent = await startSilentServer();
    const connection = await connectOidc(world, idp, { protocol: { discovery_url: silent.url } });
    const startedAt = performance.now();
    const login = await begin(connection.id);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    const expected = { code: 'upstream_unavailable', reason: 'timeout', traced: true } as const;
    const refusal = await expectRefusal(world, async () => login.visit, expected);
    expect(await tellApp(world, login, refusal)).toBe('temporarily_unavailable');
    await silent.stop();
  });

  const documents: readonly [string, Partial<OidcIdpBehaviour>, ExpectedRefusal['code'], string][] = [
    ['answers 500', { instead: { discovery: { status: 500, body: '{}' } } }, 'upstream_unavailable', 'http_500'],
    ['answers 404', { instead: { discovery: { status: 404, body: '{}' } } }, 'upstream_misconfigured', 'http_404'],
    [
      'answers no JSON',
      { instead: { discovery: { status: 200, body: '<html>' } } },
      'upstream_misconfigured',
      'discovery_document_invalid',
    ],
    ['names another issuer', { metadata: { issuer: 'https://evil.example' } }, 'upstream_misconfigured', 'issuer_mismatch'],
    ['has no token endpoint', { metadata: { token_endpoint: undefined } }, 'upstream_misconfigured', 'endpoint_invalid'],
    [
      'sends people to javascript:',
      { metadata: { authorization_endpoint: 'javascript:alert(1)' } },
      'upstream_misconfigured',
      'endpoint_invalid',
    ],
  ];
  test.each(documents)('its discovery document %s', async (_, behaviour, code, reason) => {
    const fresh = await connectOidc(world, idp, { workspace: 'acme' });
    Object.assign(idp.behaviour, behaviour);
    const login = await begin(fresh.id);
    const refusal = await expectRefusal(world, async () => login.visit, { code, reason, traced: true });
    const told = code === 'upstream_unavailable' ? 'temporarily_unavailable' : 'server_error';
    expect(await tellApp(world, login, refusal)).toBe(told);
    // A good document is found by a connection that was not asked before; this one remembers the failure for some seconds.
    idp.behave();
    const twin = await connectOidc(world, idp, { workspace: 'acme' });
    expect((await logInByOidc(world, twin, user)).memberships).toHaveLength(1);
  });

  test('law 8 an address inside of the house is not asked', async () => {
    const inside = await connectOidc(world, idp, { protocol: { discovery_url: 'http://169.254.169.254/latest' } });
    const expected = { code: 'upstream_misconfigured', reason: 'blocked_address', traced: true } as const;
    await expectRefusal(world, async () => (await begin(inside.id)).visit, expected);
  });

  test('once reached, an IdP whose discovery is away for a while still signs people in', async () => {
    await logInByOidc(world, oidc, user);
    idp.behaviour.instead = { discovery: { status: 500, body: '{}' } };
    world.clock.advance(4_000);
    const login = await beginOidcLogin(world, oidc, user);
    world.clock.advance(-4_000);
    expect((await answerOidc(login)).leadsTo).toContain('code=');
  });
});

describe('a connection that cannot work is not made', () => {
  const idpOf = (certificate: string | null) =>
    samlMetadata({ entityId: 'https://idp.customer.example/metadata', origin: 'https://idp.customer.example', certificate });
  const create = (protocol: object) =>
    world.api.call<ProblemBody>('POST', '/v1/connections', { display_name: 'Broken', protocol: { type: 'saml', ...protocol } });

  const refused: readonly [string, () => Promise<object> | object, string, string][] = [
    ['metadata without certificates', () => ({ metadata_xml: idpOf(null) }), 'metadata_xml', 'metadata_without_certificate'],
    ['a certificate that is none', () => ({ metadata_xml: idpOf('AAAA') }), 'metadata_xml', 'metadata_certificate_invalid'],
    ['XML that is cut off', () => ({ metadata_xml: saml.idp.metadata.slice(0, -9) }), 'metadata_xml', 'metadata_invalid'],
    ['XML with a DOCTYPE', () => ({ metadata_xml: `<!DOCTYPE a>${saml.idp.metadata}` }), 'metadata_xml', 'metadata_doctype'],
    [
      'an address where nobody is',
      async () => ({ metadata_url: `http://127.0.0.1:${await freePort()}/` }),
      'metadata_url',
      'connect',
    ],
    ['an address inside of the house', () => ({ metadata_url: 'http://10.0.0.1/' }), 'metadata_url', 'blocked_address'],
  ];
  test.each(refused)('%s: 422 that names the field', async (_, protocol, field, reason) => {
    const before = await world.stores.db('connections').count();
    const { status, headers, body } = await create(await protocol());
    expect(status).toBe(422);
    expect(headers.get('content-type')).toContain('application/problem+json');
    expect(body).toMatchObject({ code: 'validation_failed', reason, errors: [{ path: `protocol.${field}` }] });
    expect(world.lines.some(({ requestId, code }) => requestId === body.request_id && code === 'validation_failed')).toBe(true);
    expect(await world.stores.db('connections').count()).toEqual(before);
  });

  test('the same with a certificate is made', async () => {
    expect((await create({ metadata_xml: saml.idp.metadata })).status).toBe(201);
  });

  test('a body larger than allowed: 413', async () => {
    const { status, body } = await create({ metadata_xml: 'x'.repeat(1_100_000) });
    expect({ status, code: body.code }).toEqual({ status: 413, code: 'payload_too_large' });
  });
});
