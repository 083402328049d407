import { inflateRawSync } from 'node:zlib';
import { unescapeHtml } from './http-browser.ts';
import { createTestKey, type TestKey } from './saml-keys.ts';
import { createSamlSigner, type RespondOptions } from './saml-response-builder.ts';

/** What the broker sent to a SAML IdP. */
export interface SamlRequest {
  readonly requestId: string;
  readonly acsUrl: string;
  readonly spEntityId: string;
  readonly relayState: string;
  readonly destination: string;
  /** The person is to be asked anew. */
  readonly forceAuthn: boolean;
}

/** Somebody at a SAML IdP. */
export interface SamlPerson {
  readonly nameId: string;
  readonly email?: string;
  readonly name?: string;
  /** Absent: no groups attribute at all. Empty: an attribute without values. */
  readonly groups?: readonly string[];
  readonly attributes?: Readonly<Record<string, readonly string[]>>;
}

export interface SamlIdp {
  readonly entityId: string;
  readonly key: TestKey;
  /** Where its pages are; the browser's POST comes from there. */
  readonly origin: string;
  readonly metadata: string;
  /** The form that the IdP has the browser send to the broker. */
  answer(
    request: SamlRequest,
    person: SamlPerson,
    changes?: Partial<RespondOptions>,
  ): { readonly SAMLResponse: string; readonly RelayState: string };
}

export async function createSamlIdp({ entityId, origin }: { entityId: string; origin: string }): Promise<SamlIdp> {
  const key = await createTestKey();
  const signer = createSamlSigner({ ...key, entityId });
  return {
    entityId,
    key,
    origin,
    metadata: samlMetadata({ entityId, origin, certificate: key.certificate }),
    answer({ acsUrl, spEntityId, requestId, relayState }, person, changes = {}) {
      const SAMLResponse = signer.respond({
        acsUrl,
        audience: spEntityId,
        inResponseTo: requestId,
        nameId: person.nameId,
        attributes: attributesOf(person),
        now: new Date(),
        ...changes,
      });
      return { SAMLResponse, RelayState: relayState };
    },
  };
}

function attributesOf({ email, name, groups, attributes }: SamlPerson): Record<string, readonly string[]> {
  return {
    ...(email !== undefined && { email: [email] }),
    ...(name !== undefined && { displayName: [name] }),
    ...(groups !== undefined && { groups }),
    ...attributes,
  };
}

/** @param certificate base64 DER; null: metadata without any */
export function samlMetadata(idp: {
  readonly entityId: string;
  readonly origin: string;
  readonly certificate: string | null;
}): string {
  const key =
    idp.certificate === null
      ? ''
      : `<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>${idp.certificate}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`;
  const service = (binding: string) =>
    `<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-${binding}" Location="${idp.origin}/sso"/>`;
  return (
    `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="${idp.entityId}">` +
    `<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">${key}` +
    `${service('Redirect')}${service('POST')}</IDPSSODescriptor></EntityDescriptor>`
  );
}

/** Reads an AuthnRequest by the Redirect binding (an address) or the POST binding (a page that sends itself). */
export function samlRequestIn({ leadsTo, text }: { readonly leadsTo: string | null; readonly text: string }): SamlRequest {
  const query = leadsTo === null ? null : new URL(leadsTo).searchParams;
  const field = (name: string) => {
    const value = query === null ? fieldIn(text, name) : query.get(name);
    if (value === null)
      throw new Error(`the browser was not sent to a SAML IdP: no ${name} in ${leadsTo ?? text.slice(0, 2_000)}`);
    return value;
  };
  const encoded = Buffer.from(field('SAMLRequest'), 'base64');
  const xml = (query === null ? encoded : inflateRawSync(encoded)).toString('utf8');
  const find = (pattern: RegExp) => pattern.exec(xml)?.[1] ?? '';
  return {
    requestId: find(/\bID="([^"]+)"/),
    acsUrl: find(/AssertionConsumerServiceURL="([^"]+)"/),
    destination: find(/Destination="([^"]+)"/),
    forceAuthn: find(/ForceAuthn="([^"]+)"/) === 'true',
    spEntityId: find(/<(?:\w+:)?Issuer[^>]*>([^<]+)</),
    relayState: field('RelayState'),
  };
}

function fieldIn(page: string, name: string): string | null {
  const value = new RegExp(`<input type="hidden" name="${name}" value="([^"]*)">`).exec(page)?.[1];
  return value === undefined ? null : unescapeHtml(value);
}
