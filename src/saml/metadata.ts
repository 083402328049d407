import { BrokerError } from '../domain/broker-error.ts';
import type { OutboundHttp } from '../infra/outbound-http.ts';
import { checkBytes, treeLimits } from './limits.ts';
import { type MetadataWarning, readCertificates } from './metadata-certificates.ts';
import { ns } from './vocabulary.ts';
import { withXmlDocument, type XmlElement } from './xml-document.ts';
import { attribute, isNamed } from './xml-reader.ts';

export { renderSpMetadata } from './sp-metadata.ts';

/** What a connection needs to know of its IdP. */
export interface IdpMetadata {
  readonly entityId: string;
  readonly singleSignOn: { readonly redirect: string | null; readonly post: string | null };
  /** Base64 DER without line breaks, in the order of the document; every one of them may sign. */
  readonly signingCertificates: readonly string[];
  readonly wantAuthnRequestsSigned: boolean;
  readonly validUntil: Date | null;
  readonly warnings: readonly MetadataWarning[];
}

/**
 * Reads the metadata of one IdP (SAML Metadata 2.4.3), as pasted or fetched. Whoever may write a connection is trusted with its content,
 * not with the time of the process: size and shape are bounded before a parser sees the text. A signature on the metadata is not looked
 * at; a pasted text is vouched for by who pasted it, a fetched one by the server's certificate.
 * @throws BrokerError `upstream_misconfigured` with a reason `metadata_*` and what to do in its detail
 */
export function parseIdpMetadata(xml: string, { maxBytes, now }: { readonly maxBytes: number; readonly now: Date }): IdpMetadata {
  const { entity, group } = onlyIdp(readDocument(xml, maxBytes));
  const role = onlyRole(entity);
  const validUntil = earliest([group, entity, role].map((element) => (element === null ? null : time(element, 'validUntil'))));
  if (validUntil !== null && validUntil <= now) {
    throw misconfigured('the metadata is no longer valid (validUntil); fetch a new copy from the IdP', 'metadata_expired');
  }
  const { certificates, warnings } = readCertificates(signingCertificates(role), now);
  const singleSignOn = { redirect: location(role, 'HTTP-Redirect'), post: location(role, 'HTTP-POST') };
  const addresses = Object.values(singleSignOn).filter((address) => address !== null);
  if (addresses.length === 0) {
    const detail =
      'the IdP offers single sign-on neither by the Redirect nor by the POST binding; switch one of them on at the IdP';
    throw misconfigured(detail, 'metadata_without_sso');
  }
  const overHttp = addresses.some((address) => address.startsWith('http:'));
  const httpWarning: MetadataWarning = { kind: 'sso_over_http', detail: 'the single sign-on address of the IdP is not https' };
  return {
    entityId: entityIdOf(entity),
    singleSignOn,
    signingCertificates: certificates,
    wantAuthnRequestsSigned: /^(true|1)$/.test(attribute(role, 'WantAuthnRequestsSigned')?.trim() ?? ''),
    validUntil,
    warnings: overHttp ? [...warnings, httpWarning] : warnings,
  };
}

/**
 * Fetches metadata from its address; redirects are followed and checked by the outbound client.
 * @returns the text, for `parseIdpMetadata` and to be stored
 */
