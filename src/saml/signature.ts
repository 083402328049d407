import { type KeyObject, verify } from 'node:crypto';
import { decodeBase64 } from './limits.ts';
import { type RejectionReason, rejected } from './rejection.ts';
import { ns } from './vocabulary.ts';
import type { XmlElement } from './xml-document.ts';
import { attribute, elementsOf, isNamed, textOf } from './xml-reader.ts';

/** A Signature of the one shape that SAML Core 5.4 leaves, with its algorithms looked up in the allow-lists. */
export interface SignatureParts {
  readonly signedInfo: XmlElement;
  /** PrefixList for the canonical form of SignedInfo. */
  readonly signedInfoPrefixes: readonly string[];
  readonly algorithm: SignatureAlgorithm;
  readonly value: Buffer;
  readonly digestHash: string;
  readonly digestValue: Buffer;
  /** PrefixList for the canonical form of what is signed. */
  readonly contentPrefixes: readonly string[];
}

interface SignatureAlgorithm {
  readonly keyType: 'rsa' | 'ec';
  readonly hash: string;
}

const signatureAlgorithms: ReadonlyMap<string, SignatureAlgorithm> = new Map([
  ['http://www.w3.org/2001/04/xmldsig-more#rsa-sha256', { keyType: 'rsa', hash: 'sha256' }],
  ['http://www.w3.org/2001/04/xmldsig-more#rsa-sha384', { keyType: 'rsa', hash: 'sha384' }],
  ['http://www.w3.org/2001/04/xmldsig-more#rsa-sha512', { keyType: 'rsa', hash: 'sha512' }],
  ['http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256', { keyType: 'ec', hash: 'sha256' }],
  ['http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384', { keyType: 'ec', hash: 'sha384' }],
  ['http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512', { keyType: 'ec', hash: 'sha512' }],
]);

const digestHashes: ReadonlyMap<string, string> = new Map([
  ['http://www.w3.org/2001/04/xmlenc#sha256', 'sha256'],
  ['http://www.w3.org/2001/04/xmldsig-more#sha384', 'sha384'],
  ['http://www.w3.org/2001/04/xmlenc#sha512', 'sha512'],
]);

/** Exclusive XML Canonicalization 1.0, without comments. */
const exclusiveC14n = ns.exclusiveC14n;
const envelopedSignature = 'http://www.w3.org/2000/09/xmldsig#enveloped-signature';

/**
 * Reads a Signature whose one Reference must name its own parent.
 * @param parentId ID of the element that the Signature is a child of
 * @throws BrokerError assertion_rejected
 */
export function readSignature(signature: XmlElement, parentId: string): SignatureParts {
  const [signedInfo, signatureValue, keyInfo, ...rest] = elementsOf(signature);
  const sound =
    isDs(signedInfo, 'SignedInfo') &&
    isDs(signatureValue, 'SignatureValue') &&
    (keyInfo === undefined || isDs(keyInfo, 'KeyInfo'));
  // An Object is where wrapping attacks keep what was once signed. KeyInfo may stand there and is not read: the keys are the connection's.
  if (!sound || rest.length > 0) throw malformed('Signature must hold SignedInfo, SignatureValue and at most one KeyInfo');

  const [canonicalization, method, reference, ...references] = elementsOf(signedInfo);
  if (!isDs(canonicalization, 'CanonicalizationMethod') || !isDs(method, 'SignatureMethod') || !isDs(reference, 'Reference')) {
    throw malformed('SignedInfo must hold CanonicalizationMethod, SignatureMethod and Reference');
  }
  if (references.length > 0) throw rejected('signature_reference_invalid', 'SignedInfo must hold exactly one Reference');
  if (attribute(canonicalization, 'Algorithm') !== exclusiveC14n) {
    throw rejected('signature_canonicalization_not_allowed', 'SignedInfo must be canonicalized exclusively, without comments');
  }
  const algorithm = signatureAlgorithms.get(algorithmOf(method, 'signature_algorithm_not_allowed'));
  if (algorithm === undefined) {
    throw rejected('signature_algorithm_not_allowed', 'the signature must be RSA or ECDSA with SHA-256, SHA-384 or SHA-512');
  }
  return {
    signedInfo,
    signedInfoPrefixes: inclusivePrefixes(canonicalization),
    algorithm,
    value: base64Of(signatureValue),
    ...readReference(reference, parentId),
  };
}

