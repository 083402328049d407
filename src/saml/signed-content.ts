import type { KeyObject } from 'node:crypto';
import { decryptAssertion, decryptionFailed } from './decryption.ts';
import { verifyDigest } from './digest.ts';
import { checkBytes } from './limits.ts';
import { rejected } from './rejection.ts';
import { validateSchema } from './schema.ts';
import { readSignature, type SignatureParts, verifySignature } from './signature.ts';
import { type AssertionStructure, readDecryptedStructure, readLoneAssertion, readResponseStructure } from './structure.ts';
import { type OpenXmlDocument, withXmlDocument, type XmlElement, type XmlLimits, type XmlSchema } from './xml-document.ts';

/** Which of the two elements the IdP signed. */
export type SignedBy = 'response' | 'assertion' | 'both';

/** One line of the login's trace. */
export interface PassedCheck {
  readonly name: string;
  readonly section: string;
}

/** What decides whether content is the IdP's. */
export interface Authenticity {
  /** The connection's; any one of them. */
  readonly signatureKeys: readonly KeyObject[];
  readonly decryptionKeys: readonly KeyObject[];
  readonly schema: XmlSchema;
  readonly limits: XmlLimits;
}

export interface SignedContent {
  readonly by: SignedBy;
  /** From the signed bytes if the Response is signed; else from the message as it came, to be checked and not trusted. */
  readonly response: XmlElement;
  /** From the signed bytes. */
  readonly assertion: XmlElement;
  readonly checks: readonly PassedCheck[];
}

/**
 * From bytes that anybody may have sent to the two elements that the checks may read: limits, structure, signatures, digests, schema,
 * and the tree built once more from the bytes that were hashed.
 * @throws BrokerError assertion_rejected; `upstream_denied` for a Status other than Success
 */
export function authenticate(bytes: Buffer, authenticity: Authenticity): SignedContent {
  const { limits } = authenticity;
  checkBytes(bytes, limits);
  const received = withXmlDocument(bytes, limits, (document) => {
    const structure = readResponseStructure(document.root);
    const plain = structure.content.kind === 'plain' ? structure.content : null;
    const responseSigned = structure.responseSignature && readSignature(structure.responseSignature, structure.responseId);
    const assertionSigned = plain?.assertionSignature ? readSignature(plain.assertionSignature, plain.assertionId) : null;
    if (plain && !responseSigned && !assertionSigned) throw unsigned();

    // Both signatures first, on the tree as it came; then the digests, the outer one while the inner signature is still there.
    for (const parts of [responseSigned, assertionSigned]) if (parts) verifySignedInfo(document, parts, authenticity);
    const response = responseSigned && digestedBytes(document, structure.response, structure.responseSignature, responseSigned);
    const assertion =
      plain && assertionSigned && digestedBytes(document, plain.assertion, plain.assertionSignature, assertionSigned);
    if (response) validateSchema(document, structure.response, authenticity.schema);
    else if (plain && assertion) validateSchema(document, plain.assertion, authenticity.schema);
    return { root: document.root, encrypted: plain === null, response, assertion };
  });

  const response = received.response ? readAgain(received.response, limits) : received.root;
  if (received.encrypted) {
    const decrypted = authenticateDecrypted(response, received.response !== null, authenticity);
    const by = received.response === null ? 'assertion' : decrypted.signed ? 'both' : 'response';
    const checks =
      received.response === null
        ? [...steps.shape, steps.decryption, ...steps.proof]
        : [...steps.shape, ...steps.proof, steps.decryption];
    return { by, response, assertion: decrypted.assertion, checks };
  }
  const by = received.response === null ? 'assertion' : received.assertion === null ? 'response' : 'both';
  const assertion = received.assertion
    ? readLoneAssertion(readAgain(received.assertion, limits)).assertion
    : assertionIn(response);
  return { by, response, assertion, checks: [...steps.shape, ...steps.proof] };
}

/**
 * The same for an encrypted assertion.
 * @param response from the signed bytes if the Response is signed: then what is decrypted is what was signed
 */