export async function fetchIdpMetadata(options: {
  readonly outbound: Pick<OutboundHttp, 'request'>;
  readonly url: string;
  readonly maxBytes: number;
}): Promise<string> {
  const { status, body } = await options.outbound.request(options.url, {
    headers: { accept: 'application/samlmetadata+xml, application/xml, text/xml' },
    maxResponseBytes: options.maxBytes,
    followRedirects: true,
  });
  if (status !== 200) {
    const code = status >= 500 || status === 429 ? 'upstream_unavailable' : 'upstream_misconfigured';
    throw new BrokerError(code, `the metadata address answered with status ${status}`, { reason: `metadata_http_${status}` });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch (cause) {
    throw misconfigured('the metadata is not UTF-8; convert it and paste it', 'metadata_invalid', cause);
  }
}

const metadataNamespace = 'urn:oasis:names:tc:SAML:2.0:metadata';

/** The largest metadata of one IdP that is known (AD FS with all its claims) has under 1,500 elements. */
const limits = treeLimits(5_000);

/**
 * The tree, by the same parser and rules as a response: no document type, no processing instruction, bounded in every direction. The XML
 * declaration is taken off: a pasted text has left the encoding that it declares behind. (samlify's reader needs 9 s for 9,000 siblings.)
 */
function readDocument(xml: string, maxBytes: number): XmlElement {
  if (Buffer.byteLength(xml) > maxBytes) {
    throw misconfigured(`the metadata is larger than ${maxBytes} bytes; give the document of this one IdP`, 'metadata_too_large');
  }
  const bytes = Buffer.from(
    xml
      .replace(/^\uFEFF/, '')
      .trimStart()
      .replace(/^<\?xml\s[^?]*\?>\s*/, ''),
  );
  try {
    checkBytes(bytes, limits);
    return withXmlDocument(bytes, limits, ({ root }) => root);
  } catch (error) {
    throw error instanceof BrokerError && error.code === 'assertion_rejected' ? unreadable(error) : error;
  }
}

function unreadable(cause: BrokerError): BrokerError {
  const { reason = '' } = cause;
  if (reason === 'doctype_not_allowed')
    return misconfigured('the metadata has a document type; remove it', 'metadata_doctype', cause);
  if (reason.startsWith('xml_too_')) {
    const detail = 'the metadata has too many elements or attributes; give the document of this one IdP';
    return misconfigured(detail, 'metadata_too_large', cause);
  }
  return misconfigured(
    'the metadata is not well-formed XML; copy the whole document that the IdP offers',
    'metadata_invalid',
    cause,
  );
}

const children = (element: XmlElement, name: string) =>
  element.children.filter((child) => isNamed(child, metadataNamespace, name));

/** The one IdP of the document, which may be a group of entities as long as only one of them is an IdP. */
function onlyIdp(root: XmlElement): { entity: XmlElement; group: XmlElement | null } {
  if (isNamed(root, metadataNamespace, 'EntityDescriptor')) {
    if (children(root, 'IDPSSODescriptor').length === 0) throw withoutIdp([root]);
    return { entity: root, group: null };
  }
  if (!isNamed(root, metadataNamespace, 'EntitiesDescriptor')) {
    throw misconfigured(
      'this is not SAML 2.0 metadata; copy the XML document that the IdP offers as its metadata',
      'metadata_invalid',
    );
  }
  const entities = children(root, 'EntityDescriptor');
  const [entity, ...others] = entities.filter((candidate) => children(candidate, 'IDPSSODescriptor').length > 0);
  if (others.length > 0 || children(root, 'EntitiesDescriptor').length > 0) {
    const detail =
      'the metadata describes several identity providers; give the document of the one entity that this connection is for';
    throw misconfigured(detail, 'metadata_several_idps');
  }
  if (entity === undefined) throw withoutIdp(entities);
  return { entity, group: root };
}

function withoutIdp(entities: readonly XmlElement[]): BrokerError {
  if (entities.some((entity) => children(entity, 'SPSSODescriptor').length > 0)) {
    const detail = 'this is the metadata of a service provider, perhaps our own; take the metadata of the identity provider';
    return misconfigured(detail, 'metadata_is_sp');
  }
  return misconfigured('the metadata describes no identity provider (IDPSSODescriptor)', 'metadata_without_idp');
}

/** SAML Metadata 2.2.1: an absolute URI of at most 1024 characters; not every IdP keeps to the first. */
function entityIdOf(entity: XmlElement): string {
  const entityId = attribute(entity, 'entityID') ?? '';
  if (entityId.trim() === entityId && entityId.length >= 1 && entityId.length <= 1024) return entityId;
  throw misconfigured('the metadata has no acceptable entityID', 'metadata_invalid');
}

/** An entity may have a role of the same kind for each version of the protocol (SAML Metadata 2.4.1). */
function onlyRole(entity: XmlElement): XmlElement {
  const roles = children(entity, 'IDPSSODescriptor');
  const [role, ...others] = roles.filter((candidate) =>
    attribute(candidate, 'protocolSupportEnumeration')?.split(/\s+/).includes(ns.samlp),
  );
  if (role === undefined) throw misconfigured('the identity provider does not speak SAML 2.0', 'metadata_without_saml2');
  if (others.length > 0) throw misconfigured('the metadata describes the identity provider twice', 'metadata_several_idps');
  return role;
}

/** SAML Metadata 2.4.1.1: without `use` a key is for both purposes. */
function signingCertificates(role: XmlElement): readonly string[] {
  const below = (elements: readonly XmlElement[], name: string) =>
    elements.flatMap((element) => element.children.filter((child) => isNamed(child, ns.ds, name)));
  const signing = children(role, 'KeyDescriptor').filter((key) => (attribute(key, 'use') ?? 'signing') === 'signing');
  return below(below(below(signing, 'KeyInfo'), 'X509Data'), 'X509Certificate').map(({ text }) => text);
}

/** The browser is sent there: nothing but http and https (no `javascript:`). */
function location(role: XmlElement, binding: 'HTTP-Redirect' | 'HTTP-POST'): string | null {
  const uri = `urn:oasis:names:tc:SAML:2.0:bindings:${binding}`;
  const service = children(role, 'SingleSignOnService').find((candidate) => attribute(candidate, 'Binding') === uri);
  if (service === undefined) return null;
  const url = URL.parse(attribute(service, 'Location') ?? '');
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url.href;
  throw misconfigured(
    `the single sign-on address for ${binding} is not an http or https address`,
    'metadata_sso_location_invalid',
  );
}

/** xs:dateTime; SAML Core 1.3.3 has all times in UTC. */
function time(element: XmlElement, name: string): Date | null {
  const value = attribute(element, name);
  if (value === null) return null;
  const parts = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(\.\d+)?(Z|[+-]\d{2}:\d{2})?$/.exec(value.trim());
  const date = new Date(parts ? `${parts[1]}${parts[3] ?? 'Z'}` : Number.NaN);
  if (Number.isNaN(date.getTime())) throw misconfigured(`${name} in the metadata is not a time`, 'metadata_invalid');
  return date;
}

function earliest(times: readonly (Date | null)[]): Date | null {
  return times.reduce((first, date) => (first === null || (date !== null && date < first) ? date : first), null);
}

function misconfigured(detail: string, reason: string, cause?: unknown): BrokerError {
  return new BrokerError('upstream_misconfigured', detail, { reason, ...(cause !== undefined && { cause }) });
}
