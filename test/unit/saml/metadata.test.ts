import { IdPMetadata, SPMetadata } from 'samlify';
import { beforeAll, describe, expect, test } from 'vitest';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import { fetchIdpMetadata, parseIdpMetadata, renderSpMetadata } from '../../../src/saml/metadata.ts';
import { createTestKey } from '../../support/saml-keys.ts';

const md = 'urn:oasis:names:tc:SAML:2.0:metadata';
const samlp = 'urn:oasis:names:tc:SAML:2.0:protocol';
const now = new Date('2026-05-01T12:00:00Z');
const maxBytes = 262_144;

const certificates = { first: '', second: '', ecdsa: '', weak: '' };
beforeAll(async () => {
  const [first, second, ecdsa, weak] = await Promise.all([
    createTestKey(),
    createTestKey(),
    createTestKey('P-256'),
    createTestKey('rsa-1024'),
  ]);
  Object.assign(certificates, {
    first: first.certificate,
    second: second.certificate,
    ecdsa: ecdsa.certificate,
    weak: weak.certificate,
  });
});

interface Parts {
  readonly entityAttributes?: string;
  readonly roleAttributes?: string;
  readonly protocols?: string;
  readonly keys?: string;
  readonly services?: string;
  readonly before?: string;
  readonly after?: string;
}

const key = (certificate: string, use = ' use="signing"') =>
  `<KeyDescriptor${use}><ds:KeyInfo><ds:X509Data><ds:X509Certificate>\n${certificate.replaceAll(/(.{64})/g, '$1\r\n  ')}\n</ds:X509Certificate></ds:X509Data></ds:KeyInfo></KeyDescriptor>`;
const service = (binding: string, location: string) =>
  `<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:${binding}" Location="${location}"/>`;
const bothServices = () =>
  service('HTTP-Redirect', 'https://idp.example/sso') + service('HTTP-POST', 'https://idp.example/sso/post');

function entity(parts: Parts = {}): string {
  const { entityAttributes = '', roleAttributes = '', protocols = samlp, before = '', after = '' } = parts;
  const { keys = key(certificates.first), services = bothServices() } = parts;
  return (
    `<EntityDescriptor xmlns="${md}" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="https://idp.example/metadata"${entityAttributes}>${before}` +
    `<IDPSSODescriptor protocolSupportEnumeration="${protocols}"${roleAttributes}>${keys}${services}</IDPSSODescriptor>${after}</EntityDescriptor>`
  );
}

const parse = (xml: string, at = now) => parseIdpMetadata(xml, { maxBytes, now: at });
function reasonOf(xml: string, at = now): string | undefined {
  try {
    parse(xml, at);
    return 'accepted';
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    expect(error.code).toBe('upstream_misconfigured');
    expect(error.message).not.toContain('MII');
    return error.reason;
  }
}

