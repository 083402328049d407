import { BrokerError } from '../domain/broker-error.ts';
import { rejected } from './rejection.ts';
import { ns } from './vocabulary.ts';
import type { XmlElement } from './xml-document.ts';
import { attribute, childNamed, childrenNamed, elementsOf, isNamed } from './xml-reader.ts';

/** Where everything stands in a Response whose shape leaves no choice: one assertion, one place for each signature, unique IDs. */
export interface ResponseStructure {
  readonly response: XmlElement;
  readonly responseId: string;
  readonly responseSignature: XmlElement | null;
  readonly content:
    | ({ readonly kind: 'plain' } & AssertionStructure)
    | { readonly kind: 'encrypted'; readonly encryptedAssertion: XmlElement };
}

export interface AssertionStructure {
  readonly assertion: XmlElement;
  readonly assertionId: string;
  readonly assertionSignature: XmlElement | null;
}

/**
 * Every wrapping attack needs a second assertion, a second element with the same ID, or a signature where none belongs. All three are
 * refused by counting over the whole document, whatever the place (Advice, Extensions, Object, below another assertion).
 * @throws BrokerError assertion_rejected; `upstream_denied` when the message is sound and its Status is not Success
 */
export function readResponseStructure(root: XmlElement): ResponseStructure {
  if (!isNamed(root, ns.samlp, 'Response')) throw rejected('not_a_response', 'the message is not a SAML 2.0 Response');
  const census = takeCensus(root);
  if (census.responses > 1) throw rejected('response_structure_invalid', 'a Response stands inside the Response');
  checkResponseChildren(root);
  const responseId = idOf(root);
  const responseSignature = childNamed(root, ns.ds, 'Signature');

  checkStatus(root);
  if (census.assertions > 1) throw rejected('assertion_multiple', 'the message has more than one assertion');
  const plain = childNamed(root, ns.saml, 'Assertion');
  const encryptedAssertion = childNamed(root, ns.saml, 'EncryptedAssertion');
  const content =
    plain !== null
      ? { kind: 'plain' as const, ...readAssertion(plain) }
      : encryptedAssertion !== null
        ? { kind: 'encrypted' as const, encryptedAssertion }
        : null;
  if (content === null) throw rejected('assertion_missing', 'the Response has no assertion');

  const assertionSignature = content.kind === 'plain' ? content.assertionSignature : null;
  const inTheirPlaces = (responseSignature === null ? 0 : 1) + (assertionSignature === null ? 0 : 1);
  if (census.signatures !== inTheirPlaces) throw rejected('signature_misplaced', 'a Signature stands where none belongs');
  return { response: root, responseId, responseSignature, content };
}

/**
 * The same rules for an assertion that was encrypted.
 * @param root the element that was put around the decrypted text
 */
export function readDecryptedStructure(root: XmlElement): AssertionStructure {
  const [assertion, ...others] = elementsOf(root);
  if (assertion === undefined || others.length > 0 || !isNamed(assertion, ns.saml, 'Assertion')) {
    throw rejected('assertion_missing', 'the EncryptedAssertion does not hold exactly one assertion');
  }
  return readLoneAssertion(assertion, root);
}

/** The same rules for canonical text whose root is the assertion. */
export function readLoneAssertion(assertion: XmlElement, root: XmlElement = assertion): AssertionStructure {
  const census = takeCensus(root);
  if (census.responses > 0) throw rejected('response_structure_invalid', 'a Response stands inside the assertion');
  if (census.assertions > 1) throw rejected('assertion_multiple', 'the message has more than one assertion');
  const structure = readAssertion(assertion);
  if (census.signatures !== (structure.assertionSignature === null ? 0 : 1)) {
    throw rejected('signature_misplaced', 'a Signature stands where none belongs');
  }
  return structure;
}

/** SAML Core 3.2.2: Issuer?, Signature?, Extensions?, Status, then the assertion, in this order. */
const responseChildren = [
  { namespace: ns.saml, names: ['Issuer'] },
  { namespace: ns.ds, names: ['Signature'] },
  { namespace: ns.samlp, names: ['Extensions'] },
  { namespace: ns.samlp, names: ['Status'] },
  { namespace: ns.saml, names: ['Assertion', 'EncryptedAssertion'] },
] as const;

function checkResponseChildren(response: XmlElement): void {
  let place = -1;
  for (const child of elementsOf(response)) {
    const next = responseChildren.findIndex(
      ({ namespace, names }) => child.namespace === namespace && (names as readonly string[]).includes(child.name),
    );
    // Several assertions are told apart from disorder: the census counts them.
    const inOrder = next > place || (next === place && next === responseChildren.length - 1);
    if (!inOrder) {
      throw rejected('response_structure_invalid', 'a child of the Response is unknown, repeated or not in its place');
    }
    place = next;
  }
}

