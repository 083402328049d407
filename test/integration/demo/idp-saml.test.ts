import { createRequire } from 'node:module';
import { deflateRawSync } from 'node:zlib';
import { Extractor, IdentityProvider, SamlLib, ServiceProvider, setSchemaValidator } from 'samlify';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CertifiedKey } from '../../../src/demo/certified-key.ts';
import { createDemoIdp, type DemoIdp } from '../../../src/demo/idp.ts';
import { createCertifiedKey } from '../../../src/infra/self-signed-certificate.ts';
import { createHttpBrowser, unescapeHtml, type VisitedPage } from '../../support/http-browser.ts';

const schema: { validate(xml: string): Promise<unknown> } = createRequire(import.meta.url)('@authenio/samlify-xmllint-wasm');

const post = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST';
const acsUrl = 'http://sp.example/acs';

let idp: DemoIdp;
let spKey: CertifiedKey;

beforeAll(async () => {
  setSchemaValidator(schema);
  spKey = await createCertifiedKey({ commonName: 'sp', usage: 'signature', now: new Date(), validDays: 1 });
  idp = await createDemoIdp();
});
afterAll(() => idp.close());

type Signing = 'assertion' | 'response' | 'assertion-and-response';

/** A service provider of samlify's, known to the identity provider. */
function registerSp({
  entityId,
  signing = 'assertion',
  signed = false,
}: {
  entityId: string;
  signing?: Signing;
  signed?: boolean;
}) {
  const sp = ServiceProvider({
    entityID: entityId,
    authnRequestsSigned: signed,
    wantAssertionsSigned: signing !== 'response',
    wantMessageSigned: signing !== 'assertion',
    assertionConsumerService: [{ Binding: post, Location: acsUrl }],
    privateKey: spKey.privateKey,
    signingCert: spKey.certificate,
    requestSignatureAlgorithm: 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
  });
  idp.registerServiceProvider({ metadataXml: sp.getMetadata(), name: 'Test application', signing });
  return sp;
}

const peer = () => IdentityProvider({ metadata: idp.samlMetadataXml });

/** The hidden fields of the form that carries the answer. */
function answerOf(page: VisitedPage) {
  const field = (name: string) => unescapeHtml(page.text.match(new RegExp(`name="${name}" value="([^"]*)"`))?.[1] ?? '');
  return {
    action: page.text.match(/action="([^"]*)"/)?.[1],
    SAMLResponse: field('SAMLResponse'),
    RelayState: field('RelayState'),
  };
}

const decode = (base64: string) => Buffer.from(base64, 'base64').toString('utf8');
const redirectUrl = (xml: string) =>
  `${idp.url}/saml/sso?${new URLSearchParams({ SAMLRequest: deflateRawSync(xml).toString('base64') })}`;
const authnRequest = ({
  issuer,
  acs = acsUrl,
  destination = `${idp.url}/saml/sso`,
}: {
  issuer: string;
  acs?: string;
  destination?: string;
}) =>
  `<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_1" Version="2.0" IssueInstant="2026-01-01T00:00:00Z" Destination="${destination}" AssertionConsumerServiceURL="${acs}"><saml:Issuer>${issuer}</saml:Issuer></samlp:AuthnRequest>`;