describe('the metadata of an IdP', () => {
  test('gives entity, addresses and certificates', () => {
    expect(parse(entity())).toEqual({
      entityId: 'https://idp.example/metadata',
      singleSignOn: { redirect: 'https://idp.example/sso', post: 'https://idp.example/sso/post' },
      signingCertificates: [certificates.first],
      wantAuthnRequestsSigned: false,
      validUntil: null,
      warnings: [],
    });
  });

  test('reads as samlify reads it', () => {
    const xml = entity({ roleAttributes: ' WantAuthnRequestsSigned="true"' });
    const ours = parse(xml);
    const theirs = IdPMetadata(xml);
    expect(ours.entityId).toBe(theirs.getEntityID());
    expect(ours.wantAuthnRequestsSigned).toBe(theirs.isWantAuthnRequestsSigned());
    expect(ours.singleSignOn.redirect).toBe(theirs.getSingleSignOnService('redirect'));
    expect(ours.singleSignOn.post).toBe(theirs.getSingleSignOnService('post'));
    expect(ours.signingCertificates).toEqual([String(theirs.getX509Certificate('signing')).replaceAll(/\s/g, '')]);
  });

  test('is read behind a byte order mark, an XML declaration of any encoding, comments and other prefixes', () => {
    expect(parse(`\uFEFF<?xml version="1.0" encoding="utf-16"?>\n<!-- Acme -->${entity()}\n`).entityId).toBe(
      'https://idp.example/metadata',
    );
    const prefixed = entity()
      .replaceAll(/<(\/?)([A-Z])/g, '<$1m:$2')
      .replace('xmlns=', 'xmlns:m=');
    expect(parse(prefixed)).toEqual(parse(entity()));
  });

  test('has as signing certificates those for signing and those without a use, each once', () => {
    const { first, second, ecdsa, weak } = certificates;
    const keys = key(first) + key(second, '') + key(ecdsa, ' use="encryption"') + key(first) + key(weak, ' use="encryption"');
    expect(parse(entity({ keys }))).toMatchObject({ signingCertificates: [first, second], warnings: [] });
    expect(parse(entity({ keys: key(ecdsa) })).signingCertificates).toEqual([ecdsa]);
  });

  test('never takes the certificate of another role, or of an extension, for a signing one', () => {
    const { first, second, ecdsa } = certificates;
    const sp = `<SPSSODescriptor protocolSupportEnumeration="${samlp}">${key(second)}<AssertionConsumerService index="0" Binding="b" Location="https://x.example"/></SPSSODescriptor>`;
    const extensions = `<Extensions><IDPSSODescriptor protocolSupportEnumeration="${samlp}">${key(ecdsa)}</IDPSSODescriptor></Extensions>`;
    const foreign = `<x:IDPSSODescriptor xmlns:x="urn:other" protocolSupportEnumeration="${samlp}">${key(ecdsa)}</x:IDPSSODescriptor>`;
    expect(parse(entity({ before: extensions + foreign, after: sp })).signingCertificates).toEqual([first]);
  });

  test('may offer one binding only, and bindings that we do not use', () => {
    const services = service('SOAP', 'https://idp.example/soap') + service('HTTP-POST', 'https://idp.example/post');
    expect(parse(entity({ services })).singleSignOn).toEqual({ redirect: null, post: 'https://idp.example/post' });
  });

  test('may stand alone in a group, beside service providers', () => {
    const sp = `<EntityDescriptor xmlns="${md}" entityID="sp"><SPSSODescriptor protocolSupportEnumeration="${samlp}"/></EntityDescriptor>`;
    const group = `<EntitiesDescriptor xmlns="${md}" validUntil="2027-01-01T00:00:00Z">${sp}${entity({ entityAttributes: ' validUntil="2026-12-01T00:00:00Z"' })}</EntitiesDescriptor>`;
    expect(parse(group)).toMatchObject({
      entityId: 'https://idp.example/metadata',
      validUntil: new Date('2026-12-01T00:00:00Z'),
    });
  });

  test('is told apart by version of the protocol', () => {
    const old = entity({ protocols: 'urn:oasis:names:tc:SAML:1.1:protocol' });
    const both = entity({ protocols: `urn:oasis:names:tc:SAML:1.1:protocol ${samlp}` });
    expect(reasonOf(old)).toBe('metadata_without_saml2');
    expect(reasonOf(both)).toBe('accepted');
  });
});

describe('warnings', () => {
  test('speak of expired and future certificates, which are kept', () => {
    expect(parse(entity(), new Date('2050-01-01'))).toMatchObject({
      signingCertificates: [certificates.first],
      warnings: [{ kind: 'certificate_expired', detail: expect.stringContaining('2044-01-01') }],
    });
    expect(parse(entity(), new Date('2020-01-01')).warnings).toMatchObject([{ kind: 'certificate_not_yet_valid' }]);
  });

  test('speak of weak keys and unreadable certificates, which are left out', () => {
    const parsed = parse(entity({ keys: key(certificates.weak) + key('bm90IGEgY2VydGlmaWNhdGU=') + key(certificates.first) }));
    expect(parsed.signingCertificates).toEqual([certificates.first]);
    expect(parsed.warnings).toMatchObject([
      { kind: 'key_not_accepted', detail: expect.stringContaining('1024 bits') },
      { kind: 'certificate_unreadable' },
    ]);
  });

  test('speak of an address without TLS', () => {
    const { warnings } = parse(entity({ services: service('HTTP-Redirect', 'http://127.0.0.1:4000/sso') }));
    expect(warnings).toMatchObject([{ kind: 'sso_over_http' }]);
  });
});

