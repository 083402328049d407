import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { storedState } from '../../support/broker-evidence.ts';
import {
  beginOidcLogin,
  beginSamlLogin,
  logInBySaml,
  type OidcConnection,
  type SamlConnection,
  type SamlLogin,
} from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, bootstrapApiKey, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';

let world: BrokerWorld;
let idp: OidcIdp;
let saml: SamlConnection;
let oidc: OidcConnection;
let login: SamlLogin;
let state: string;
let uid: string;

beforeAll(async () => {
  const samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  [world, idp] = await Promise.all([startBrokerWorld(), startOidcIdp()]);
  await world.api.workspace('acme', { design: null });
  saml = await connectSaml(world, samlIdp, { workspace: 'acme' });
  oidc = await connectOidc(world, idp, { workspace: 'acme' });
  login = await beginSamlLogin(world, saml);
  state =
    (await beginOidcLogin(world, oidc, { sub: 'ada' }, { browser: login.browser })).authorizationUrl.searchParams.get('state') ??
    '';
  uid = login.browser.cookies.find(({ path }) => path.startsWith('/interaction/'))?.path.split('/')[2] ?? '';
});
afterAll(async () => {
  await world.stop();
  await idp.stop();
});

const nonsense = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constantFrom(
    '%00',
    '%ff',
    '%',
    '../',
    '__proto__',
    '[]',
    'a[b]=c',
    '',
    'x'.repeat(5_000),
    '{"a":1}',
    "' OR 1=1 --",
    '1e999',
    '-1',
  ),
);
const parameters = [
  ...[
    'state',
    'code',
    'iss',
    'error',
    'SAMLResponse',
    'RelayState',
    'client_id',
    'redirect_uri',
    'scope',
    'response_type',
    'prompt',
  ],
  ...[
    'workspace',
    'connection',
    'login_hint',
    'max_age',
    'after',
    'limit',
    'grant_type',
    'claims',
    'request',
    'id_token_hint',
    'nonce',
  ],
];

/** Half genuine, half nonsense: what is all nonsense gets no further than the first check. */
const request = () => {
  const known = (...values: string[]) => fc.oneof(fc.constantFrom(...values), nonsense);
  const value = known(state, login.saml.relayState, uid, 'app', 'openid', 'code', 'https://app.example.com/callback', saml.id);
  const id = known(saml.id, oidc.id);
  const path = fc.oneof(
    known(uid).map((each) => `/interaction/${each}`),
    known(uid).map((each) => `/interaction/${each}/finish`),
    id.map((each) => `/saml/${each}/acs`),
    id.map((each) => `/saml/${each}/metadata`),
    id.map((each) => `/callback/${each}`),
    known(uid).map((each) => `/oidc/auth/${each}`),
    id.map((each) => `/v1/connections/${each}`),
    nonsense.map((each) => `/v1/logins/${each}`),
    fc.constantFrom('/oidc/auth', '/oidc/token', '/oidc/me', '/oidc/logout', '/v1/connections', '/v1/events', '/v1/clients/app'),
  );
  const fields = fc.array(fc.tuple(fc.constantFrom(...parameters), value), { maxLength: 5 });
  return fc.record({
    path,
    method: fc.constantFrom('GET', 'GET', 'POST', 'POST', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'),
    query: fields,
    body: fc.oneof(fields, nonsense),
    type: fc.constantFrom(
      'application/x-www-form-urlencoded',
      'application/json',
      'text/plain',
      'multipart/form-data; boundary=x',
    ),
    more: fc.constantFrom<Record<string, string>>(
      {},
      { 'content-encoding': 'gzip' },
      { 'x-forwarded-for': '::ffff:1.2.3.4, x' },
      { 'accept-language': '__proto__' },
      { origin: 'null' },
    ),
    // Not the key that may write: what it is allowed to do is no nonsense.
    authorization: fc.constantFrom('', 'Bearer x', `Bearer ${bootstrapApiKey}x`, `Basic ${btoa('app:x')}`),
    cookies: fc.boolean(),
  });
};

const formOf = (fields: readonly (readonly [string, string])[]) =>
  fields.map(([name, value]) => `${name}=${encodeURIComponent(value.toWellFormed())}`).join('&');

test('whatever is sent, no answer is a 500, the log has no error, and nothing is stored', async () => {
  const before = await storedState(world.stores.db);
  const cookie = login.browser.cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
  await fc.assert(
    fc.asyncProperty(request(), async ({ path, method, query, body, type, more, authorization, cookies }) => {
      const url = URL.parse(`${world.publicUrl}${path}?${formOf(query)}`);
      if (!url?.href.startsWith(world.publicUrl)) return;
      const text = typeof body === 'string' ? body.toWellFormed() : formOf(body);
      const headers = { 'content-type': type, ...more, ...(authorization && { authorization }), ...(cookies && { cookie }) };
      const hasBody = method !== 'GET' && method !== 'HEAD';
      const init = { method, headers, redirect: 'manual', ...(hasBody && { body: text }) } as const;
      const response = await world.send(url.href, init);
      await response.arrayBuffer();
      expect(response.status).toBeLessThan(500);
    }),
    // The same requests each time: a test that fails by chance helps nobody.
    { numRuns: 1_500, seed: 20_260_304, interruptAfterTimeLimit: 15_000 },
  );
  expect(world.lines.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([]);
  expect(await storedState(world.stores.db)).toEqual(before);
});

test('and afterwards people sign in as before', async () => {
  expect((await logInBySaml(world, saml, { nameId: 'ada', groups: ['design'] })).memberships).toMatchObject([
    { groups: ['design'] },
  ]);
});
