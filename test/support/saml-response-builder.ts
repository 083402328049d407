import { createHash, type KeyObject, randomBytes, sign } from 'node:crypto';
import { type EncryptionOptions, encryptAssertion } from './saml-encryption.ts';

/**
 * An IdP in a few lines: it writes exclusive canonical XML directly, so that signing takes a hash and a signature and no XML library.
 * Every part can be edited before and after it is signed, which is how the attacks are made.
 */
export interface SamlSigner {
  /** A Response, base64 as the POST binding carries it. */
  respond(options: RespondOptions): string;
  /** The same as XML. */
  respondXml(options: RespondOptions): string;
}

export interface SamlSignerOptions {
  readonly privateKey: KeyObject;
  /** Base64 DER; goes into KeyInfo. */
  readonly certificate: string;
  readonly entityId: string;
}

export interface RespondOptions {
  readonly acsUrl: string;
  readonly audience: string;
  readonly inResponseTo: string;
  readonly nameId: string;
  readonly attributes: Readonly<Record<string, readonly string[]>>;
  readonly now: Date;
  /** Default: `assertion`. */
  readonly signed?: 'assertion' | 'response' | 'both' | 'none';
  readonly nameIdFormat?: string;
  /** Writes `xsi:type="xs:string"` at each value and lists `xs` in InclusiveNamespaces, as OpenSAML and Okta do. */
  readonly typedValues?: boolean;
  readonly validSeconds?: number;
  readonly signature?: SignatureOptions;
  readonly encrypt?: EncryptionOptions;
  readonly edit?: Edits;
}

export interface SignatureOptions {
  /** Default: RSA or ECDSA with SHA-256, as the key is. */
  readonly method?: string;
  readonly digestMethod?: string;
  readonly key?: KeyObject;
  /** Makes the signature itself; default: `node:crypto` by the method. */
  readonly sign?: (signedInfo: Buffer) => Buffer;
  readonly keyInfo?: string;
}

type Edit = (xml: string) => string;

/** In the order in which they happen. Before a signature the text must stay canonical. */
export interface Edits {
  readonly assertion?: Edit;
  /** SignedInfo, as it is signed: canonical, with its namespace. */
  readonly signedInfo?: Edit;
  readonly signedAssertion?: Edit;
  readonly response?: Edit;
  readonly message?: Edit;
}

const dsig = 'http://www.w3.org/2000/09/xmldsig#';
const exclusiveC14n = 'http://www.w3.org/2001/10/xml-exc-c14n#';
const more = 'http://www.w3.org/2001/04/xmldsig-more#';
const xenc = 'http://www.w3.org/2001/04/xmlenc#';
const assertionNs = 'urn:oasis:names:tc:SAML:2.0:assertion';

export function createSamlSigner({ privateKey, certificate, entityId }: SamlSignerOptions): SamlSigner {
  const keyInfo = `<ds:KeyInfo><ds:X509Data><ds:X509Certificate>${certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`;
  const issuer = (declaration = '') => `<saml:Issuer${declaration}>${text(entityId)}</saml:Issuer>`;

  function respondXml(options: RespondOptions): string {
    const { signed = 'assertion', edit = {}, encrypt } = options;
    const signature = { key: privateKey, keyInfo, ...options.signature };
    const issued = instant(options.now);

    let assertion = (edit.assertion ?? same)(assertionXml(options, issuer(), issued));
    if (signed === 'assertion' || signed === 'both') assertion = insertSignature(assertion, options, signature);
    assertion = (edit.signedAssertion ?? same)(assertion);
    if (encrypt) assertion = encryptAssertion(assertion, encrypt);

    const opening = `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" Destination="${attribute(options.acsUrl)}" ID="${id()}" InResponseTo="${attribute(options.inResponseTo)}" IssueInstant="${issued}" Version="2.0">`;
    const status =
      '<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>';
    let response = `${opening}${issuer(` xmlns:saml="${assertionNs}"`)}${status}${assertion}</samlp:Response>`;
    response = (edit.response ?? same)(response);
    if (signed === 'response' || signed === 'both') response = insertSignature(response, options, signature);
    return (edit.message ?? same)(response);
  }

  return { respondXml, respond: (options) => Buffer.from(respondXml(options)).toString('base64') };
}