function readAssertion(assertion: XmlElement): AssertionStructure {
  const signatures = childrenNamed(assertion, ns.ds, 'Signature');
  // SAML Core 2.3.3: the Signature follows the Issuer. The schema cannot say so any more once the signature is taken out.
  if (signatures.length > 1 || (signatures[0] !== undefined && assertion.children[1] !== signatures[0])) {
    throw rejected('signature_misplaced', 'a Signature stands where none belongs');
  }
  return { assertion, assertionId: idOf(assertion), assertionSignature: signatures[0] ?? null };
}

/** SAML Core 1.3.4: an xs:ID. */
function idOf(element: XmlElement): string {
  const id = attribute(element, 'ID');
  if (id === null || id.length > 256 || !/^[\p{L}_][\p{L}\p{N}._-]*$/u.test(id)) {
    throw rejected('id_missing', `${element.name} has no valid ID`);
  }
  return id;
}

interface Census {
  responses: number;
  assertions: number;
  signatures: number;
}

/** Counts over the whole tree what may stand in one place only, and refuses IDs that occur twice. */
function takeCensus(root: XmlElement): Readonly<Census> {
  const census: Census = { responses: 0, assertions: 0, signatures: 0 };
  const ids = new Set<string>();
  const visit = (element: XmlElement): void => {
    if (isNamed(element, ns.samlp, 'Response')) census.responses += 1;
    if (isNamed(element, ns.saml, 'Assertion') || isNamed(element, ns.saml, 'EncryptedAssertion')) census.assertions += 1;
    if (isNamed(element, ns.ds, 'Signature')) census.signatures += 1;
    for (const { namespace, name, value } of element.attributes) {
      if ((namespace === '' || namespace === ns.xml) && name.toLowerCase() === 'id') {
        if (ids.has(value)) throw rejected('id_duplicate', 'an ID occurs twice in the message');
        ids.add(value);
      }
      // It asks a validator to load schemas of the sender's choice into the set that all logins share.
      if (namespace === ns.xsi && name.endsWith('chemaLocation')) {
        throw rejected('schema_location_not_allowed', 'the message names schemas of its own (xsi:schemaLocation)');
      }
    }
    for (const child of element.children) visit(child);
  };
  visit(root);
  return census;
}

/** SAML Core 3.2.2.2: the codes whose meaning is defined; what else an IdP says is not repeated. */
const statusReasons: Readonly<Record<string, string>> = Object.fromEntries(
  [
    'Requester',
    'Responder',
    'VersionMismatch',
    'AuthnFailed',
    'InvalidAttrNameOrValue',
    'InvalidNameIDPolicy',
    'NoAuthnContext',
    'NoAvailableIDP',
    'NoPassive',
    'NoSupportedIDP',
    'PartialLogout',
    'ProxyCountExceeded',
    'RequestDenied',
    'RequestUnsupported',
    'RequestVersionDeprecated',
    'RequestVersionTooHigh',
    'RequestVersionTooLow',
    'ResourceNotRecognized',
    'TooManyResponses',
    'UnknownAttrProfile',
    'UnknownPrincipal',
    'UnsupportedBinding',
  ].map((name) => [
    `urn:oasis:names:tc:SAML:2.0:status:${name}`,
    name.replaceAll(/(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g, '_').toLowerCase(),
  ]),
);

/** SAML Core 3.2.2.1. A refusal needs no signature: it gives nothing, and whoever forges one could as well send nothing. */
function checkStatus(response: XmlElement): void {
  const status = childNamed(response, ns.samlp, 'Status');
  const top = status && childNamed(status, ns.samlp, 'StatusCode');
  const value = top && attribute(top, 'Value');
  if (!top || value === null) throw rejected('response_structure_invalid', 'the Response has no Status');
  if (value === 'urn:oasis:names:tc:SAML:2.0:status:Success') return;
  const second = childNamed(top, ns.samlp, 'StatusCode');
  const codes = [second && attribute(second, 'Value'), value];
  const reason = codes.map((code) => (code !== null && Object.hasOwn(statusReasons, code) ? statusReasons[code] : undefined));
  throw new BrokerError('upstream_denied', 'the IdP answered with a status other than Success', {
    reason: reason.find((known) => known !== undefined) ?? 'unknown_status',
  });
}
