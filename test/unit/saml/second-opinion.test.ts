import { isDeepStrictEqual } from 'node:util';
import { IdentityProvider, ServiceProvider, setSchemaValidator } from 'samlify';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Answer, Attack } from '../../support/saml-attack.ts';
import { checkAttacks } from '../../support/saml-attacks-checks.ts';
import { documentAttacks } from '../../support/saml-attacks-document.ts';
import { encryptionAttacks } from '../../support/saml-attacks-encryption.ts';
import { envelopeAttacks } from '../../support/saml-attacks-envelope.ts';
import { signatureAttacks } from '../../support/saml-attacks-signature.ts';
import { wrappingAttacks } from '../../support/saml-attacks-wrapping.ts';
import type { RespondOptions } from '../../support/saml-response-builder.ts';
import {
  acsUrl,
  clockSkewSeconds,
  createSamlWorld,
  idpEntityId,
  now,
  replace,
  type SamlWorld,
  spEntityId,
} from '../../support/saml-world.ts';

/** Law 4: whatever Rollcall accepts, samlify accepts too, and reads the same; it is the laxer of the two (see DEPENDENCIES). */
const families: readonly (readonly [string, readonly Attack[]])[] = [
  ['wrapping', wrappingAttacks],
  ['signatures', signatureAttacks],
  ['the document', documentAttacks],
  ['the Response', envelopeAttacks],
  ['the assertion', checkAttacks],
  ['encryption', encryptionAttacks],
];

/** Known differences, by the attack whose twin it is: what samlify cannot do. */
const exceptions: readonly string[] = [
  // RSA-OAEP with another hash than SHA-1
  'key transport RSA 1.5',
  'OAEP with an unknown mask',
  'decryption: another digest in OAEP than declared',
  // an EncryptedKey beside the EncryptedData
  'two encrypted keys',
];

let world: SamlWorld;
beforeAll(async () => {
  world = await createSamlWorld();
  // Rollcall has validated already, against the same schemas.
  setSchemaValidator({ validate: async () => 'valid' });
  vi.useFakeTimers({ now, toFake: ['Date'] });
  // It writes each failed decryption to the console.
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
});
afterAll(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

interface Opinion {
  readonly nameId: unknown;
  readonly attributes: unknown;
}

async function samlifyReads({ responseBase64, input }: Answer): Promise<Opinion> {
  const encrypted = Buffer.from(responseBase64, 'base64').includes('EncryptedAssertion');
  const idp = IdentityProvider({
    entityID: idpEntityId,
    signingCert: [...(input?.idp?.signingCertificates ?? [world.idpKey.certificate])],
    singleSignOnService: [{ Binding: 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST', Location: 'https://idp.example/sso' }],
    singleLogoutService: [{ Binding: 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST', Location: 'https://idp.example/slo' }],
    isAssertionEncrypted: encrypted,
  });
  const sp = ServiceProvider({
    entityID: spEntityId,
    assertionConsumerService: [{ Binding: 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST', Location: acsUrl }],
    encPrivateKey: world.spKey.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    clockDrifts: [-clockSkewSeconds * 1000, clockSkewSeconds * 1000],
  });
  const { extract } = await sp.parseLoginResponse(idp, 'post', { body: { SAMLResponse: responseBase64 } });
  return { nameId: extract.nameID, attributes: extract.attributes ?? {} };
}

function rollcallReads({ responseBase64, input }: Answer): Opinion {
  const { nameId, attributes } = world.verify(responseBase64, input).assertion;
  // samlify gives a single value without its list.
  return {
    nameId: nameId.value,
    attributes: Object.fromEntries(
      Object.entries(attributes).map(([name, values]) => [name, values.length === 1 ? values[0] : values]),
    ),
  };
}

/** Without what is random in every answer: IDs, digests, signatures, ciphertext. */
function normalized({ responseBase64, input }: Answer): { readonly answer: string; readonly expectation: string } {
  const xml = Buffer.from(responseBase64.replaceAll(/\s/g, ''), 'base64').toString();
  return {
    answer: xml.replaceAll(/_[0-9a-f]{32}|(?<=<(ds:DigestValue|ds:SignatureValue|xenc:CipherValue)>)[^<]*/g, ''),
    expectation: JSON.stringify(input?.idp ?? ''),
  };
}

describe('what Rollcall accepts, samlify accepts and reads the same', () => {
  // Most twins are the genuine answer but for its random parts: one of them stands for all.
  const seen = new Set<string>();

  it.each(families)('twins of attacks on %s', async (_, attacks) => {
    const disagreeing: string[] = [];
    for (const { name, accepted } of attacks) {
      const answer = accepted(world);
      const { expectation, answer: normal } = normalized(answer);
      if (seen.has(expectation + normal)) continue;
      seen.add(expectation + normal);
      const ours = rollcallReads(answer);
      const theirs = await samlifyReads(answer).catch(String);
      if (!isDeepStrictEqual(theirs, ours)) disagreeing.push(name);
    }
    expect(disagreeing).toEqual(attacks.map(({ name }) => name).filter((name) => exceptions.includes(name)));
  });

  it('there were many different ones', () => {
    expect(seen.size).toBeGreaterThan(30);
  });

  const spellings: readonly (readonly [string, Partial<RespondOptions>])[] = [
    ['a comment in the NameID', { edit: { message: replace('ada@customer', 'ada@<!-- -->customer') } }],
    ['a comment in a group', { edit: { message: replace('builders', 'build<!---->ers') } }],
    ['a CDATA section in a group', { edit: { message: replace('builders', 'build<![CDATA[er]]>s') } }],
    ['a character reference', { edit: { message: replace('builders', '&#98;uilders') } }],
    ['typed values, both signed', { typedValues: true, signed: 'both' }],
    ['an XML declaration', { edit: { message: (xml) => `<?xml version="1.0" encoding="UTF-8"?>\n${xml}` } }],
    ['astral characters and entities', { attributes: { groups: ['👩🏽‍🚀 & <friends>', '"quoted"'] } }],
  ];
  it.each(spellings)('%s', async (_, options) => {
    const answer = { responseBase64: world.respond(options) };
    expect(await samlifyReads(answer)).toEqual(rollcallReads(answer));
  });
});
