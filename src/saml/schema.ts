import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { rejected } from './rejection.ts';
import { ns } from './vocabulary.ts';
import { compileXmlSchema, type OpenXmlDocument, type XmlElement, type XmlSchema } from './xml-document.ts';
import { isNamed } from './xml-reader.ts';

let compiled: XmlSchema | undefined;

/**
 * The schemas of SAML 2.0, XML Signature and XML Encryption. Compiled once for the process: they are constant, and WebAssembly
 * memory is never given back.
 */
export function samlSchema(): XmlSchema {
  compiled ??= compileXmlSchema(schemaFiles(), 'rollcall.xsd');
  return compiled;
}

/**
 * Hygiene, after the digests: what is signed is also SAML. Parts that nobody here reads, and values whose type is "anything", are taken
 * out first, and the rest is weighed: the validator reports every error it finds, which thousands of bad nodes would make slow.
 * @throws BrokerError assertion_rejected `schema_invalid`
 */
export function validateSchema(document: OpenXmlDocument, element: XmlElement, schema: XmlSchema): void {
  const unread: XmlElement[] = [];
  let weight = 0;
  const visit = (candidate: XmlElement): void => {
    if (isUnread(candidate)) {
      unread.push(candidate);
      return;
    }
    weight += 1 + candidate.attributes.length;
    candidate.children.forEach(visit);
  };
  visit(element);
  if (weight > maxWeight)
    throw rejected('xml_too_much_work', `the message has more than ${maxWeight} elements and attributes to check`);
  unread.forEach(document.remove);
  if (!document.isValid(element, schema))
    throw rejected('schema_invalid', 'the message does not conform to the SAML 2.0 schemas');
}

const maxWeight = 2000;

function isUnread(element: XmlElement): boolean {
  return (
    isNamed(element, ns.saml, 'AttributeValue') ||
    isNamed(element, ns.saml, 'Advice') ||
    isNamed(element, ns.samlp, 'Extensions') ||
    // Read and checked by `signature.ts` to the last child, before; its KeyInfo is not read at all.
    isNamed(element, ns.ds, 'Signature')
  );
}

const standardSchemas = [
  'saml-schema-protocol-2.0.xsd',
  'saml-schema-assertion-2.0.xsd',
  'xmldsig-core-schema.xsd',
  'xenc-schema.xsd',
];

function schemaFiles(): Record<string, Uint8Array> {
  const { resolve } = createRequire(import.meta.url);
  const standard = standardSchemas.map((name) => {
    const source = readFileSync(resolve(`@authenio/samlify-xmllint-wasm/schemas/${name}`), 'utf8');
    // Two of them carry a document type declaration that only repeats what their text says.
    return [name, source.replace(/<!DOCTYPE[^[>]*\[[^\]]*\]\s*>/, '')];
  });
  const own = [
    ['rollcall.xsd', rollcallSchema],
    ['xenc11.xsd', xmlEncryption11Schema],
  ];
  return Object.fromEntries([...standard, ...own].map(([name, source]) => [name, Buffer.from(source ?? '')]));
}

/** XML Encryption 1.1 5.5.2: the MGF that stands inside EncryptionMethod, where the set of 1.0 knows no such element. */
const xmlEncryption11Schema = `<schema xmlns="http://www.w3.org/2001/XMLSchema" targetNamespace="${ns.xenc11}" elementFormDefault="qualified">
  <element name="MGF"><complexType><attribute name="Algorithm" type="anyURI" use="required"/></complexType></element>
</schema>`;

const rollcallSchema = `<schema xmlns="http://www.w3.org/2001/XMLSchema">
  <import namespace="${ns.samlp}" schemaLocation="saml-schema-protocol-2.0.xsd"/>
  <import namespace="${ns.xenc11}" schemaLocation="xenc11.xsd"/>
</schema>`;
