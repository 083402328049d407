import { beforeAll, describe, expect, it } from 'vitest';
import type { BrokerError } from '../../../src/domain/broker-error.ts';
import { createResponseVerifier } from '../../../src/saml/response.ts';
import type { EncryptionOptions } from '../../support/saml-encryption.ts';
import { createTestKey } from '../../support/saml-keys.ts';
import { createSamlSigner, type RespondOptions } from '../../support/saml-response-builder.ts';
import { base64, createSamlWorld, idpEntityId, now, replace, type SamlWorld } from '../../support/saml-world.ts';

let world: SamlWorld;
beforeAll(async () => {
  world = await createSamlWorld();
});

const modes = ['assertion', 'response', 'both'] as const;
const more = 'http://www.w3.org/2001/04/xmldsig-more#';
const xenc = 'http://www.w3.org/2001/04/xmlenc#';

describe('what is accepted', () => {
  it.each(modes)('reads the assertion when the signature is on: %s', (signed) => {
    const { assertion, signed: by } = world.verify(world.respond({ signed }));
    expect(by).toBe(signed);
    expect(assertion).toEqual({
      id: expect.stringMatching(/^_[0-9a-f]{32}$/),
      issuer: idpEntityId,
      nameId: { value: 'ada@customer.example', format: 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress' },
      attributes: { email: ['ada@customer.example'], groups: ['builders', 'Marketing & Sales'] },
      unreadableAttributes: [],
      sessionIndex: expect.stringMatching(/^_/),
      authnInstant: now,
      // 300 s of the IdP, 60 s of tolerated clock skew
      expiresAt: new Date(now.getTime() + 360_000),
    });
  });

  it.each(['sha256', 'sha384', 'sha512'])('verifies RSA with %s', (hash) => {
    const digestMethod = hash === 'sha384' ? `${more}sha384` : `${xenc}${hash}`;
    expect(world.outcome(world.respond({ signature: { method: `${more}rsa-${hash}`, digestMethod } }))).toBe('accepted');
  });

  it.each([
    ['P-256', 'sha256'],
    ['P-384', 'sha384'],
    ['P-521', 'sha512'],
  ] as const)('verifies ECDSA on %s with %s', async (curve, hash) => {
    const key = await createTestKey(curve);
    const answer = createSamlSigner({ ...key, entityId: idpEntityId }).respond({
      ...world.genuine,
      signed: 'both',
      signature: { method: `${more}ecdsa-${hash}` },
    });
    expect(world.outcome(answer, { idp: { entityId: idpEntityId, signingCertificates: [key.certificate] } })).toBe('accepted');
    expect(world.outcome(answer)).toBe('assertion_rejected: signature_invalid');
  });

  const encryptions: readonly Omit<EncryptionOptions, 'publicKey'>[] = [
    {},
    { content: 'aes128-gcm' },
    { digest: 'sha256' },
    { transport: 'rsa-oaep', digest: 'sha256', mgf: 'sha256' },
    { transport: 'rsa-oaep', digest: 'sha1', mgf: 'sha256' },
    { transport: 'rsa-oaep', digest: 'sha512', mgf: 'sha1', keyPlace: 'beside' },
  ];
  it.each(encryptions.flatMap((encryption) => modes.map((signed) => ({ ...encryption, signed }))))(
    'decrypts %o',
    ({ signed, ...encryption }) => {
      const answer = world.respond({ signed, encrypt: { publicKey: world.spKey.publicKey, ...encryption } });
      const verified = world.verify(answer);
      expect(verified.signed).toBe(signed);
      expect(verified.assertion.nameId.value).toBe('ada@customer.example');
      expect(verified.assertion.attributes).toEqual({
        email: ['ada@customer.example'],
        groups: ['builders', 'Marketing & Sales'],
      });
    },
  );

  it('decrypts AES-CBC inside a signed Response', () => {
    const encrypt = { publicKey: world.spKey.publicKey, content: 'aes256-cbc' } as const;
    expect(world.outcome(world.respond({ signed: 'response', encrypt }))).toBe('accepted');
  });

  it('decrypts AES-CBC whatever is left for the padding', () => {
    for (let length = 1; length <= 17; length += 1) {
      const encrypt = { publicKey: world.spKey.publicKey, content: 'aes128-cbc' } as const;
      const nameId = 'a'.repeat(length);
      expect(world.verify(world.respond({ signed: 'response', encrypt, nameId })).assertion.nameId.value).toBe(nameId);
    }
  });

  it('finds the namespaces that an encrypted assertion uses and its Response declares', () => {
    const signedAssertion = replace(' xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"', '');
    expect(world.outcome(world.respond({ encrypt: { publicKey: world.spKey.publicKey }, edit: { signedAssertion } }))).toBe(
      'accepted',
    );
  });

  it('reads values typed with a prefix that stands in InclusiveNamespaces only', () => {
    for (const signed of modes)
      expect(world.verify(world.respond({ signed, typedValues: true })).assertion.attributes.groups).toHaveLength(2);
  });

  it('reads 1,000 groups', () => {
    const groups = Array.from({ length: 1000 }, (_, index) => `Group ${index}`);
    expect(world.verify(world.respond({ attributes: { groups }, typedValues: true })).assertion.attributes.groups).toEqual(
      groups,
    );
  });
});

describe('the checks that passed', () => {
  const names = (options: Partial<RespondOptions>) => world.verify(world.respond(options)).checks.map(({ name }) => name);

  it('are listed in order, each with its section', () => {
    const { checks } = world.verify(world.respond());
    expect(checks.map(({ name }) => name)).toEqual([
      'checkBytes',
      'readResponseStructure',
      'verifySignature',
      'verifyDigest',
      'validateSchema',
      'checkVersions',
      'checkDestination',
      'checkResponseIssuer',
      'checkInResponseTo',
      'checkAssertionIssuer',
      'checkIssueInstants',
      'checkNameId',
      'checkNameIdQualifiers',
      'checkBearerConfirmation',
      'checkRecipient',
      'checkConfirmationInResponseTo',
      'checkConfirmationTimes',
      'checkConditionsPresent',
      'checkConditionsTimes',
      'checkConditionsUnderstood',
      'checkAudience',
      'checkAuthnStatement',
      'checkSession',
      'checkAttributeNames',
    ]);
    expect(checks.every(({ section }) => /^(SAML|XML) \w+ .*\d/.test(section))).toBe(true);
  });

  it('name the decryption where it happened: before the signature of the assertion, after that of the Response', () => {
    const encrypt = { publicKey: world.spKey.publicKey };
    expect(names({ encrypt }).slice(0, 4)).toEqual([
      'checkBytes',
      'readResponseStructure',
      'decryptAssertion',
      'verifySignature',
    ]);
    expect(names({ encrypt, signed: 'response' }).slice(2, 6)).toEqual([
      'verifySignature',
      'verifyDigest',
      'validateSchema',
      'decryptAssertion',
    ]);
  });
});

describe('a Status other than Success', () => {
  const status = (codes: string) => ({
    signed: 'none' as const,
    edit: {
      message: (xml: string) =>
        xml.replace(/<samlp:StatusCode.*<\/samlp:StatusCode>/, codes).replace(/<saml:Assertion .*<\/saml:Assertion>/, ''),
    },
  });
  const code = (name: string, inside = '') =>
    `<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:${name}">${inside}</samlp:StatusCode>`;

  it.each([
    [code('Responder', code('AuthnFailed')), 'authn_failed'],
    [code('Requester', code('InvalidNameIDPolicy')), 'invalid_name_id_policy'],
    [code('Responder', code('NoAvailableIDP')), 'no_available_idp'],
    [code('Responder', '<samlp:StatusCode Value="urn:x:made-up"></samlp:StatusCode>'), 'responder'],
    [code('VersionMismatch'), 'version_mismatch'],
    ['<samlp:StatusCode Value="__proto__"></samlp:StatusCode>', 'unknown_status'],
  ])('%s is upstream_denied', (codes, reason) => {
    expect(world.outcome(world.respond(status(codes)))).toBe(`upstream_denied: ${reason}`);
  });

  it('is no way around the signature: with an assertion it is still refused', () => {
    const message = replace('status:Success', 'status:Responder');
    expect(world.outcome(world.respond({ edit: { message } }))).toBe('upstream_denied: responder');
    expect(world.outcome(world.respond({ signed: 'none' }))).toBe('assertion_rejected: signature_missing');
  });

  it('is believed of a sound message only', () => {
    const broken = world.idp
      .respondXml({ ...world.genuine, ...status(code('Responder')) })
      .replace('<samlp:Status>', '<x:y xmlns:x="urn:x"/><samlp:Status>');
    expect(world.outcome(base64(broken))).toBe('assertion_rejected: response_structure_invalid');
  });
});

describe('the certificates of a connection', () => {
  const outcome = (signingCertificates: readonly string[]) =>
    world.outcome(world.respond(), { idp: { entityId: idpEntityId, signingCertificates } });

  it('are each tried, the unusable ones passed over', async () => {
    const [weak, odd] = await Promise.all([createTestKey('rsa-1024'), createTestKey('secp256k1')]);
    expect(
      outcome([
        'bm8gY2VydGlmaWNhdGU=',
        weak.certificate,
        odd.certificate,
        world.strangerKey.certificate,
        world.idpKey.certificate,
      ]),
    ).toBe('accepted');
    expect(outcome([weak.certificate, odd.certificate])).toBe('upstream_misconfigured: metadata_no_usable_certificate');
    expect(outcome([])).toBe('upstream_misconfigured: metadata_no_usable_certificate');
    expect(outcome(Array(16).fill(world.idpKey.certificate))).toBe('accepted');
    expect(outcome(Array(17).fill(world.idpKey.certificate))).toBe('upstream_misconfigured: metadata_too_many_certificates');
  });

  it('of RSA with 1,024 bits verify nothing', async () => {
    const weak = await createTestKey('rsa-1024');
    const answer = createSamlSigner({ ...weak, entityId: idpEntityId }).respond(world.genuine);
    const signingCertificates = [weak.certificate, world.strangerKey.certificate];
    expect(world.outcome(answer, { idp: { entityId: idpEntityId, signingCertificates } })).toBe(
      'assertion_rejected: signature_invalid',
    );
  });

  it('are not mixed up between connections, whatever came before', () => {
    const mine = { idp: { entityId: idpEntityId, signingCertificates: [world.idpKey.certificate] } };
    const theirs = { idp: { entityId: idpEntityId, signingCertificates: [world.strangerKey.certificate] } };
    const answer = world.respond();
    const outcomes = [mine, theirs, mine, theirs].map((input) => world.outcome(answer, input));
    expect(outcomes).toEqual([
      'accepted',
      'assertion_rejected: signature_invalid',
      'accepted',
      'assertion_rejected: signature_invalid',
    ]);
  });
});

it('limits the message as it is told to', () => {
  const answer = world.respond();
  const outcome = (maxResponseBytes: number, maxElements: number) => {
    const { verify } = createResponseVerifier({ maxResponseBytes, maxElements });
    const sp = { entityId: world.genuine.audience, acsUrl: world.genuine.acsUrl, decryptionKeys: [] };
    try {
      verify({
        responseBase64: answer,
        idp: { entityId: idpEntityId, signingCertificates: [world.idpKey.certificate] },
        sp,
        requestId: world.genuine.inResponseTo,
        clockSkewSeconds: 0,
        now,
      });
      return 'accepted';
    } catch (error) {
      return (error as BrokerError).reason;
    }
  };
  const size = Buffer.from(answer, 'base64').length;
  expect(outcome(size, 100)).toBe('accepted');
  expect(outcome(size - 1, 100)).toBe('response_too_large');
  expect(outcome(size, 20)).toBe('xml_too_many_elements');
});

it('accepts the same answer twice: that it is used once is for the caller to see to', () => {
  const answer = world.respond();
  const ids = [world.verify(answer), world.verify(answer)].map(({ assertion }) => assertion.id);
  expect(ids[0]).toBe(ids[1]);
});
