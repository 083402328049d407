import { rejected } from './rejection.ts';
import { ns } from './vocabulary.ts';
import type { XmlElement } from './xml-document.ts';
import { attribute, childNamed, childrenNamed, elementsOf, isNamed, textOf, timeAttribute } from './xml-reader.ts';

/** All that the checks and the identity need from an assertion. Times are milliseconds since 1970; null: absent. */
export interface AssertionContent {
  readonly version: string | null;
  readonly id: string;
  readonly issueInstant: number | null;
  readonly issuer: Issuer | null;
  readonly nameId: NameId | null;
  readonly confirmations: readonly SubjectConfirmation[];
  readonly conditions: Conditions | null;
  readonly authnStatements: readonly AuthnStatement[];
  /** In document order; a name may occur twice. */
  readonly attributes: readonly SamlAttribute[];
}

/** What stands on the Response around it. */
export interface ResponseShell {
  readonly version: string | null;
  readonly issueInstant: number | null;
  readonly issuer: Issuer | null;
  readonly destination: string | null;
  readonly inResponseTo: string | null;
}

export interface Issuer {
  readonly value: string;
  readonly format: string | null;
}

export interface NameId {
  readonly value: string;
  readonly format: string | null;
  readonly nameQualifier: string | null;
  readonly spNameQualifier: string | null;
}

export interface SubjectConfirmation {
  readonly method: string | null;
  readonly recipient: string | null;
  readonly inResponseTo: string | null;
  readonly notBefore: number | null;
  readonly notOnOrAfter: number | null;
}

export interface Conditions {
  readonly notBefore: number | null;
  readonly notOnOrAfter: number | null;
  /** One list for each AudienceRestriction. */
  readonly audienceRestrictions: readonly (readonly string[])[];
  /** Whether there is a condition that SAML Core does not define. */
  readonly hasUnknown: boolean;
}

export interface AuthnStatement {
  readonly authnInstant: number | null;
  readonly sessionIndex: string | null;
  readonly sessionNotOnOrAfter: number | null;
}

export interface SamlAttribute {
  readonly name: string;
  /** Null: some value is not text, so that nothing can be said about the list as a whole (R25). */
  readonly values: readonly string[] | null;
}

export function readResponseShell(response: XmlElement): ResponseShell {
  return {
    version: attribute(response, 'Version'),
    issueInstant: timeAttribute(response, 'IssueInstant'),
    issuer: readIssuer(response),
    destination: attribute(response, 'Destination'),
    inResponseTo: attribute(response, 'InResponseTo'),
  };
}

/**
 * @param assertion from the canonical bytes that were hashed
 * @throws BrokerError assertion_rejected for what is there but cannot be read (EncryptedID, EncryptedAttribute)
 */
export function readAssertionContent(assertion: XmlElement): AssertionContent {
  const subject = childNamed(assertion, ns.saml, 'Subject');
  const conditions = childNamed(assertion, ns.saml, 'Conditions');
  return {
    version: attribute(assertion, 'Version'),
    id: attribute(assertion, 'ID') ?? '',
    issueInstant: timeAttribute(assertion, 'IssueInstant'),
    issuer: readIssuer(assertion),
    nameId: subject && readNameId(subject),
    confirmations: subject === null ? [] : childrenNamed(subject, ns.saml, 'SubjectConfirmation').map(readConfirmation),
    conditions: conditions && readConditions(conditions),
    authnStatements: childrenNamed(assertion, ns.saml, 'AuthnStatement').map(readAuthnStatement),
    attributes: childrenNamed(assertion, ns.saml, 'AttributeStatement').flatMap(elementsOf).map(readAttribute),
  };
}

function readIssuer(element: XmlElement): Issuer | null {
  const issuer = childNamed(element, ns.saml, 'Issuer');
  return issuer && { value: textOf(issuer), format: attribute(issuer, 'Format') };
}

function readNameId(subject: XmlElement): NameId | null {
  if (childNamed(subject, ns.saml, 'EncryptedID') !== null) {
    throw rejected('encrypted_id_unsupported', 'the NameID is encrypted; have the IdP encrypt the whole assertion instead');
  }
  const nameId = childNamed(subject, ns.saml, 'NameID');
  return (
    nameId && {
      value: textOf(nameId),
      format: attribute(nameId, 'Format'),
      nameQualifier: attribute(nameId, 'NameQualifier'),
      spNameQualifier: attribute(nameId, 'SPNameQualifier'),
    }
  );
}

function readConfirmation(confirmation: XmlElement): SubjectConfirmation {
  const method = attribute(confirmation, 'Method');
  const data = childNamed(confirmation, ns.saml, 'SubjectConfirmationData');
  if (data === null) return { method, recipient: null, inResponseTo: null, notBefore: null, notOnOrAfter: null };
  return {
    method,
    recipient: attribute(data, 'Recipient'),
    inResponseTo: attribute(data, 'InResponseTo'),
    notBefore: timeAttribute(data, 'NotBefore'),
    notOnOrAfter: timeAttribute(data, 'NotOnOrAfter'),
  };
}

/** Understood: SAML Core 2.5.1.4 to 2.5.1.6. OneTimeUse is met by the replay guard, ProxyRestriction by issuing no assertions. */
const knownConditions: readonly string[] = ['AudienceRestriction', 'OneTimeUse', 'ProxyRestriction'];

function readConditions(conditions: XmlElement): Conditions {
  const restrictions = childrenNamed(conditions, ns.saml, 'AudienceRestriction');
  return {
    notBefore: timeAttribute(conditions, 'NotBefore'),
    notOnOrAfter: timeAttribute(conditions, 'NotOnOrAfter'),
    audienceRestrictions: restrictions.map((restriction) => childrenNamed(restriction, ns.saml, 'Audience').map(textOf)),
    hasUnknown: elementsOf(conditions).some(({ namespace, name }) => namespace !== ns.saml || !knownConditions.includes(name)),
  };
}

function readAuthnStatement(statement: XmlElement): AuthnStatement {
  return {
    authnInstant: timeAttribute(statement, 'AuthnInstant'),
    sessionIndex: attribute(statement, 'SessionIndex'),
    sessionNotOnOrAfter: timeAttribute(statement, 'SessionNotOnOrAfter'),
  };
}

function readAttribute(element: XmlElement): SamlAttribute {
  if (isNamed(element, ns.saml, 'EncryptedAttribute')) {
    throw rejected(
      'encrypted_attribute_unsupported',
      'an attribute is encrypted; have the IdP encrypt the whole assertion instead',
    );
  }
  const name = attribute(element, 'Name');
  if (!isNamed(element, ns.saml, 'Attribute') || name === null) {
    throw rejected('unexpected_content', 'AttributeStatement must hold attributes with names');
  }
  // SAML Core 2.7.3.1.1: xsi:nil is "no value", an empty element is the empty string.
  const values = childrenNamed(element, ns.saml, 'AttributeValue').filter((value) => !isNil(value));
  return { name, values: values.some(({ children }) => children.length > 0) ? null : values.map(textOf) };
}

function isNil(value: XmlElement): boolean {
  return value.attributes.some(
    (candidate) =>
      candidate.namespace === ns.xsi && candidate.name === 'nil' && /^[ \t\r\n]*(true|1)[ \t\r\n]*$/.test(candidate.value),
  );
}
