import { createVerify, X509Certificate } from 'node:crypto';
import { inflateRawSync } from 'node:zlib';
import { IdentityProvider, ServiceProvider, setSchemaValidator } from 'samlify';
import { beforeAll, describe, expect, test } from 'vitest';
import { SignedXml } from 'xml-crypto';
import { type AuthnRequestInput, createAuthnRequest } from '../../../src/saml/authn-request.ts';
import { type IdpMetadata, renderSpMetadata } from '../../../src/saml/metadata.ts';
import { createTestKey, type TestKey } from '../../support/saml-keys.ts';
import { validateSamlMessage as validate } from '../../support/saml-xsd.ts';

const spEntityId = 'https://broker.example/saml/c1/metadata?a=1&b="<2>"';
const acsUrl = 'https://broker.example/saml/c1/acs?x=1&y=2';
const relayState = 'abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE';
const now = new Date('2026-05-01T12:00:00.123Z');

let key: TestKey;
let signingKey: NonNullable<AuthnRequestInput['signingKey']>;
beforeAll(async () => {
  setSchemaValidator({ validate });
  key = await createTestKey();
  const certificate = `-----BEGIN CERTIFICATE-----\n${key.certificate.replaceAll(/(.{64})/g, '$1\n')}\n-----END CERTIFICATE-----\n`;
  signingKey = { privateKey: key.privateKey, certificate };
});

const idp = (changes: Partial<IdpMetadata> = {}): IdpMetadata => ({
  entityId: 'https://idp.example/metadata',
  singleSignOn: { redirect: 'https://idp.example/sso', post: 'https://idp.example/sso/post' },
  signingCertificates: [],
  wantAuthnRequestsSigned: false,
  validUntil: null,
  warnings: [],
  ...changes,
});

type Changes = Partial<Omit<AuthnRequestInput, 'settings'>> & { readonly settings?: Partial<AuthnRequestInput['settings']> };

function request({ settings, ...changes }: Changes = {}) {
  return createAuthnRequest({
    settings: { signAuthnRequests: false, authnRequestBinding: 'redirect', nameIdFormat: null, ...settings },
    idp: idp(),
    spEntityId,
    acsUrl,
    relayState,
    forceAuthn: false,
    signingKey: null,
    now,
    ...changes,
  });
}

function redirectQuery({ action }: ReturnType<typeof request>): { url: URL; xml: string } {
  if (action.kind !== 'redirect') throw new Error('not a redirect');
  const url = new URL(action.url);
  return { url, xml: inflateRawSync(Buffer.from(url.searchParams.get('SAMLRequest') ?? '', 'base64')).toString('utf8') };
}

function postedXml({ action }: ReturnType<typeof request>): string {
  if (action.kind !== 'post') throw new Error('not a form');
  return Buffer.from(action.fields.SAMLRequest ?? '', 'base64').toString('utf8');
}