describe('demo identity provider, SAML', () => {
  test('publishes metadata with its certificate and both bindings', async () => {
    const page = await createHttpBrowser().open(idp.samlMetadataUrl);
    expect(page.text).toBe(idp.samlMetadataXml);
    expect(page.headers.get('content-type')).toMatch(/^application\/samlmetadata\+xml/);
    expect(peer().entityMeta.getEntityID()).toBe(`${idp.url}/saml/metadata`);
    expect(peer().entityMeta.getSingleSignOnService('redirect')).toBe(`${idp.url}/saml/sso`);
    expect(peer().entityMeta.getSingleSignOnService('post')).toBe(`${idp.url}/saml/sso`);
  });

  test.each(['assertion', 'response', 'assertion-and-response'] as const)(
    'signs the %s so that samlify accepts it',
    async (signing) => {
      const sp = registerSp({ entityId: `http://sp.example/${signing}`, signing });
      const browser = createHttpBrowser();
      const request = sp.createLoginRequest(peer(), 'redirect', { relayState: 'state & more' });
      const answer = answerOf(await browser.submit(await browser.open(request.context), { person: 'devi' }));
      expect(answer).toMatchObject({ action: acsUrl, RelayState: 'state & more' });

      const { extract } = await sp.parseLoginResponse(peer(), 'post', { body: { SAMLResponse: answer.SAMLResponse } });
      expect(extract).toMatchObject({
        nameID: 'devi',
        audience: `http://sp.example/${signing}`,
        response: { destination: acsUrl, inResponseTo: request.id },
        attributes: { email: 'devi@tidewater.example', displayName: 'Devi Raman', groups: ['analysts', 'Marketing Team'] },
      });
      const xml = decode(answer.SAMLResponse);
      expect(xml.match(/<ds:Signature /g)).toHaveLength(signing === 'assertion-and-response' ? 2 : 1);
      expect(/<\/saml:Issuer><ds:Signature[\s\S]*<samlp:Status>/.test(xml)).toBe(signing !== 'assertion');
    },
  );

  test('takes a request by the POST binding', async () => {
    const sp = registerSp({ entityId: 'http://sp.example/post' });
    const request = sp.createLoginRequest(peer(), 'post');
    const response = await fetch(`${idp.url}/saml/sso`, {
      method: 'POST',
      body: new URLSearchParams({ SAMLRequest: request.context }),
    });
    expect(await response.text()).toContain('<b>Test application</b> asks by SAML 2.0');
  });

  test('says with an empty attribute that a person is in no group', async () => {
    const sp = registerSp({ entityId: 'http://sp.example/none' });
    const browser = createHttpBrowser();
    const page = await browser.submit(await browser.open(sp.createLoginRequest(peer(), 'redirect').context), { person: 'emil' });
    const xml = decode(answerOf(page).SAMLResponse);
    expect(xml).toMatch(/<saml:Attribute Name="groups"[^>]*\/>/);
    await expect(
      sp.parseLoginResponse(peer(), 'post', { body: { SAMLResponse: answerOf(page).SAMLResponse } }),
    ).resolves.toBeDefined();
  });

  test('writes names with markup in them as text', async () => {
    const sp = registerSp({ entityId: 'http://sp.example/markup' });
    const group = `R&D <"x"> 'y' Größe 日本`;
    idp.directory.setGroups('chiara', [group, 'b']);
    const browser = createHttpBrowser();
    const page = await browser.submit(await browser.open(sp.createLoginRequest(peer(), 'redirect').context), {
      person: 'chiara',
    });
    const { extract } = await sp.parseLoginResponse(peer(), 'post', { body: { SAMLResponse: answerOf(page).SAMLResponse } });
    expect(extract.attributes).toMatchObject({ groups: [group, 'b'] });
  });

  test('answers each request once', async () => {
    const sp = registerSp({ entityId: 'http://sp.example/once' });
    const browser = createHttpBrowser();
    const login = await browser.open(sp.createLoginRequest(peer(), 'redirect').context);
    expect((await browser.submit(login, { person: 'ada' })).status).toBe(200);
    const again = await browser.submit(login, { person: 'ada' });
    expect(again.status).toBe(400);
    expect(again.text).toContain('This sign-in is over');
  });

  test('sends a signed refusal when the person cancels', async () => {
    const sp = registerSp({ entityId: 'http://sp.example/cancel' });
    const browser = createHttpBrowser();
    const page = await browser.submit(await browser.open(sp.createLoginRequest(peer(), 'redirect').context), { person: '' });
    const xml = decode(answerOf(page).SAMLResponse);
    await expect(schema.validate(xml)).resolves.toBe(true);
    expect(SamlLib.verifySignature(xml, { metadata: peer().entityMeta })[0]).toBe(true);
    expect(Extractor.extract(xml, Extractor.loginResponseStatusFields)).toEqual({
      top: 'urn:oasis:names:tc:SAML:2.0:status:Responder',
      second: 'urn:oasis:names:tc:SAML:2.0:status:AuthnFailed',
    });
  });
});