function authenticateDecrypted(
  response: XmlElement,
  insideSignedResponse: boolean,
  authenticity: Authenticity,
): { readonly assertion: XmlElement; readonly signed: boolean } {
  const { limits, decryptionKeys: keys } = authenticity;
  const { content, responseId } = readResponseStructure(response);
  if (content.kind !== 'encrypted') throw rejected('assertion_missing', 'the Response has no EncryptedAssertion');
  const text = decryptAssertion(content.encryptedAssertion, [response], { keys, insideSignedResponse, limits });

  const decrypted = openDecrypted(text, limits, (document, { assertion, assertionId, assertionSignature }) => {
    if (assertionId === responseId) throw rejected('id_duplicate', 'an ID occurs twice in the message');
    const signed = assertionSignature && readSignature(assertionSignature, assertionId);
    if (!signed && !insideSignedResponse) throw unsigned();
    if (signed) verifySignedInfo(document, signed, authenticity);
    const bytes = signed ? digestedBytes(document, assertion, assertionSignature, signed) : document.canonicalize(assertion, []);
    validateSchema(document, assertion, authenticity.schema);
    return { bytes, signed: signed !== null };
  });
  return { assertion: readLoneAssertion(readAgain(decrypted.bytes, limits)).assertion, signed: decrypted.signed };
}

function openDecrypted<T>(
  text: Buffer,
  limits: XmlLimits,
  use: (document: OpenXmlDocument, structure: AssertionStructure) => T,
): T {
  let opened = false;
  try {
    return withXmlDocument(text, limits, (document) => {
      opened = true;
      return use(document, readDecryptedStructure(document.root));
    });
  } catch (error) {
    throw opened ? error : decryptionFailed(error);
  }
}

function verifySignedInfo(document: OpenXmlDocument, parts: SignatureParts, { signatureKeys }: Authenticity): void {
  verifySignature(parts, document.canonicalize(parts.signedInfo, parts.signedInfoPrefixes), signatureKeys);
}

/** XML Signature 6.6.4, then exclusive canonicalization: takes the signature out of the element and returns the bytes that match its digest. */
function digestedBytes(
  document: OpenXmlDocument,
  element: XmlElement,
  signature: XmlElement | null,
  parts: SignatureParts,
): Buffer {
  if (signature !== null) document.remove(signature);
  const canonical = document.canonicalize(element, parts.contentPrefixes);
  verifyDigest(parts, canonical);
  return canonical;
}

/** Canonical text has a value begin right after `>` or `"`. */
const valuesBeginningWithMark = ['>\ufeff', '"\ufeff'].map((text) => Buffer.from(text));

/** The tree of the very bytes that were hashed: no comment, no CDATA section, no other reading of the message gets in here. */
function readAgain(canonical: Buffer, limits: XmlLimits): XmlElement {
  // libxml2-wasm decodes each string by itself and takes a U+FEFF at its beginning for a byte order mark: two names would become one.
  if (valuesBeginningWithMark.some((mark) => canonical.includes(mark))) {
    throw rejected('byte_order_mark_not_allowed', 'a value begins with the character U+FEFF');
  }
  return withXmlDocument(canonical, limits, ({ root }) => root);
}

function assertionIn(response: XmlElement): XmlElement {
  const { content } = readResponseStructure(response);
  if (content.kind !== 'plain') throw rejected('assertion_missing', 'the Response has no assertion');
  return content.assertion;
}

function unsigned(): Error {
  return rejected('signature_missing', 'neither the Response nor its assertion is signed');
}

const steps = {
  shape: [
    { name: 'checkBytes', section: 'SAML Bindings 3.5.4' },
    { name: 'readResponseStructure', section: 'SAML Core 3.2.2, 5.4' },
  ],
  proof: [
    { name: 'verifySignature', section: 'XML Signature 3.2.2' },
    { name: 'verifyDigest', section: 'XML Signature 3.2.1' },
    { name: 'validateSchema', section: 'SAML Core 1.2' },
  ],
  decryption: { name: 'decryptAssertion', section: 'SAML Core 6; XML Encryption 4.4' },
} as const;