/** Canonical text: namespaces before attributes, both in alphabetical order, nothing abbreviated. */
function assertionXml(options: RespondOptions, issuer: string, issued: string): string {
  const { acsUrl, audience, inResponseTo, nameId, attributes, now, typedValues = false, validSeconds = 300 } = options;
  const format = options.nameIdFormat ?? 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress';
  const until = instant(new Date(now.getTime() + validSeconds * 1000));
  const from = instant(new Date(now.getTime() - 60_000));
  const valueStart = typedValues
    ? '<saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">'
    : '<saml:AttributeValue>';
  const statements = Object.entries(attributes).map(
    ([name, values]) =>
      `<saml:Attribute Name="${attribute(name)}" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic">${values
        .map((value) => `${valueStart}${text(value)}</saml:AttributeValue>`)
        .join('')}</saml:Attribute>`,
  );
  return [
    `<saml:Assertion xmlns:saml="${assertionNs}" ID="${id()}" IssueInstant="${issued}" Version="2.0">${issuer}`,
    `<saml:Subject><saml:NameID Format="${attribute(format)}">${text(nameId)}</saml:NameID>`,
    '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">',
    `<saml:SubjectConfirmationData InResponseTo="${attribute(inResponseTo)}" NotOnOrAfter="${until}" Recipient="${attribute(acsUrl)}"></saml:SubjectConfirmationData>`,
    `</saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="${from}" NotOnOrAfter="${until}">`,
    `<saml:AudienceRestriction><saml:Audience>${text(audience)}</saml:Audience></saml:AudienceRestriction></saml:Conditions>`,
    `<saml:AuthnStatement AuthnInstant="${issued}" SessionIndex="${id()}"><saml:AuthnContext><saml:AuthnContextClassRef>`,
    'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>',
    statements.length === 0 ? '' : `<saml:AttributeStatement>${statements.join('')}</saml:AttributeStatement>`,
    '</saml:Assertion>',
  ].join('');
}

/** Signs the element and puts the signature behind its Issuer. */
function insertSignature(
  element: string,
  { edit, typedValues }: RespondOptions,
  options: SignatureOptions & { readonly key: KeyObject; readonly keyInfo: string },
): string {
  const signature = signatureXml(element, options, { edit: edit?.signedInfo, prefixList: typedValues ? 'xs' : '' });
  return element.replace(/^<[^>]*>(<saml:Issuer[^>]*>[^<]*<\/saml:Issuer>)?/, (start) => start + signature);
}

/** An enveloped signature over canonical text. */
export function signatureXml(
  canonical: string,
  options: SignatureOptions & { readonly key: KeyObject },
  { edit = same, prefixList = '' }: { readonly edit?: Edit | undefined; readonly prefixList?: string } = {},
): string {
  const { key, keyInfo = '', method = defaultMethod(key), digestMethod = `${xenc}sha256` } = options;
  const elementId = / ID="([^"]*)"/.exec(canonical)?.[1] ?? '';
  const inclusive =
    prefixList && `<ec:InclusiveNamespaces xmlns:ec="${exclusiveC14n}" PrefixList="${prefixList}"></ec:InclusiveNamespaces>`;
  const digest = createHash(hashOf(digestMethod)).update(canonical).digest('base64');
  const signedInfo = edit(
    `<ds:SignedInfo xmlns:ds="${dsig}"><ds:CanonicalizationMethod Algorithm="${exclusiveC14n}"></ds:CanonicalizationMethod>` +
      `<ds:SignatureMethod Algorithm="${method}"></ds:SignatureMethod><ds:Reference URI="#${elementId}"><ds:Transforms>` +
      `<ds:Transform Algorithm="${dsig}enveloped-signature"></ds:Transform><ds:Transform Algorithm="${exclusiveC14n}">${inclusive}</ds:Transform>` +
      `</ds:Transforms><ds:DigestMethod Algorithm="${digestMethod}"></ds:DigestMethod><ds:DigestValue>${digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>`,
  );
  const makeValue =
    options.sign ??
    ((bytes) => sign(hashOf(method), bytes, key.asymmetricKeyType === 'ec' ? { key, dsaEncoding: 'ieee-p1363' } : key));
  const value = makeValue(Buffer.from(signedInfo)).toString('base64');
  const inside = signedInfo.replace(` xmlns:ds="${dsig}"`, '');
  return `<ds:Signature xmlns:ds="${dsig}">${inside}<ds:SignatureValue>${value}</ds:SignatureValue>${keyInfo}</ds:Signature>`;
}

function defaultMethod(key: KeyObject): string {
  return `${more}${key.asymmetricKeyType === 'ec' ? 'ecdsa' : 'rsa'}-sha256`;
}

function hashOf(algorithm: string): string {
  return /sha(1|224|256|384|512)$/.exec(algorithm)?.[0] ?? 'sha256';
}

const same: Edit = (xml) => xml;

/** SAML Core 1.3.4: never twice. */
function id(): string {
  return `_${randomBytes(16).toString('hex')}`;
}

function instant(time: Date): string {
  return time.toISOString();
}

/** Canonical XML 1.0 2.3: character data. */
export function text(value: string): string {
  return /[&<>\r]/.test(value)
    ? value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('\r', '&#xD;')
    : value;
}

/** Canonical XML 1.0 2.3: attribute values. */
export function attribute(value: string): string {
  return value
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('"', '&quot;')
    .replaceAll(/[\t\n\r]/g, (character) => `&#x${character.charCodeAt(0).toString(16).toUpperCase()};`);
}
