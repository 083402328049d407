import { Constants, type IdentityProviderInstance, SamlLib, ServiceProvider } from 'samlify';
import { type Html, html, renderHtml } from '../http/html.ts';
import { uniqueId } from '../infra/unique-id.ts';
import { type CertifiedKey, certificateContent } from './certified-key.ts';
import type { Person } from './people.ts';

/** What the identity provider signs: either is enough for SAML, and many products can be told to do both. */
export type SamlSigning = 'assertion' | 'response' | 'assertion-and-response';

/** Where an answer goes and what it answers. */
export interface AnswerTo {
  readonly spEntityId: string;
  readonly acsUrl: string;
  readonly requestId: string;
}

const { namespace, algorithms } = Constants;
const validSeconds = 300;

/** A signed Response with one assertion about `person`, in base64, as the form carries it. samlify signs. */
export async function createSamlResponse(options: {
  readonly idp: IdentityProviderInstance;
  readonly to: AnswerTo;
  readonly person: Person;
  readonly signing: SamlSigning;
  readonly now: Date;
}): Promise<string> {
  const { idp, to, person, signing, now } = options;
  const issuer = idp.entityMeta.getEntityID();
  const sp = ServiceProvider({
    entityID: to.spEntityId,
    wantAssertionsSigned: signing !== 'response',
    wantMessageSigned: signing !== 'assertion',
    assertionConsumerService: [{ Binding: namespace.binding.post, Location: to.acsUrl }],
  });
  const status = html`<samlp:StatusCode Value="${namespace.statusCode.success}"/>`;
  const context = responseXml({ issuer, to, now, status, assertion: assertionXml({ issuer, to, person, now }) });
  const answer = await idp.createLoginResponse(
    sp,
    { extract: {} },
    'post',
    {},
    { customTagReplacement: () => ({ id: '', context }) },
  );
  return answer.context;
}

/** A signed Response that says that nobody signed in (SAML Core 3.2.2.2). */
export function createSamlRefusal(options: {
  readonly issuer: string;
  readonly key: CertifiedKey;
  readonly to: AnswerTo;
  readonly now: Date;
}): string {
  const { issuer, key, to, now } = options;
  const { responder, authFailed } = namespace.statusCode;
  const status = html`<samlp:StatusCode Value="${responder}"><samlp:StatusCode Value="${authFailed}"/></samlp:StatusCode>`;
  return SamlLib.constructSAMLSignature({
    rawSamlMessage: responseXml({ issuer, to, now, status }),
    isMessageSigned: true,
    privateKey: key.privateKey,
    signingCert: certificateContent(key.certificate),
    signatureAlgorithm: algorithms.signature.RSA_SHA256,
    signatureConfig: { prefix: 'ds', location: { reference: "/*/*[local-name(.)='Issuer']", action: 'after' } },
  });
}

function responseXml({
  issuer,
  to,
  now,
  status,
  assertion,
}: {
  issuer: string;
  to: AnswerTo;
  now: Date;
  status: Html;
  assertion?: Html;
}): string {
  return renderHtml(
    html`<samlp:Response xmlns:samlp="${namespace.names.protocol}" xmlns:saml="${namespace.names.assertion}" ID="_${uniqueId(now)}" Version="2.0" IssueInstant="${now.toISOString()}" Destination="${to.acsUrl}" InResponseTo="${to.requestId}"><saml:Issuer>${issuer}</saml:Issuer><samlp:Status>${status}</samlp:Status>${assertion}</samlp:Response>`,
  );
}

function assertionXml({ issuer, to, person, now }: { issuer: string; to: AnswerTo; person: Person; now: Date }): Html {
  const instant = now.toISOString();
  const until = new Date(now.getTime() + validSeconds * 1000).toISOString();
  return html`<saml:Assertion ID="_${uniqueId(now)}" Version="2.0" IssueInstant="${instant}"><saml:Issuer>${issuer}</saml:Issuer>
<saml:Subject><saml:NameID Format="${namespace.format.persistent}">${person.id}</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="${until}" Recipient="${to.acsUrl}" InResponseTo="${to.requestId}"/></saml:SubjectConfirmation></saml:Subject>
<saml:Conditions NotBefore="${instant}" NotOnOrAfter="${until}"><saml:AudienceRestriction><saml:Audience>${to.spEntityId}</saml:Audience></saml:AudienceRestriction></saml:Conditions>
<saml:AuthnStatement AuthnInstant="${instant}" SessionIndex="_${uniqueId(now)}"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>
<saml:AttributeStatement>
${attributeXml('email', [person.email])}
${attributeXml('displayName', [person.name])}
${attributeXml('groups', person.groups)}
</saml:AttributeStatement>
</saml:Assertion>`;
}

// SAML Core 2.7.3.1: an attribute without values says "none", which is not the same as leaving the attribute out.
function attributeXml(name: string, values: readonly string[]): Html {
  return html`<saml:Attribute Name="${name}" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic">${values.map(
    (value) => html`<saml:AttributeValue>${value}</saml:AttributeValue>`,
  )}</saml:Attribute>`;
}
