import { createHmac, sign } from 'node:crypto';
import { type Attack, expecting, sent } from './saml-attack.ts';
import { signatureOf, unsigned, withSignature } from './saml-attacks-wrapping.ts';
import { signatureXml } from './saml-response-builder.ts';
import { replace } from './saml-world.ts';

const c14n = 'http://www.w3.org/TR/2001/REC-xml-c14n-20010315';
const exclusive = 'http://www.w3.org/2001/10/xml-exc-c14n#';
const dsig = 'http://www.w3.org/2000/09/xmldsig#';
const more = 'http://www.w3.org/2001/04/xmldsig-more#';

const secondTransform = `<ds:Transform Algorithm="${exclusive}"></ds:Transform>`;
const evilName = replace('ada@customer.example</saml:NameID>', 'admin@customer.example</saml:NameID>');

/** A change of SignedInfo that the IdP itself signs: only the profile stands against it. */
function signedInfo(name: string, reason: Attack['reason'], from: string | RegExp, to: string): Attack {
  return sent(name, reason, { edit: { signedInfo: replace(from, to) } });
}

function transform(name: string, algorithm: string, content = ''): Attack {
  const evil = `<ds:Transform Algorithm="${algorithm}">${content}</ds:Transform>`;
  return signedInfo(`transform: ${name}`, 'signature_transform_not_allowed', secondTransform, evil);
}

