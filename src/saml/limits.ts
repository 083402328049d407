import { isUtf8 } from 'node:buffer';
import { rejected } from './rejection.ts';
import type { XmlLimits } from './xml-document.ts';

/**
 * Limits of the tree, besides its number of elements. They come before any digest: a replayed genuine SignedInfo lets an attacker
 * reach the canonicalizer with content of their own.
 * @param maxElements elements in one document
 */
export function treeLimits(maxElements: number): XmlLimits {
  return {
    maxElements,
    maxDepth: 40,
    maxAttributesPerElement: 32,
    // A value of a typed attribute has one, an Attribute two or three.
    maxAttributes: maxElements * 2,
    maxNamespaceDeclarations: maxElements,
    // Canonicalization looks prefixes up along the ancestors, for each element anew.
    maxNamespacesInScope: 64,
    // Exclusive canonicalization repeats a declaration at each sibling that uses it: 100 KB of URI would become hundreds of megabytes.
    maxNamespaceCharacters: 256,
    // Canonicalization asks for each node, and each answer costs as many steps as the node is deep.
    maxWork: maxElements * 20,
  };
}

/**
 * The bytes of a base64-encoded message (SAML Bindings 3.5.4; RFC 2045 allows line breaks, nothing else outside the alphabet).
 * @param maxBytes size of the decoded message
 */
export function decodeMessage(base64: string, maxBytes: number): Buffer {
  // Before the line breaks are taken out: that, too, is work.
  if (base64.length > maxBytes * 2) throw tooLarge(maxBytes);
  const unfolded = base64.includes('\n') ? base64.replaceAll(/\r?\n/g, '') : base64;
  const bytes = decodeBase64(unfolded);
  if (bytes === null || bytes.length === 0) throw rejected('base64_invalid', 'the SAMLResponse is not valid base64');
  if (bytes.length > maxBytes) throw tooLarge(maxBytes);
  return bytes;
}

/** The bytes, or null unless `text` is exactly the base64 (RFC 4648 4, padded) of some bytes. */
export function decodeBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  // Node's decoder skips what it does not know; only the round trip proves that there was nothing to skip.
  return bytes.toString('base64') === text ? bytes : null;
}

/**
 * What no SAML message needs is refused before a parser sees it. Each rule alone has a way around (a DOCTYPE in UTF-16 passes a
 * search for `<!DOCTYPE`); together they leave UTF-8 text of elements, character data, comments and CDATA sections.
 */
export function checkBytes(bytes: Buffer, { maxNamespaceDeclarations }: Pick<XmlLimits, 'maxNamespaceDeclarations'>): void {
  if (!isUtf8(bytes)) throw rejected('encoding_not_allowed', 'the message is not UTF-8');
  if (bytes.includes(0)) throw rejected('encoding_not_allowed', 'the message contains a NUL byte');
  if (bytes[0] !== 0x3c) throw rejected('encoding_not_allowed', 'the message does not begin with "<"');
  checkProcessingInstructions(bytes);
  for (const at of occurrences(bytes, '<!')) {
    const markup = bytes.toString('latin1', at, at + 9);
    if (markup.toUpperCase() === '<!DOCTYPE')
      throw rejected('doctype_not_allowed', 'the message has a document type declaration');
    if (!markup.startsWith('<!--') && markup !== '<![CDATA[') {
      throw rejected('markup_not_allowed', 'the message has markup other than elements, comments and CDATA sections');
    }
  }
  let declarations = 0;
  for (const _ of occurrences(bytes, 'xmlns')) {
    declarations += 1;
    if (declarations > maxNamespaceDeclarations)
      throw rejected('xml_too_many_namespaces', 'the message declares too many namespaces');
  }
}

const xmlDeclaration =
  /^<\?xml[ \t\r\n]+version=(["'])1\.0\1([ \t\r\n]+encoding=(["'])utf-8\3)?([ \t\r\n]+standalone=(["'])(yes|no)\5)?[ \t\r\n]*\?>/i;

function checkProcessingInstructions(bytes: Buffer): void {
  for (const at of occurrences(bytes, '<?')) {
    const isDeclaration = at === 0 && bytes.toString('latin1', 0, 6).trimEnd() === '<?xml';
    if (!isDeclaration) throw rejected('processing_instruction_not_allowed', 'the message has a processing instruction');
    if (!xmlDeclaration.test(bytes.toString('latin1', 0, 200))) {
      throw rejected('encoding_not_allowed', 'the XML declaration must say version 1.0 and, if any, the encoding UTF-8');
    }
  }
}

function* occurrences(bytes: Buffer, text: string): Generator<number> {
  for (let at = bytes.indexOf(text); at !== -1; at = bytes.indexOf(text, at + text.length)) yield at;
}

function tooLarge(maxBytes: number): Error {
  return rejected('response_too_large', `the SAMLResponse is larger than ${maxBytes} bytes`);
}