describe('demo identity provider, SAML requests', () => {
  const known = 'http://sp.example/requests';
  beforeAll(() => {
    registerSp({ entityId: known });
  });

  test('takes a request from a registered sender to a registered address', async () => {
    const page = await createHttpBrowser().open(redirectUrl(authnRequest({ issuer: known })));
    expect(page.status).toBe(200);
    expect(page.text).toContain('Who is signing in?');
  });

  test('takes the address from the metadata when the request names none', async () => {
    const xml = authnRequest({ issuer: known }).replace(/ AssertionConsumerServiceURL="[^"]*"/, '');
    const browser = createHttpBrowser();
    const page = await browser.submit(await browser.open(redirectUrl(xml)), { person: 'ada' });
    expect(answerOf(page).action).toBe(acsUrl);
  });

  test.each([
    [
      'an unregistered sender',
      () => redirectUrl(authnRequest({ issuer: 'http://other.example' })),
      'sender of the request is not registered',
    ],
    [
      'an unregistered address',
      () => redirectUrl(authnRequest({ issuer: known, acs: 'http://evil.example/acs' })),
      'address for the answer is not registered',
    ],
    [
      'another destination',
      () => redirectUrl(authnRequest({ issuer: known, destination: 'http://other.example' })),
      'addressed to another identity provider',
    ],
    ['a DOCTYPE', () => redirectUrl(`<!DOCTYPE x>${authnRequest({ issuer: known })}`), 'carries a DOCTYPE'],
    ['another document', () => redirectUrl('<a/>'), 'is not a SAML AuthnRequest'],
    ['broken XML', () => redirectUrl('<a'), 'The request is not'],
    ['no compression', () => `${idp.url}/saml/sso?SAMLRequest=${Buffer.from('<a/>').toString('base64')}`, 'cannot be unpacked'],
    ['a request that swells', () => redirectUrl(authnRequest({ issuer: known }) + ' '.repeat(1_000_000)), 'cannot be unpacked'],
    ['no request', () => `${idp.url}/saml/sso`, 'cannot be unpacked'],
  ])('refuses %s', async (_name, url, words) => {
    const page = await createHttpBrowser().open(url());
    expect(page.status).toBe(400);
    expect(page.text).toContain(words);
  });

  test.each(['redirect', 'post'] as const)('takes a request signed as the metadata promises, by %s', async (binding) => {
    const sp = registerSp({ entityId: `http://sp.example/signed-${binding}`, signed: true });
    const { url, init } = send(sp, binding);
    expect((await fetch(url, init)).status).toBe(200);
  });

  test.each(['redirect', 'post'] as const)(
    'refuses an unsigned request where the metadata promises a signature, by %s',
    async (binding) => {
      const entityId = `http://sp.example/unsigned-${binding}`;
      registerSp({ entityId, signed: true });
      const xml = authnRequest({ issuer: entityId });
      const response =
        binding === 'redirect'
          ? await fetch(redirectUrl(xml))
          : await fetch(`${idp.url}/saml/sso`, {
              method: 'POST',
              body: new URLSearchParams({ SAMLRequest: Buffer.from(xml).toString('base64') }),
            });
      expect(response.status).toBe(400);
      expect(await response.text()).toContain('not signed with the key');
    },
  );

  test('refuses a redirect whose RelayState was changed after signing', async () => {
    const sp = registerSp({ entityId: 'http://sp.example/changed', signed: true });
    const { url } = send(sp, 'redirect');
    expect((await fetch(url.replace('RelayState=one', 'RelayState=two'))).status).toBe(400);
  });

  /** Signed by samlify, whose own check of the identity provider's wish is satisfied by metadata that demands signatures. */
  function send(sp: ReturnType<typeof ServiceProvider>, binding: 'redirect' | 'post') {
    const demanding = IdentityProvider({
      metadata: idp.samlMetadataXml.replace('WantAuthnRequestsSigned="false"', 'WantAuthnRequestsSigned="true"'),
    });
    const { context } = sp.createLoginRequest(demanding, binding, { relayState: 'one' });
    if (binding === 'redirect') return { url: context, init: {} };
    return {
      url: `${idp.url}/saml/sso`,
      init: { method: 'POST', body: new URLSearchParams({ SAMLRequest: context, RelayState: 'one' }) },
    };
  }
});
