import { type Attack, sent } from './saml-attack.ts';
import { evil, signatureOf, unsigned } from './saml-attacks-wrapping.ts';
import type { EncryptionOptions } from './saml-encryption.ts';
import type { RespondOptions } from './saml-response-builder.ts';
import { acsUrl, replace, type SamlWorld, spEntityId } from './saml-world.ts';

function encrypted(options: Partial<EncryptionOptions> = {}, more: Partial<RespondOptions> = {}) {
  return ({ spKey }: SamlWorld): Partial<RespondOptions> => ({ ...more, encrypt: { publicKey: spKey.publicKey, ...options } });
}

const gcm = encrypted({ content: 'aes256-gcm' });
const flipLastByte = (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -1), Buffer.of((bytes.at(-1) ?? 0) ^ 1)]);
const flipFirstByte = (bytes: Buffer) => Buffer.concat([Buffer.of((bytes.at(0) ?? 0) ^ 1), bytes.subarray(1)]);

/** Anybody can encrypt for this service: encryption proves nothing, and decryption must not tell anything. */
export const encryptionAttacks: readonly Attack[] = [
  sent('encrypted by nobody in particular: no signature', 'signature_missing', encrypted({}, { signed: 'none' }), gcm),
  sent(
    'encrypted with AES-CBC in an unsigned Response',
    'encryption_cbc_unsigned',
    encrypted({ content: 'aes128-cbc' }),
    encrypted({ content: 'aes128-cbc' }, { signed: 'both' }),
  ),
  sent(
    'encrypted with AES-CBC in a stripped Response',
    'encryption_cbc_unsigned',
    encrypted({ content: 'aes256-cbc' }, { signed: 'none' }),
    encrypted({ content: 'aes256-cbc' }, { signed: 'response' }),
  ),
  sent(
    'key transport RSA 1.5',
    'encryption_algorithm_not_allowed',
    encrypted({ transport: 'rsa-1_5' }),
    encrypted({ transport: 'rsa-oaep', digest: 'sha256', mgf: 'sha256' }),
  ),
  sent(
    'content in Triple DES',
    'encryption_algorithm_not_allowed',
    encrypted({ content: 'tripledes-cbc' }, { signed: 'response' }),
    encrypted({ content: 'aes128-cbc' }, { signed: 'response' }),
  ),
  sent('OAEP with MD5', 'encryption_algorithm_not_allowed', encrypted({ edit: replace('#sha1"', '#md5"') }), gcm),
  sent(
    'OAEP with a label',
    'encryption_algorithm_not_allowed',
    encrypted({ edit: replace('<ds:DigestMethod', '<xenc:OAEPparams>AAAA</xenc:OAEPparams><ds:DigestMethod') }),
    gcm,
  ),
  sent(
    'OAEP with an unknown mask',
    'encryption_algorithm_not_allowed',
    encrypted({ transport: 'rsa-oaep', digest: 'sha256', mgf: 'sha256', edit: replace('mgf1sha256', 'mgf1md5') }),
    encrypted({ transport: 'rsa-oaep', digest: 'sha256', mgf: 'sha1' }),
  ),
  sent(
    'two encrypted keys',
    'unexpected_content',
    encrypted({ edit: (xml) => xml.replace(/<xenc:EncryptedKey>.*<\/xenc:EncryptedKey>/, (key) => key + key) }),
    encrypted({ keyPlace: 'beside' }),
  ),
  sent(
    'content somewhere else (CipherReference)',
    'unexpected_content',
    encrypted({
      edit: (xml) =>
        xml.replace(
          /<xenc:CipherValue>[^<]*<\/xenc:CipherValue>(?=<\/xenc:CipherData><\/xenc:EncryptedData>)/,
          '<xenc:CipherReference URI="https://evil.example"></xenc:CipherReference>',
        ),
    }),
    gcm,
  ),

  // One error, whatever went wrong.
  sent(
    'decryption: key for another service',
    'decryption_failed',
    ({ strangerKey }) => ({ encrypt: { publicKey: strangerKey.publicKey } }),
    gcm,
  ),
  sent('decryption: changed content', 'decryption_failed', encrypted({ editContent: flipLastByte }), gcm),
  sent('decryption: changed IV', 'decryption_failed', encrypted({ editContent: flipFirstByte }), gcm),
  sent(
    'decryption: content too short for a tag',
    'decryption_failed',
    encrypted({ editContent: (bytes) => bytes.subarray(0, 20) }),
    gcm,
  ),
  sent('decryption: no content', 'decryption_failed', encrypted({ editContent: () => Buffer.of(1) }), gcm),
  sent(
    'decryption: changed key',
    'decryption_failed',
    encrypted({
      edit: (xml) => xml.replace(/<xenc:CipherValue>(.)/, (_, first) => `<xenc:CipherValue>${first === 'A' ? 'B' : 'A'}`),
    }),
    gcm,
  ),
  sent(
    'decryption: another digest in OAEP than declared',
    'decryption_failed',
    encrypted({
      digest: 'sha256',
      edit: replace('http://www.w3.org/2001/04/xmlenc#sha256', 'http://www.w3.org/2000/09/xmldsig#sha1'),
    }),
    encrypted({ digest: 'sha256' }),
  ),
  sent(
    'decryption: changed padding of AES-CBC',
    'decryption_failed',
    encrypted(
      {
        content: 'aes128-cbc',
        editContent: (bytes) =>
          Buffer.concat([bytes.subarray(0, -17), Buffer.of((bytes.at(-17) ?? 0) ^ 0x80), bytes.subarray(-16)]),
      },
      { signed: 'response' },
    ),
    encrypted({ content: 'aes128-cbc' }, { signed: 'response' }),
  ),
  sent(
    'decryption: what is encrypted is not XML',
    'decryption_failed',
    encrypted({}, { edit: { signedAssertion: () => 'x' } }),
    gcm,
  ),
  sent(
    'decryption: what is encrypted has a DOCTYPE',
    'decryption_failed',
    encrypted({}, { edit: { signedAssertion: (xml) => `<!DOCTYPE x>${xml}` } }),
    gcm,
  ),
  sent(
    'decryption: what is encrypted is not well formed',
    'decryption_failed',
    encrypted({}, { edit: { signedAssertion: (xml) => xml.slice(0, -1) } }),
    gcm,
  ),
  sent(
    'decryption: what is encrypted ends the element around it',
    'decryption_failed',
    encrypted({}, { edit: { signedAssertion: (xml) => `<x/></decrypted><decrypted>${xml}` } }),
    gcm,
  ),

  // What was encrypted is held to the same rules.
  sent(
    'encrypted: two assertions',
    'assertion_missing',
    encrypted({}, { edit: { signedAssertion: (xml) => evil(xml) + xml } }),
    gcm,
  ),
  sent(
    'encrypted: an assertion around the signed one (XSW4)',
    'assertion_multiple',
    encrypted(
      {},
      { edit: { signedAssertion: (xml) => evil(xml).replace('</saml:Assertion>', () => `${xml}</saml:Assertion>`) } },
    ),
    gcm,
  ),
  sent(
    'encrypted: another EncryptedAssertion',
    'assertion_missing',
    ({ spKey }) => ({
      encrypt: { publicKey: spKey.publicKey },
      edit: {
        signedAssertion: (xml) =>
          `<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">${xml}</saml:EncryptedAssertion>`,
      },
    }),
    gcm,
  ),
  sent(
    'encrypted: a Response',
    'assertion_missing',
    encrypted(
      {},
      {
        edit: {
          signedAssertion: (xml) => `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol">${xml}</samlp:Response>`,
        },
      },
    ),
    gcm,
  ),
  sent(
    'encrypted: changed after signing',
    'digest_mismatch',
    encrypted(
      {},
      { edit: { signedAssertion: replace('ada@customer.example</saml:NameID>', 'admin@customer.example</saml:NameID>') } },
    ),
    gcm,
  ),
  sent(
    'encrypted: signed by a stranger',
    'signature_invalid',
    ({ spKey, strangerKey }) => ({ signature: { key: strangerKey.privateKey }, encrypt: { publicKey: spKey.publicKey } }),
    gcm,
  ),
  sent(
    'encrypted: signed for something else, in a signed Response',
    'digest_mismatch',
    encrypted({}, { signed: 'both', edit: { signedAssertion: replace('>builders<', '>admin<') } }),
    encrypted({}, { signed: 'both' }),
  ),
  sent(
    'encrypted: signature inside the Subject',
    'signature_misplaced',
    encrypted(
      {},
      { edit: { signedAssertion: (xml) => unsigned(xml).replace('</saml:NameID>', () => `</saml:NameID>${signatureOf(xml)}`) } },
    ),
    gcm,
  ),
  sent(
    'encrypted: a Response inside the assertion',
    'response_structure_invalid',
    encrypted(
      {},
      {
        edit: {
          assertion: replace(
            '>builders<',
            '><samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"></samlp:Response><',
          ),
        },
      },
    ),
    gcm,
  ),
  sent(
    'encrypted: the ID of the Response',
    'id_duplicate',
    encrypted(
      {},
      {
        signed: 'response',
        edit: { signedAssertion: replace(/ ID="[^"]*"/, ' ID="_same"'), response: replace(/ ID="[^"]*"/, ' ID="_same"') },
      },
    ),
    encrypted({}, { signed: 'response' }),
  ),
  sent(
    'encrypted: a plain assertion beside it',
    'assertion_multiple',
    encrypted({
      edit: (xml) => `${xml}<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_evil"></saml:Assertion>`,
    }),
    gcm,
  ),
  sent(
    'encrypted: exchanged for one of the forger, in a signed Response',
    'digest_mismatch',
    encrypted({}, { signed: 'response', edit: { message: (xml) => xml.replace(/(?<=<xenc:CipherValue>)[^<]{8}/, 'AAAAAAAA') } }),
    encrypted({}, { signed: 'response' }),
  ),
  {
    name: 'encrypted, but this service has no key',
    reason: 'decryption_key_missing',
    refused: (world) => ({
      responseBase64: world.respond(gcm(world)),
      input: { sp: { entityId: spEntityId, acsUrl, decryptionKeys: [] } },
    }),
    accepted: (world) => ({
      responseBase64: world.respond(gcm(world)),
      input: { sp: { entityId: spEntityId, acsUrl, decryptionKeys: [world.strangerKey.privateKey, world.spKey.privateKey] } },
    }),
  },
];