/** samlify in the part of the IdP, knowing us by the metadata that we publish. */
function samlifyIdp(wantSigned: boolean) {
  const sp = ServiceProvider({
    metadata: renderSpMetadata({
      entityId: spEntityId,
      acsUrl,
      signingCertificate: signingKey.certificate,
      encryptionCertificate: null,
      wantAssertionsSigned: true,
    }),
  });
  const theIdp = IdentityProvider({
    entityID: 'https://idp.example/metadata',
    wantAuthnRequestsSigned: wantSigned,
    singleSignOnService: [
      { Binding: 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect', Location: 'https://idp.example/sso' },
      { Binding: 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST', Location: 'https://idp.example/sso/post' },
    ],
    singleLogoutService: [{ Binding: 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect', Location: 'https://idp.example/slo' }],
  });
  return { sp, idp: theIdp };
}

describe('an AuthnRequest', () => {
  test('says who asks, where the answer goes, and when', async () => {
    const made = request();
    const { url, xml } = redirectQuery(made);
    expect(url.origin + url.pathname).toBe('https://idp.example/sso');
    expect(url.searchParams.get('RelayState')).toBe(relayState);
    expect(url.searchParams.has('Signature')).toBe(false);
    await expect(validate(xml)).resolves.toBe(true);
    const { idp: reader, sp } = samlifyIdp(false);
    const { extract } = await reader.parseLoginRequest(sp, 'redirect', {
      query: { SAMLRequest: url.searchParams.get('SAMLRequest') },
    });
    expect(extract).toMatchObject({
      request: {
        id: made.requestId,
        issueInstant: '2026-05-01T12:00:00.123Z',
        destination: 'https://idp.example/sso',
        assertionConsumerServiceUrl: acsUrl,
      },
      issuer: spEntityId,
      nameIDPolicy: { allowCreate: 'true' },
    });
    expect(xml).toContain('ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"');
    expect(xml).not.toContain('ForceAuthn');
  });

  test('has an ID that is an NCName and never the same', () => {
    const ids = Array.from({ length: 100 }, () => request().requestId);
    expect(new Set(ids).size).toBe(100);
    for (const id of ids) expect(id).toMatch(/^_[0-9a-f]{40}$/);
  });

  test('asks for a new authentication and a name format when told to', async () => {
    const { xml } = redirectQuery(
      request({ forceAuthn: true, settings: { nameIdFormat: 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress' } }),
    );
    await expect(validate(xml)).resolves.toBe(true);
    expect(xml).toContain(' ForceAuthn="true" ');
    expect(xml).toContain('Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"');
    expect(xml).toContain('AllowCreate="true"');
    const transient = redirectQuery(
      request({ settings: { nameIdFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient' } }),
    );
    expect(transient.xml).not.toContain('AllowCreate');
  });

  test('keeps what the address of the IdP has as its query', () => {
    const { url } = redirectQuery(
      request({ idp: idp({ singleSignOn: { redirect: 'https://idp.example/sso?idpid=C01#top', post: null } }) }),
    );
    expect(url.href).toMatch(/^https:\/\/idp\.example\/sso\?idpid=C01&SAMLRequest=/);
  });

  test.each([
    ['redirect', 'post'],
    ['post', 'redirect'],
  ] as const)('goes by %s if the IdP does not offer %s', (offered, preferred) => {
    const singleSignOn = { redirect: null, post: null, [offered]: 'https://idp.example/only' };
    const made = request({ idp: idp({ singleSignOn }), settings: { authnRequestBinding: preferred } });
    expect(made.action).toMatchObject({ kind: offered, url: expect.stringContaining('https://idp.example/only') });
  });

  test('refuses a RelayState that the bindings do not allow', () => {
    expect(() => request({ relayState: 'x'.repeat(81) })).toThrow('80 bytes');
    expect(redirectQuery(request({ relayState: 'x'.repeat(80) })).url.searchParams.get('RelayState')).toHaveLength(80);
  });

  test('cannot be signed without a key', () => {
    const wanted = { settings: { signAuthnRequests: true } };
    expect(() => request(wanted)).toThrow(
      expect.objectContaining({ code: 'upstream_misconfigured', reason: 'signing_key_missing' }),
    );
    expect(redirectQuery(request({ ...wanted, signingKey })).url.searchParams.has('Signature')).toBe(true);
  });
});

describe('a signed AuthnRequest by redirect', () => {
  test.each([
    ['the connection wants it', { signAuthnRequests: true }, {}],
    ['the IdP wants it', { signAuthnRequests: false }, { wantAuthnRequestsSigned: true }],
  ])('is signed over the very text of the address: %s', (_, settings, metadata) => {
    const { action } = request({ settings, idp: idp(metadata), signingKey });
    const raw = action.url.slice(action.url.indexOf('?') + 1);
    const [signed = '', encodedSignature = ''] = raw.split('&Signature=');
    // SAML Bindings 3.4.4.1: the order is fixed.
    expect(signed).toMatch(
      /^SAMLRequest=[^&]+&RelayState=[^&]+&SigAlg=http%3A%2F%2Fwww\.w3\.org%2F2001%2F04%2Fxmldsig-more%23rsa-sha256$/,
    );
    const signature = Buffer.from(decodeURIComponent(encodedSignature), 'base64');
    const verifies = (text: string) => createVerify('sha256').update(text).verify(key.publicKey, signature);
    expect(verifies(signed)).toBe(true);
    expect(verifies(signed.replace(relayState, 'another'))).toBe(false);
  });

  test('is accepted by samlify as the IdP, and a changed one is not', async () => {
    const { url } = redirectQuery(request({ settings: { signAuthnRequests: true }, signingKey }));
    const { idp: reader, sp } = samlifyIdp(true);
    const query = Object.fromEntries(url.searchParams);
    const octetString = url.search.slice(1).replace(/&Signature=.*$/, '');
    const parsed = await reader.parseLoginRequest(sp, 'redirect', { query, octetString });
    expect(parsed.extract.issuer).toBe(spEntityId);
    await expect(
      reader.parseLoginRequest(sp, 'redirect', { query, octetString: octetString.replace('RelayState=a', 'RelayState=b') }),
    ).rejects.toThrow(/SIGNATURE/);
  });
});

describe('a signed AuthnRequest by POST', () => {
  const signed = () => request({ settings: { signAuthnRequests: true, authnRequestBinding: 'post' }, signingKey });

  test('is valid, with the signature after the issuer', async () => {
    const made = signed();
    const xml = postedXml(made);
    await expect(validate(xml)).resolves.toBe(true);
    expect(xml.indexOf('<ds:Signature')).toBe(xml.indexOf('</saml:Issuer>') + '</saml:Issuer>'.length);
    expect(made.action).toMatchObject({ kind: 'post', url: 'https://idp.example/sso/post', fields: { RelayState: relayState } });
    expect(xml).toContain('Destination="https://idp.example/sso/post"');
  });

  test('verifies by xml-crypto over exactly the request, and a changed one does not', () => {
    const made = signed();
    const xml = postedXml(made);
    const verify = (text: string): string[] => {
      const verifier = new SignedXml({ publicCert: key.publicKey.export({ format: 'pem', type: 'spki' }).toString() });
      verifier.loadSignature(/<ds:Signature .*<\/ds:Signature>/s.exec(text)?.[0] ?? '');
      return verifier.checkSignature(text) ? verifier.getSignedReferences() : [];
    };
    expect(verify(xml)).toEqual([xml.replace(/<ds:Signature .*<\/ds:Signature>/s, '')]);
    const changed = xml.replace('broker.example/saml/c1/acs', 'evil.example/saml/c1/acs');
    expect(() => {
      if (verify(changed).length === 0) throw new Error('refused');
    }).toThrow();
  });

  test('is accepted by samlify as the IdP, and a changed one is not', async () => {
    const { idp: reader, sp } = samlifyIdp(true);
    const { action } = signed();
    if (action.kind !== 'post') throw new Error('not a form');
    const parsed = await reader.parseLoginRequest(sp, 'post', { body: action.fields });
    expect(parsed.extract).toMatchObject({ issuer: spEntityId, request: { assertionConsumerServiceUrl: acsUrl } });
    const changed = Buffer.from(postedXml(signed()).replace('broker.example/saml/c1/acs', 'evil.example/acs')).toString('base64');
    await expect(reader.parseLoginRequest(sp, 'post', { body: { SAMLRequest: changed } })).rejects.toThrow(/SIGNATURE/);
  });

  test('carries the certificate of its key', () => {
    const body = /<ds:X509Certificate>([^<]+)</.exec(postedXml(signed()))?.[1] ?? '';
    expect(new X509Certificate(Buffer.from(body, 'base64')).checkPrivateKey(key.privateKey)).toBe(true);
  });

  test('is sent unsigned when nobody wants it signed', async () => {
    const xml = postedXml(request({ settings: { authnRequestBinding: 'post' }, signingKey }));
    await expect(validate(xml)).resolves.toBe(true);
    expect(xml).not.toContain('Signature');
  });
});