describe('metadata is refused', () => {
  test.each<readonly [string, () => string, string]>([
    ['that is empty', () => '', 'metadata_invalid'],
    ['that is a web page', () => '<!doctype html><html><body>Sign in</body></html>', 'metadata_doctype'],
    ['that is other XML', () => '<feed xmlns="http://www.w3.org/2005/Atom"/>', 'metadata_invalid'],
    ['in another namespace', () => entity().replace(md, 'urn:other'), 'metadata_invalid'],
    ['that was cut off', () => entity().slice(0, -20), 'metadata_invalid'],
    ['with something behind it', () => `${entity()}<more/>`, 'metadata_invalid'],
    ['with a NUL character', () => entity().replace('Redirect', 'Red\u0000irect'), 'metadata_invalid'],
    ['with a processing instruction', () => `<?php echo 1 ?>${entity()}`, 'metadata_invalid'],
    ['with a document type', () => `<!DOCTYPE EntityDescriptor>${entity()}`, 'metadata_doctype'],
    [
      'with an entity',
      () => `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>${entity({ after: '&e;' })}`,
      'metadata_doctype',
    ],
    ['with a document type in other case', () => `<!doctype x>${entity()}`, 'metadata_doctype'],
    ['with an entity that nobody declared', () => entity({ after: '&e;' }), 'metadata_invalid'],
    ['that is too large', () => entity({ after: `<!--${'x'.repeat(maxBytes)}-->` }), 'metadata_too_large'],
    ['with too many elements', () => entity({ after: '<a/>'.repeat(5_001) }), 'metadata_too_large'],
    [
      'with too many attributes',
      () => entity({ after: `<a ${Array.from({ length: 40 }, (_, i) => `a${i}=""`).join(' ')}/>` }),
      'metadata_too_large',
    ],
    ['that is too deep', () => entity({ after: '<a>'.repeat(60) + '</a>'.repeat(60) }), 'metadata_too_large'],
    ['without an entityID', () => entity().replace(/ entityID="[^"]*"/, ''), 'metadata_invalid'],
    ['with an empty entityID', () => entity().replace(/ entityID="[^"]*"/, ' entityID=""'), 'metadata_invalid'],
    ['with an overlong entityID', () => entity().replace('idp.example/metadata', 'x'.repeat(1_024)), 'metadata_invalid'],
    ['of a service provider', () => ownMetadata(), 'metadata_is_sp'],
    ['of neither', () => `<EntityDescriptor xmlns="${md}" entityID="x"/>`, 'metadata_without_idp'],
    [
      'of several IdPs',
      () => `<EntitiesDescriptor xmlns="${md}">${entity()}${entity()}</EntitiesDescriptor>`,
      'metadata_several_idps',
    ],
    [
      'of groups in a group',
      () => `<EntitiesDescriptor xmlns="${md}"><EntitiesDescriptor>${entity()}</EntitiesDescriptor></EntitiesDescriptor>`,
      'metadata_several_idps',
    ],
    [
      'with the role twice',
      () => entity({ after: /<IDPSSO.*Descriptor>/s.exec(entity())?.[0].replace('</EntityDescriptor>', '') ?? '' }),
      'metadata_several_idps',
    ],
    ['without certificates', () => entity({ keys: '' }), 'metadata_without_certificate'],
    [
      'with certificates for encryption only',
      () => entity({ keys: key(certificates.first, ' use="encryption"') }),
      'metadata_without_certificate',
    ],
    ['with weak keys only', () => entity({ keys: key(certificates.weak) }), 'metadata_key_not_accepted'],
    ['with broken certificates only', () => entity({ keys: key('bm90IGEgY2VydA==') }), 'metadata_certificate_invalid'],
    [
      'with something else than base64 as certificate',
      () => entity({ keys: key('-----BEGIN CERTIFICATE-----') }),
      'metadata_certificate_invalid',
    ],
    [
      'with very many certificates',
      () => entity({ keys: Array.from({ length: 17 }, (_, i) => key(`AAA${String.fromCharCode(65 + i)}`)).join('') }),
      'metadata_too_many_certificates',
    ],
    ['without single sign-on', () => entity({ services: '' }), 'metadata_without_sso'],
    ['with other bindings only', () => entity({ services: service('SOAP', 'https://idp.example/soap') }), 'metadata_without_sso'],
    [
      'with a script as address',
      () => entity({ services: service('HTTP-Redirect', 'javascript:alert(1)') }),
      'metadata_sso_location_invalid',
    ],
    ['with a relative address', () => entity({ services: service('HTTP-POST', '/sso') }), 'metadata_sso_location_invalid'],
    ['with a validity that is no time', () => entity({ entityAttributes: ' validUntil="soon"' }), 'metadata_invalid'],
  ])('%s', (_, xml, reason) => {
    expect(reasonOf(xml())).toBe(reason);
    expect(reasonOf(entity())).toBe('accepted');
  });

  test.each([
    ['entity', (validUntil: string) => entity({ entityAttributes: validUntil })],
    ['role', (validUntil: string) => entity({ roleAttributes: validUntil })],
    ['group', (validUntil: string) => `<EntitiesDescriptor xmlns="${md}"${validUntil}>${entity()}</EntitiesDescriptor>`],
  ])('after the end of its validity: %s', (_, document) => {
    expect(reasonOf(document(' validUntil="2026-05-01T12:00:00Z"'))).toBe('metadata_expired');
    expect(reasonOf(document(' validUntil="2026-05-01T13:59:59.5+02:00"'))).toBe('metadata_expired');
    expect(reasonOf(document(' validUntil="2026-05-01T12:00:01Z"'))).toBe('accepted');
  });

  // A reader with quadratic cost does not come to the end of these before the test's own time limit.
  test('however hostile its shape', () => {
    const hostile = [
      entity({ after: '<a/>'.repeat(60_000) }),
      entity({ keys: '<KeyDescriptor/>'.repeat(15_000) }),
      entity({ after: `<a ${Array.from({ length: 20_000 }, (_, i) => `a${i}=""`).join(' ')}/>` }),
    ];
    expect(hostile.map((xml) => reasonOf(xml))).toEqual(hostile.map(() => 'metadata_too_large'));
    const unclosed = [entity({ after: '<a>'.repeat(50_000) }), entity({ after: '<'.repeat(200_000) })];
    expect(unclosed.map((xml) => reasonOf(xml))).toEqual(unclosed.map(() => 'metadata_invalid'));
  });
});

function ownMetadata(): string {
  return renderSpMetadata({
    entityId: 'https://broker.example/saml/c1/metadata?a=1&b="<2>"',
    acsUrl: 'https://broker.example/saml/c1/acs?x=1&y=2',
    signingCertificate: pem(certificates.first),
    encryptionCertificate: pem(certificates.second),
    wantAssertionsSigned: true,
  });
}

const pem = (base64: string) =>
  `-----BEGIN CERTIFICATE-----\n${base64.replaceAll(/(.{64})/g, '$1\n')}\n-----END CERTIFICATE-----\n`;

describe('our own metadata', () => {
  test('shows the certificate that signs, and during a rotation the next one behind it', () => {
    const base = {
      entityId: 'sp',
      acsUrl: 'https://broker.example/acs',
      wantAssertionsSigned: true,
      encryptionCertificate: null,
    };
    const signing = { ...base, signingCertificate: pem(certificates.first) };
    const shown = (xml: string) => SPMetadata(xml).getX509Certificate('signing');
    expect(shown(renderSpMetadata(signing))).toBe(certificates.first);
    const rotating = renderSpMetadata({ ...signing, nextSigningCertificates: [pem(certificates.second)] });
    expect(shown(rotating)).toEqual([certificates.first, certificates.second]);
  });

  test('is read by samlify, with every value unharmed', () => {
    const sp = SPMetadata(ownMetadata());
    expect(sp.getEntityID()).toBe('https://broker.example/saml/c1/metadata?a=1&b="<2>"');
    expect(sp.getAssertionConsumerService('post')).toBe('https://broker.example/saml/c1/acs?x=1&y=2');
    expect(sp.isWantAssertionsSigned()).toBe(true);
    expect(sp.isAuthnRequestSigned()).toBe(true);
    expect(sp.getX509Certificate('signing')).toBe(certificates.first);
    expect(sp.getX509Certificate('encryption')).toBe(certificates.second);
  });

  test('has its elements in the order of the schema', () => {
    const names = [...ownMetadata().matchAll(/<(md:\w+)/g)].map(([, name]) => name);
    expect(names).toEqual([
      'md:EntityDescriptor',
      'md:SPSSODescriptor',
      'md:KeyDescriptor',
      'md:KeyDescriptor',
      'md:EncryptionMethod',
      'md:EncryptionMethod',
      'md:EncryptionMethod',
      'md:AssertionConsumerService',
    ]);
  });

  test('promises no signature and no encryption without the certificates', () => {
    const xml = renderSpMetadata({
      entityId: 'e',
      acsUrl: 'https://a.example',
      signingCertificate: null,
      encryptionCertificate: null,
      wantAssertionsSigned: true,
    });
    expect(SPMetadata(xml).isAuthnRequestSigned()).toBe(false);
    expect(xml).not.toContain('KeyDescriptor');
  });
});

describe('metadata from an address', () => {
  const answering = (status: number, body: string | Buffer) => ({
    request: async () => ({ status, headers: {}, body: Buffer.from(body) }),
  });
  const url = 'https://idp.example/metadata';

  test('is the text as sent', async () => {
    await expect(fetchIdpMetadata({ outbound: answering(200, `\uFEFF${entity()}`), url, maxBytes })).resolves.toBe(entity());
  });

  test.each([
    [404, '', 'upstream_misconfigured', 'metadata_http_404'],
    [503, '', 'upstream_unavailable', 'metadata_http_503'],
    [200, Buffer.from([0xff, 0xfe, 0x3c, 0x00]), 'upstream_misconfigured', 'metadata_invalid'],
  ])('that answers %i is refused', async (status, body, code, reason) => {
    await expect(fetchIdpMetadata({ outbound: answering(status, body), url, maxBytes })).rejects.toMatchObject({ code, reason });
  });

  test('passes on why the address could not be reached', async () => {
    const refused = new BrokerError('upstream_unavailable', 'blocked', { reason: 'blocked_address' });
    const outbound = { request: () => Promise.reject(refused) };
    await expect(fetchIdpMetadata({ outbound, url, maxBytes })).rejects.toBe(refused);
  });
});
