import { createHash, type KeyObject, randomBytes, sign } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { BrokerError } from '../domain/broker-error.ts';
import type { SamlSettings } from '../domain/connection.ts';
import type { IdpMetadata } from './metadata.ts';
import { certificateBody } from './sp-metadata.ts';
import { nameIdFormats, ns } from './vocabulary.ts';
import { xmlAttribute, xmlText } from './xml-text.ts';

export interface AuthnRequest {
  /** What `InResponseTo` of the answer must name. */
  readonly requestId: string;
  readonly action:
    | { readonly kind: 'redirect'; readonly url: string }
    | { readonly kind: 'post'; readonly url: string; readonly fields: Readonly<Record<string, string>> };
}

export interface AuthnRequestInput {
  readonly settings: Pick<SamlSettings, 'signAuthnRequests' | 'authnRequestBinding' | 'nameIdFormat'>;
  readonly idp: IdpMetadata;
  readonly spEntityId: string;
  readonly acsUrl: string;
  readonly relayState: string;
  readonly forceAuthn: boolean;
  /** RSA; the certificate as PEM. */
  readonly signingKey: { readonly privateKey: KeyObject; readonly certificate: string } | null;
  readonly now: Date;
}

const rsaSha256 = 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256';
const postBinding = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST';

/**
 * The message that sends a browser to the IdP (SAML Core 3.4.1), by the binding that the connection prefers, or by the other if the IdP
 * offers only that. Signed if the connection or the IdP's metadata wants it.
 * @throws BrokerError `upstream_misconfigured` with `signing_key_missing`
 */
export function createAuthnRequest(input: AuthnRequestInput): AuthnRequest {
  const { idp, settings, relayState } = input;
  // SAML Bindings 3.4.3, 3.5.3.
  if (Buffer.byteLength(relayState) > 80) throw new BrokerError('internal', 'RelayState is longer than 80 bytes');
  const signingKey = settings.signAuthnRequests || idp.wantAuthnRequestsSigned ? requireKey(input) : null;
  const { binding, url } = chooseEndpoint(input);
  // SAML Core 1.3.4: unguessable, and an NCName, which must not begin with a digit.
  const requestId = `_${randomBytes(20).toString('hex')}`;
  const fields = { RelayState: relayState };
  if (binding === 'post') {
    const xml = renderRequest(input, { requestId, url }, signingKey);
    return { requestId, action: { kind: 'post', url, fields: { SAMLRequest: Buffer.from(xml).toString('base64'), ...fields } } };
  }
  const xml = renderRequest(input, { requestId, url }, null);
  return { requestId, action: { kind: 'redirect', url: redirectUrl(url, { SAMLRequest: deflate(xml), ...fields }, signingKey) } };
}

type SigningKey = NonNullable<AuthnRequestInput['signingKey']>;

function requireKey({ signingKey }: AuthnRequestInput): SigningKey {
  if (signingKey) return signingKey;
  throw new BrokerError('upstream_misconfigured', 'the IdP wants signed requests, but there is no key to sign with', {
    reason: 'signing_key_missing',
  });
}

function chooseEndpoint({ idp, settings }: AuthnRequestInput): { binding: 'redirect' | 'post'; url: string } {
  const preferred = settings.authnRequestBinding;
  const other = preferred === 'redirect' ? 'post' : 'redirect';
  for (const binding of [preferred, other] as const) {
    const url = idp.singleSignOn[binding];
    if (url !== null) return { binding, url };
  }
  throw new BrokerError('upstream_misconfigured', 'the IdP has no single sign-on address', { reason: 'metadata_without_sso' });
}

/**
 * SAML Bindings 3.4.4.1: the signature covers `SAMLRequest`, `RelayState` and `SigAlg` in this order, exactly as they stand in the address.
 * What the IdP's address had as its query stays in front.
 */