export const signatureAttacks: readonly Attack[] = [
  // Stripping
  sent('stripping: the assertion is not signed', 'signature_missing', { signed: 'none' }, { signed: 'assertion' }),
  sent(
    'stripping: the signature is taken off the Response',
    'signature_missing',
    { signed: 'response', edit: { message: unsigned } },
    { signed: 'response' },
  ),
  sent('stripping: the signature is there but empty', 'signature_structure_invalid', {
    edit: { message: replace(/<ds:SignatureValue>[^<]*/, '<ds:SignatureValue>') },
  }),
  sent('stripping: the signature has no Reference', 'signature_structure_invalid', {
    edit: { signedInfo: replace(/<ds:Reference [\s\S]*<\/ds:Reference>/, '') },
  }),

  // What was signed is changed
  sent('the NameID is changed after signing', 'digest_mismatch', { edit: { signedAssertion: evilName } }),
  sent('a group is added after signing', 'digest_mismatch', {
    edit: {
      message: replace(
        '<saml:AttributeValue>builders',
        '<saml:AttributeValue>admin</saml:AttributeValue><saml:AttributeValue>builders',
      ),
    },
  }),
  sent(
    'an attribute of the Response is changed after signing',
    'digest_mismatch',
    { signed: 'response', edit: { message: replace('Version="2.0">', 'Version="2.0" Consent="urn:x">') } },
    { signed: 'response' },
  ),
  sent(
    'the assertion of a signed Response is changed',
    'digest_mismatch',
    { signed: 'response', edit: { message: evilName } },
    { signed: 'response' },
  ),
  sent(
    'of two signatures only the inner one holds',
    'digest_mismatch',
    { signed: 'both', edit: { message: replace(/ IssueInstant="[^"]*"/, ' IssueInstant="2026-03-04T05:06:08.000Z"') } },
    { signed: 'both' },
  ),
  sent(
    'of two signatures only the outer one holds',
    'digest_mismatch',
    { signed: 'both', edit: { signedAssertion: evilName } },
    { signed: 'both' },
  ),
  sent('the digest is changed to fit', 'signature_invalid', {
    edit: { message: replace(/<ds:DigestValue>[^<]*/, '<ds:DigestValue>47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=') },
  }),
  sent('the signature value is cut short', 'signature_invalid', {
    edit: { message: replace(/<ds:SignatureValue>[^<]{8}/, '<ds:SignatureValue>') },
  }),

  // Whose signature
  sent('foreign key, offered in KeyInfo', 'signature_invalid', ({ strangerKey }) => ({
    signature: { key: strangerKey.privateKey, keyInfo: keyInfo(strangerKey.certificate) },
  })),
  sent('foreign key, with the certificate of the IdP in KeyInfo', 'signature_invalid', ({ strangerKey }) => ({
    signature: { key: strangerKey.privateKey },
  })),
  sent('foreign key, offered as KeyValue', 'signature_invalid', ({ strangerKey }) => {
    const { n, e } = strangerKey.publicKey.export({ format: 'jwk' });
    const [modulus, exponent] = [n, e].map((value) => Buffer.from(String(value), 'base64url').toString('base64'));
    const value = `<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>${modulus}</ds:Modulus><ds:Exponent>${exponent}</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>`;
    return { signature: { key: strangerKey.privateKey, keyInfo: `<ds:KeyInfo>${value}</ds:KeyInfo>` } };
  }),
  expecting('certificate of another connection', 'signature_invalid', ({ strangerKey }) => ({
    idp: { entityId: 'https://idp.example/metadata', signingCertificates: [strangerKey.certificate] },
  })),
  expecting(
    'an old certificate, after the IdP changed its key',
    'signature_invalid',
    ({ strangerKey }) => ({ idp: { entityId: 'https://idp.example/metadata', signingCertificates: [strangerKey.certificate] } }),
    ({ strangerKey, idpKey }) => ({
      idp: { entityId: 'https://idp.example/metadata', signingCertificates: [strangerKey.certificate, idpKey.certificate] },
    }),
  ),

  // Algorithms
  sent(
    'RSA with SHA-1',
    'signature_algorithm_not_allowed',
    { signature: { method: `${dsig}rsa-sha1` } },
    { signature: { method: `${more}rsa-sha512` } },
  ),
  sent(
    'digest SHA-1',
    'digest_algorithm_not_allowed',
    { signature: { digestMethod: `${dsig}sha1` } },
    { signature: { digestMethod: 'http://www.w3.org/2001/04/xmlenc#sha512' } },
  ),
  sent('digest MD5', 'digest_algorithm_not_allowed', { signature: { digestMethod: `${more}md5` } }),
  sent('HMAC with the public key as secret', 'signature_algorithm_not_allowed', ({ idpKey }) => ({
    signature: {
      method: `${more}hmac-sha256`,
      sign: (bytes) =>
        createHmac('sha256', idpKey.publicKey.export({ type: 'spki', format: 'pem' }))
          .update(bytes)
          .digest(),
    },
  })),
  sent('HMAC cut to 8 bits', 'signature_algorithm_not_allowed', {
    edit: {
      signedInfo: replace(
        'rsa-sha256"></ds:SignatureMethod>',
        'rsa-sha256"><ds:HMACOutputLength>8</ds:HMACOutputLength></ds:SignatureMethod>',
      ),
    },
  }),
  sent('RSA signature declared as ECDSA', 'signature_invalid', ({ idpKey }) => ({
    signature: { method: `${more}ecdsa-sha256`, sign: (bytes) => sign('sha256', bytes, idpKey.privateKey) },
  })),
  signedInfo('no signature algorithm', 'signature_algorithm_not_allowed', / Algorithm="[^"]*rsa-sha256"/, ''),
  signedInfo('SignedInfo canonicalized inclusively', 'signature_canonicalization_not_allowed', exclusive, c14n),
  signedInfo(
    'SignedInfo canonicalized with comments',
    'signature_canonicalization_not_allowed',
    exclusive,
    `${exclusive}WithComments`,
  ),

  // Transforms
  transform('XPath', 'http://www.w3.org/TR/1999/REC-xpath-19991116', '<ds:XPath>not(ancestor::saml:Subject)</ds:XPath>'),
  transform('XPath Filter 2.0', 'http://www.w3.org/2002/06/xmldsig-filter2'),
  transform('XSLT', 'http://www.w3.org/TR/1999/REC-xslt-19991116'),
  transform('base64', `${dsig}base64`),
  transform('inclusive canonicalization', c14n),
  transform('exclusive canonicalization with comments', `${exclusive}WithComments`),
  signedInfo('transform: enveloped-signature alone', 'signature_transform_not_allowed', secondTransform, ''),
  signedInfo('transform: one more', 'signature_transform_not_allowed', '</ds:Transforms>', `${secondTransform}</ds:Transforms>`),
  signedInfo('transform: none', 'signature_structure_invalid', /<ds:Transforms>[\s\S]*<\/ds:Transforms>/, ''),
  sent(
    'transform: seventeen inclusive prefixes',
    'signature_structure_invalid',
    { edit: { signedInfo: withPrefixes(17) } },
    { edit: { signedInfo: withPrefixes(16) } },
  ),
  signedInfo(
    'transform: XPath inside the exclusive canonicalization',
    'signature_structure_invalid',
    `${exclusive}"></ds:Transform>`,
    `${exclusive}"><ds:XPath>self::text()</ds:XPath></ds:Transform>`,
  ),
  signedInfo(
    'something inside CanonicalizationMethod',
    'signature_structure_invalid',
    '</ds:CanonicalizationMethod>',
    '<x:y xmlns:x="urn:x"></x:y></ds:CanonicalizationMethod>',
  ),

  // References
  signedInfo('reference: empty URI', 'signature_reference_invalid', /URI="[^"]*"/, 'URI=""'),
  signedInfo('reference: no URI', 'signature_reference_invalid', / URI="[^"]*"/, ''),
  signedInfo(
    'reference: another document',
    'signature_reference_invalid',
    /URI="[^"]*"/,
    'URI="https://evil.example/assertion.xml"',
  ),
  signedInfo('reference: XPointer', 'signature_reference_invalid', /URI="#([^"]*)"/, `URI="#xpointer(/)"`),
  sent('reference: the Response, from within the assertion', 'signature_reference_invalid', ({ idpKey }) => ({
    signed: 'none',
    edit: { message: (xml) => intoAssertion(xml, signatureXml(xml, { key: idpKey.privateKey })) },
  })),
  sent('reference: another element than the signature stands in', 'signature_reference_invalid', {
    signed: 'both',
    edit: {
      message: (xml) =>
        unsigned(unsigned(xml)).replace(
          '</saml:Issuer><samlp:Status>',
          () => `</saml:Issuer>${signatureOf(unsigned(xml))}<samlp:Status>`,
        ),
    },
  }),
  sent('reference: two of them', 'signature_reference_invalid', {
    edit: { signedInfo: (xml) => xml.replace(/<ds:Reference [\s\S]*<\/ds:Reference>/, (reference) => reference + reference) },
  }),

  // Shape
  sent('SignedInfo in disorder', 'signature_structure_invalid', {
    edit: {
      signedInfo: (xml) =>
        xml.replace(/(<ds:Canon.*<\/ds:CanonicalizationMethod>)(<ds:SignatureMethod.*<\/ds:SignatureMethod>)/, '$2$1'),
    },
  }),
  sent('Reference in disorder', 'signature_structure_invalid', {
    edit: {
      signedInfo: (xml) => xml.replace(/(<ds:DigestMethod.*<\/ds:DigestMethod>)(<ds:DigestValue.*<\/ds:DigestValue>)/, '$2$1'),
    },
  }),
  signedInfo(
    'Reference with one more child',
    'signature_structure_invalid',
    '</ds:Reference>',
    '<ds:DigestValue>AAAA</ds:DigestValue></ds:Reference>',
  ),
  signedInfo(
    'Reference whose digest method is another element',
    'signature_structure_invalid',
    /ds:DigestMethod/g,
    'ds:SignatureMethod',
  ),
  sent('signature with an Object', 'signature_structure_invalid', {
    edit: { message: replace('</ds:Signature>', '<ds:Object></ds:Object></ds:Signature>') },
  }),
  sent('signature not behind the Issuer', 'signature_misplaced', {
    edit: { message: (xml) => unsigned(xml).replace('</saml:Subject>', () => `</saml:Subject>${signatureOf(xml)}`) },
  }),
  sent('signature inside the Subject', 'signature_misplaced', {
    edit: { message: (xml) => unsigned(xml).replace('</saml:NameID>', () => `</saml:NameID>${signatureOf(xml)}`) },
  }),
  sent('two signatures on the assertion', 'signature_misplaced', {
    edit: { message: (xml) => intoAssertion(xml, signatureOf(xml)) },
  }),
  sent(
    'two signatures on the Response',
    'response_structure_invalid',
    { signed: 'response', edit: { message: (xml) => withSignature(xml, signatureOf(xml)) } },
    { signed: 'response' },
  ),
  sent(
    'signature value that is not base64',
    'signature_structure_invalid',
    { edit: { message: replace(/<ds:SignatureValue>[^<]{4}/, '<ds:SignatureValue>!!!!') } },
    {
      edit: { message: replace('<ds:SignatureValue>', '<ds:SignatureValue>\n') },
    },
  ),
];

function withPrefixes(count: number): (signedInfo: string) => string {
  const list = Array.from({ length: count }, (_, index) => `p${index}`).join(' ');
  return replace(
    `${exclusive}"></ds:Transform>`,
    `${exclusive}"><ec:InclusiveNamespaces xmlns:ec="${exclusive}" PrefixList="${list}"></ec:InclusiveNamespaces></ds:Transform>`,
  );
}

function intoAssertion(xml: string, signature: string): string {
  return xml.replace(/(<saml:Assertion [\s\S]*?<\/saml:Issuer>)/, (start) => start + signature);
}

function keyInfo(certificate: string): string {
  return `<ds:KeyInfo><ds:X509Data><ds:X509Certificate>${certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`;
}
