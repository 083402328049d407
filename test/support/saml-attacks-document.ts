import { type Attack, bytes, sent } from './saml-attack.ts';
import { base64, replace } from './saml-world.ts';

const doctype = '<!DOCTYPE samlp:Response [<!ENTITY e "admin@customer.example">]>';
const declaration = '<?xml version="1.0" encoding="UTF-8"?>';

/** An attack on the form field itself. */
function field(
  name: string,
  reason: Attack['reason'],
  attack: (responseBase64: string) => string,
  twin = (responseBase64: string) => responseBase64,
): Attack {
  return {
    name,
    reason,
    refused: (world) => ({ responseBase64: attack(world.respond()) }),
    accepted: (world) => ({ responseBase64: twin(world.respond()) }),
  };
}

function inMessage(name: string, reason: Attack['reason'], from: string | RegExp, to: string): Attack {
  return sent(name, reason, { edit: { message: replace(from, to) } });
}

/** Everything that reaches for the parser: encodings, entities, markup, size. */
export const documentAttacks: readonly Attack[] = [
  // The field
  field(
    'base64: foreign characters',
    'base64_invalid',
    (value) => `${value.slice(0, 40)}*${value.slice(40)}`,
    (value) => value.replaceAll(/(.{76})/g, '$1\r\n'),
  ),
  field('base64: spaces where plus signs were', 'base64_invalid', (value) => value.replaceAll(/\+|B/g, ' ')),
  field('base64: alphabet of URLs, unpadded', 'base64_invalid', (value) => Buffer.from(value, 'base64').toString('base64url')),
  field('base64: nothing', 'base64_invalid', () => ''),
  field('base64: cut off', 'base64_invalid', (value) => value.slice(0, -1)),
  field(
    'a message of 300 KB',
    'response_too_large',
    (value) => base64(`${Buffer.from(value, 'base64')}<!--${'x'.repeat(300 * 1024)}-->`),
    (value) => base64(`${Buffer.from(value, 'base64')}<!--${'x'.repeat(100 * 1024)}-->`),
  ),
  field(
    'a field of 1 MB',
    'response_too_large',
    (value) => value.padEnd(1_000_000, '\n'),
    (value) => `${value}\n`,
  ),

  // Bytes
  bytes(
    'DOCTYPE',
    'doctype_not_allowed',
    (xml) => doctype + xml,
    (xml) => declaration + xml,
  ),
  bytes('DOCTYPE, behind the XML declaration, in lower case', 'doctype_not_allowed', (xml) => `${declaration}<!doctype x>${xml}`),
  bytes('DOCTYPE in UTF-16, little endian', 'encoding_not_allowed', (xml) => utf16(`\ufeff${doctype}${xml}`)),
  bytes('DOCTYPE in UTF-16, big endian', 'encoding_not_allowed', (xml) => utf16(`\ufeff${doctype}${xml}`).swap16()),
  bytes('DOCTYPE in UTF-16 without byte order mark', 'encoding_not_allowed', (xml) => utf16(doctype + xml)),
  bytes('DOCTYPE in UTF-32', 'encoding_not_allowed', (xml) => utf32(doctype + xml)),
  bytes(
    'DOCTYPE in UTF-7',
    'encoding_not_allowed',
    (xml) => `<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE x+AD4-${xml}`,
  ),
  bytes(
    'declared as Latin 1',
    'encoding_not_allowed',
    (xml) => `<?xml version="1.0" encoding="ISO-8859-1"?>${xml}`,
    (xml) => declaration + xml,
  ),
  bytes(
    'declared as XML 1.1',
    'encoding_not_allowed',
    (xml) => `<?xml version="1.1" encoding="UTF-8"?>${xml}`,
    (xml) => `<?xml version='1.0'?>${xml}`,
  ),
  bytes('invalid UTF-8', 'encoding_not_allowed', (xml) => Buffer.concat([Buffer.from(xml), Buffer.of(0xc0, 0xbc)])),
  bytes('UTF-8 of a surrogate', 'encoding_not_allowed', (xml) => splice(xml, 'ada@', Buffer.of(0xed, 0xa0, 0x80))),
  bytes('NUL', 'encoding_not_allowed', (xml) => splice(xml, 'ada@', Buffer.of(0))),
  bytes('byte order mark', 'encoding_not_allowed', (xml) => `\ufeff${xml}`),
  bytes('text before the message', 'encoding_not_allowed', (xml) => ` ${xml}`),
  bytes(
    'processing instruction',
    'processing_instruction_not_allowed',
    replace('<samlp:Status>', '<?php echo 1 ?><samlp:Status>'),
  ),
  bytes('style sheet', 'processing_instruction_not_allowed', (xml) => `<?xml-stylesheet href="https://evil.example"?>${xml}`),
  bytes(
    'XML declaration in the middle',
    'processing_instruction_not_allowed',
    replace('<samlp:Status>', '<?xml version="1.0"?><samlp:Status>'),
  ),
  bytes('entity declaration without DOCTYPE', 'markup_not_allowed', (xml) => `<!ENTITY e "x">${xml}`),
  bytes('conditional section', 'markup_not_allowed', replace('<samlp:Status>', '<![INCLUDE[<samlp:Status>')),
  bytes('not XML', 'xml_malformed', () => '<html><body>Sign in<br></body></html>'),
  bytes('two roots', 'xml_malformed', (xml) => xml + xml),
  bytes('cut off', 'xml_malformed', (xml) => xml.slice(0, -1)),

  // Entities and references
  inMessage('undeclared entity', 'xml_malformed', 'ada@', '&admin;ada@'),
  inMessage('character reference to NUL', 'xml_malformed', 'ada@', '&#0;ada@'),
  inMessage('undeclared prefix', 'xml_malformed', '<saml:Conditions', '<evil:x></evil:x><saml:Conditions'),
  inMessage('repeated attribute', 'xml_malformed', ' Version="2.0"', ' Version="2.0" Version="2.0"'),
  sent(
    'NameID that begins with U+FEFF',
    'byte_order_mark_not_allowed',
    { nameId: '\ufeffada@customer.example' },
    { nameId: 'a\ufeffda@customer.example' },
  ),
  sent('attribute value that begins with U+FEFF', 'byte_order_mark_not_allowed', {
    attributes: { groups: ['\ufeffadministrators-of-everything'] },
  }),
  sent('attribute name that begins with U+FEFF', 'byte_order_mark_not_allowed', {
    attributes: { '\ufeffgroups-of-the-customer': ['x'] },
  }),

  // Structure
  bytes('not a Response', 'not_a_response', (xml) => xml.replaceAll('samlp:Response', 'samlp:ArtifactResponse')),
  bytes('a Response of SAML 1.1', 'not_a_response', (xml) => xml.replace('SAML:2.0:protocol', 'SAML:1.0:protocol')),
  inMessage(
    'a foreign child of the Response',
    'response_structure_invalid',
    '<samlp:Status>',
    '<x:y xmlns:x="urn:x"></x:y><samlp:Status>',
  ),
  sent('children of the Response in disorder', 'response_structure_invalid', {
    edit: { message: (xml) => xml.replace(/(<saml:Issuer.*?<\/saml:Issuer>)(<samlp:Status>.*<\/samlp:Status>)/, '$2$1') },
  }),
  inMessage('no Status', 'response_structure_invalid', /<samlp:Status>.*<\/samlp:Status>/, ''),
  inMessage('Status without a code', 'response_structure_invalid', /<samlp:StatusCode.*<\/samlp:StatusCode>/, ''),
  inMessage('text between the children of the Response', 'unexpected_content', '<samlp:Status>', 'x<samlp:Status>'),
  inMessage(
    'an element inside the Issuer of the Response',
    'unexpected_content',
    '</saml:Issuer><samlp:Status>',
    '<x:y xmlns:x="urn:x"></x:y></saml:Issuer><samlp:Status>',
  ),
  inMessage(
    'two status codes, the first one Success',
    'unexpected_content',
    '</samlp:Status>',
    '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Responder"></samlp:StatusCode></samlp:Status>',
  ),
  inMessage('no assertion', 'assertion_missing', /<saml:Assertion .*<\/saml:Assertion>/, ''),
  sent('two assertions, both signed', 'assertion_multiple', {
    edit: {
      message: (xml) => xml.replace(/<saml:Assertion .*<\/saml:Assertion>/, (one) => one + one.replaceAll(/="(#?)_/g, '="$1_2')),
    },
  }),
  sent(
    'two assertions in a signed Response',
    'assertion_multiple',
    {
      signed: 'response',
      edit: {
        response: (xml) => xml.replace(/<saml:Assertion .*<\/saml:Assertion>/, (one) => one + one.replace(' ID="_', ' ID="_2')),
      },
    },
    { signed: 'response' },
  ),
  inMessage('assertion without ID', 'id_missing', /(?<=<saml:Assertion xmlns:saml="[^"]*") ID="[^"]*"/, ''),
  inMessage('Response without ID', 'id_missing', / ID="[^"]*"/, ''),
  sent(
    'ID of 257 characters',
    'id_missing',
    { edit: { message: replace(/ ID="[^"]*"/, ` ID="${'a'.repeat(257)}"`) } },
    { edit: { message: replace(/ ID="[^"]*"/, ` ID="${'a'.repeat(256)}"`) } },
  ),
  inMessage('ID that is no name', 'id_missing', / ID="[^"]*"/, ' ID="1 2"'),
  inMessage(
    'the same ID twice',
    'id_duplicate',
    '<saml:Subject>',
    '<x:y xmlns:x="urn:x" ID="a"></x:y><x:y xmlns:x="urn:x" xml:id="a"></x:y><saml:Subject>',
  ),
  inMessage(
    'schema of the sender (schemaLocation)',
    'schema_location_not_allowed',
    '<saml:Subject>',
    '<saml:Subject xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:x https://evil.example/x.xsd">',
  ),
  inMessage(
    'schema of the sender (noNamespaceSchemaLocation)',
    'schema_location_not_allowed',
    '<saml:Subject>',
    '<saml:Subject xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="https://evil.example/x.xsd">',
  ),
  sent('an element that SAML does not know, signed', 'schema_invalid', {
    edit: { assertion: replace('<saml:Conditions', '<saml:Subject2></saml:Subject2><saml:Conditions') },
  }),
  sent('elements of the assertion in disorder, signed', 'schema_invalid', {
    edit: {
      assertion: (xml) => xml.replace(/(<saml:Subject>.*<\/saml:Subject>)(<saml:Conditions.*<\/saml:Conditions>)/, '$2$1'),
    },
  }),
  sent(
    'unknown attribute on the signed Response',
    'schema_invalid',
    { signed: 'response', edit: { response: replace('Version="2.0">', 'Version="2.0" Zone="x">') } },
    {
      signed: 'response',
      edit: {
        response: replace(
          '<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ',
          '<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" Consent="urn:x" ',
        ),
      },
    },
  ),

  // Size and shape
  inMessage('nested 41 deep', 'xml_too_deep', '<saml:Subject>', `${'<x>'.repeat(41)}${'</x>'.repeat(41)}<saml:Subject>`),
  inMessage('5,000 elements', 'xml_too_many_elements', '<saml:Subject>', `${'<x></x>'.repeat(5000)}<saml:Subject>`),
  inMessage(
    '20,000 attributes on one element',
    'xml_too_many_attributes',
    '<saml:Subject>',
    `<x${counted(20_000, (index) => ` a${index}=""`)}></x><saml:Subject>`,
  ),
  inMessage(
    '9,000 attributes in all',
    'xml_too_many_attributes',
    '<saml:Subject>',
    `${`<x${counted(30, (index) => ` a${index}=""`)}></x>`.repeat(300)}<saml:Subject>`,
  ),
  inMessage(
    '5,000 namespaces',
    'xml_too_many_namespaces',
    '<saml:Subject>',
    `${'<x xmlns:a="urn:x"></x>'.repeat(5000)}<saml:Subject>`,
  ),
  inMessage(
    '65 namespaces in scope',
    'xml_too_many_namespaces',
    '<saml:Subject>',
    `<x${counted(65, (index) => ` xmlns:a${index}="urn:x"`)}></x><saml:Subject>`,
  ),
  inMessage(
    'a namespace that would be repeated a thousand times',
    'xml_namespace_too_long',
    '<saml:Subject>',
    `<x xmlns:a="urn:${'a'.repeat(50_000)}">${'<a:y></a:y>'.repeat(1000)}</x><saml:Subject>`,
  ),
  inMessage(
    'a relative namespace, which has no canonical form',
    'xml_namespace_relative',
    '<saml:Subject>',
    '<x xmlns="x"></x><saml:Subject>',
  ),
  inMessage('30,000 comments', 'xml_too_much_work', '<saml:Subject>', `${'<!---->'.repeat(30_000)}<saml:Subject>`),
  sent('2,000 attribute statements that the schema would complain about', 'xml_too_much_work', {
    edit: {
      assertion: replace(
        '</saml:AttributeStatement>',
        `${'<saml:Attribute></saml:Attribute>'.repeat(2000)}</saml:AttributeStatement>`,
      ),
    },
  }),
];

function counted(count: number, piece: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => piece(index)).join('');
}

function utf16(text: string): Buffer {
  return Buffer.from(text, 'utf16le');
}

function utf32(text: string): Buffer {
  return Buffer.concat(Array.from(text, (character) => Buffer.from([character.codePointAt(0) ?? 0, 0, 0, 0])));
}

function splice(xml: string, before: string, inserted: Buffer): Buffer {
  const at = xml.indexOf(before);
  return Buffer.concat([Buffer.from(xml.slice(0, at)), inserted, Buffer.from(xml.slice(at))]);
}