function redirectUrl(address: string, fields: Readonly<Record<string, string>>, signingKey: SigningKey | null): string {
  const encode = (pairs: Readonly<Record<string, string>>) =>
    Object.entries(pairs)
      .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
      .join('&');
  const url = new URL(address);
  url.hash = '';
  const unsigned = encode(signingKey ? { ...fields, SigAlg: rsaSha256 } : fields);
  const signature = signingKey && sign('sha256', Buffer.from(unsigned), signingKey.privateKey).toString('base64');
  const query = signature ? `${unsigned}&${encode({ Signature: signature })}` : unsigned;
  return `${url.href}${url.search ? '&' : '?'}${query}`;
}

/** SAML Bindings 3.4.4.1: raw DEFLATE, base64. */
function deflate(xml: string): string {
  return deflateRawSync(xml).toString('base64');
}

/**
 * The request in the form that exclusive canonicalization would give it: namespaces declared where they are first used, attributes in
 * order, no empty-element tags. Hence the digest is taken over the very text, and no canonicalizer runs.
 */
function renderRequest(
  input: AuthnRequestInput,
  { requestId, url }: { requestId: string; url: string },
  signingKey: SigningKey | null,
): string {
  const { acsUrl, spEntityId, forceAuthn, settings, now } = input;
  const attributes = Object.entries({
    AssertionConsumerServiceURL: acsUrl,
    Destination: url,
    ...(forceAuthn && { ForceAuthn: 'true' }),
    ID: requestId,
    IssueInstant: now.toISOString(),
    ProtocolBinding: postBinding,
    Version: '2.0',
  });
  const head = `<samlp:AuthnRequest xmlns:samlp="${ns.samlp}" ${attributes.map(([name, value]) => `${name}="${xmlAttribute(value)}"`).join(' ')}>`;
  const issuer = `<saml:Issuer xmlns:saml="${ns.saml}">${xmlText(spEntityId)}</saml:Issuer>`;
  const rest = `${nameIdPolicy(settings.nameIdFormat)}</samlp:AuthnRequest>`;
  if (!signingKey) return `${head}${issuer}${rest}`;
  // SAML Core 3.2.1: the signature follows the issuer.
  return `${head}${issuer}${envelopedSignature(requestId, `${head}${issuer}${rest}`, signingKey)}${rest}`;
}

/** SAML Core 3.4.1.1; AllowCreate has no meaning for a transient name. */
function nameIdPolicy(format: string | null): string {
  const allowCreate = format === nameIdFormats.transient ? '' : ' AllowCreate="true"';
  return `<samlp:NameIDPolicy${allowCreate}${format === null ? '' : ` Format="${xmlAttribute(format)}"`}></samlp:NameIDPolicy>`;
}

const exclusive = ns.exclusiveC14n;

/** SAML Core 5.4: enveloped signature by reference to the request's ID; `signed` is the request without it, in canonical form. */
function envelopedSignature(requestId: string, signed: string, { privateKey, certificate }: SigningKey): string {
  const digest = createHash('sha256').update(signed).digest('base64');
  const signedInfo = [
    `<ds:SignedInfo xmlns:ds="${ns.ds}">`,
    `<ds:CanonicalizationMethod Algorithm="${exclusive}"></ds:CanonicalizationMethod>`,
    `<ds:SignatureMethod Algorithm="${rsaSha256}"></ds:SignatureMethod>`,
    `<ds:Reference URI="#${requestId}"><ds:Transforms>`,
    `<ds:Transform Algorithm="${ns.ds}enveloped-signature"></ds:Transform><ds:Transform Algorithm="${exclusive}"></ds:Transform>`,
    `</ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod>`,
    `<ds:DigestValue>${digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>`,
  ].join('');
  const signature = sign('sha256', Buffer.from(signedInfo), privateKey).toString('base64');
  const keyInfo = `<ds:KeyInfo><ds:X509Data><ds:X509Certificate>${certificateBody(certificate)}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`;
  return `<ds:Signature xmlns:ds="${ns.ds}">${signedInfo}<ds:SignatureValue>${signature}</ds:SignatureValue>${keyInfo}</ds:Signature>`;
}