/**
 * XML Signature 3.2.2. Any one of the connection's keys may have made the signature; a key in KeyInfo is nobody's word.
 * @param canonicalSignedInfo the bytes that were signed
 * @throws BrokerError assertion_rejected `signature_invalid`
 */
export function verifySignature(parts: SignatureParts, canonicalSignedInfo: Buffer, keys: readonly KeyObject[]): void {
  const { keyType, hash } = parts.algorithm;
  const verifies = (key: KeyObject): boolean =>
    key.asymmetricKeyType === keyType &&
    // XML Signature 6.4.3: r and s as they are, without ASN.1. A bare RSA key is the faster call.
    verify(hash, canonicalSignedInfo, keyType === 'ec' ? { key, dsaEncoding: 'ieee-p1363' } : key, parts.value);
  if (!keys.some(verifies)) throw rejected('signature_invalid', 'no certificate of the connection verifies the signature');
}

function readReference(
  reference: XmlElement,
  parentId: string,
): Pick<SignatureParts, 'digestHash' | 'digestValue' | 'contentPrefixes'> {
  // SAML Core 5.4.2: a same-document reference to the ID of the very element that is signed.
  if (attribute(reference, 'URI') !== `#${parentId}`) {
    throw rejected('signature_reference_invalid', 'the signature does not refer to the element it stands in');
  }
  const [transforms, method, value, ...rest] = elementsOf(reference);
  if (!isDs(transforms, 'Transforms') || !isDs(method, 'DigestMethod') || !isDs(value, 'DigestValue') || rest.length > 0) {
    throw malformed('Reference must hold Transforms, DigestMethod and DigestValue');
  }
  // SAML Core 5.4.4 allows these two; the profile here demands them, in the order in which every IdP writes them.
  const [enveloped, exclusive, ...others] = elementsOf(transforms);
  const allowed =
    isDs(enveloped, 'Transform') &&
    attribute(enveloped, 'Algorithm') === envelopedSignature &&
    elementsOf(enveloped).length === 0 &&
    isDs(exclusive, 'Transform') &&
    attribute(exclusive, 'Algorithm') === exclusiveC14n;
  if (!allowed || others.length > 0) {
    throw rejected('signature_transform_not_allowed', 'transforms must be enveloped-signature, then exclusive canonicalization');
  }
  const digestHash = digestHashes.get(algorithmOf(method, 'digest_algorithm_not_allowed'));
  if (digestHash === undefined) {
    throw rejected('digest_algorithm_not_allowed', 'the digest must be SHA-256, SHA-384 or SHA-512');
  }
  return { digestHash, digestValue: base64Of(value), contentPrefixes: inclusivePrefixes(exclusive) };
}

/** Exclusive XML Canonicalization 3: `<InclusiveNamespaces PrefixList="xs #default"/>` is all that may stand inside. */
function inclusivePrefixes(method: XmlElement): readonly string[] {
  const [inclusive, ...rest] = elementsOf(method);
  if (inclusive === undefined) return [];
  if (rest.length > 0 || !isNamed(inclusive, ns.exclusiveC14n, 'InclusiveNamespaces') || textOf(inclusive).trim() !== '') {
    throw malformed('only InclusiveNamespaces may stand inside a canonicalization method');
  }
  const prefixes = (attribute(inclusive, 'PrefixList') ?? '').split(/[ \t\r\n]+/).filter((prefix) => prefix !== '');
  // Each prefix costs a search along the ancestors of every element; no IdP needs more than a few.
  if (prefixes.length > 16) throw malformed('PrefixList names too many prefixes');
  return prefixes;
}

/** The algorithm of a method that takes no parameters (`HMACOutputLength` is one). */
function algorithmOf(method: XmlElement, reason: RejectionReason): string {
  if (elementsOf(method).length > 0) throw rejected(reason, `${method.name} must not have parameters`);
  return attribute(method, 'Algorithm') ?? '';
}

function isDs(element: XmlElement | undefined, name: string): element is XmlElement {
  return element !== undefined && isNamed(element, ns.ds, name);
}

function base64Of(element: XmlElement): Buffer {
  const bytes = decodeBase64(textOf(element).replaceAll(/[ \t\r\n]/g, ''));
  if (bytes === null || bytes.length === 0) throw malformed(`${element.name} is not valid base64`);
  return bytes;
}

function malformed(detail: string): Error {
  return rejected('signature_structure_invalid', detail);
}
