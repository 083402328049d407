/**
 * CPU time of verifying SAML responses, by size and by what is signed: `node test/bench/saml-verify.ts`. Prints a table, asserts nothing.
 * Goal: 0.8 ms for 6.9 KB, warm; no hostile answer over 50 ms.
 */
import { BrokerError } from '../../src/domain/broker-error.ts';
import { createResponseVerifier } from '../../src/saml/response.ts';
import { hostileAnswers } from '../support/saml-hostile.ts';
import { createTestKey } from '../support/saml-keys.ts';
import { createSamlSigner, type RespondOptions } from '../support/saml-response-builder.ts';

const [idpKey, spKey] = await Promise.all([createTestKey(), createTestKey()]);
const idp = createSamlSigner({ ...idpKey, entityId: 'https://idp.example/metadata' });
const verifier = createResponseVerifier({ maxResponseBytes: 256 * 1024, maxElements: 4000 });
const now = new Date();
const expected = {
  idp: { entityId: 'https://idp.example/metadata', signingCertificates: [idpKey.certificate] },
  sp: {
    entityId: 'https://rollcall.example/saml/c1/metadata',
    acsUrl: 'https://rollcall.example/saml/c1/acs',
    decryptionKeys: [spKey.privateKey],
  },
  requestId: '_request',
  clockSkewSeconds: 60,
  now,
};
const genuine: RespondOptions = {
  acsUrl: expected.sp.acsUrl,
  audience: expected.sp.entityId,
  inResponseTo: '_request',
  nameId: 'ada@customer.example',
  attributes: { email: ['ada@customer.example'], firstName: ['Ada'], lastName: ['Lovelace'], groups: groups(9) },
  now,
  typedValues: true,
};

function groups(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `Department ${index} of the customer`);
}

function cpuMilliseconds(work: () => void, times: number): number {
  const start = process.cpuUsage();
  for (let time = 0; time < times; time += 1) work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000 / times;
}

const cases: readonly (readonly [name: string, options: Partial<RespondOptions>])[] = [
  ['assertion signed, 12 values', {}],
  ['response signed, 12 values', { signed: 'response' }],
  ['both signed, 12 values', { signed: 'both' }],
  ['assertion signed, encrypted (AES-256-GCM)', { encrypt: { publicKey: spKey.publicKey } }],
  ['assertion signed, 200 groups', { attributes: { ...genuine.attributes, groups: groups(200) } }],
  ['assertion signed, 900 groups', { attributes: { ...genuine.attributes, groups: groups(900) } }],
  ['both signed, 900 groups', { signed: 'both', attributes: { ...genuine.attributes, groups: groups(900) } }],
];

console.log('genuine answers, warm');
for (const [name, options] of cases) {
  const responseBase64 = idp.respond({ ...genuine, ...options });
  const bytes = Buffer.from(responseBase64, 'base64').length;
  const times = Math.ceil(4_000_000 / bytes);
  const verify = () => void verifier.verify({ ...expected, responseBase64 });
  cpuMilliseconds(verify, times);
  console.log(
    `${name.padEnd(45)} ${(bytes / 1000).toFixed(1).padStart(6)} KB ${cpuMilliseconds(verify, times).toFixed(2).padStart(7)} ms CPU`,
  );
}

console.log('\nthe IdP of this bench');
console.log(`writing and signing a response ${cpuMilliseconds(() => void idp.respond(genuine), 500).toFixed(2)} ms CPU`);

console.log('\nhostile answers, first and best of 7');
for (const { name, responseBase64 } of hostileAnswers(idp, genuine, spKey.publicKey)) {
  let outcome: string | undefined;
  const verify = () => {
    try {
      verifier.verify({ ...expected, responseBase64 });
      outcome = 'accepted';
    } catch (error) {
      outcome = error instanceof BrokerError ? error.reason : String(error);
    }
  };
  const times = Array.from({ length: 7 }, () => cpuMilliseconds(verify, 1));
  const [first = 0] = times;
  console.log(
    `${name.padEnd(50)} ${first.toFixed(1).padStart(6)} ${Math.min(...times)
      .toFixed(1)
      .padStart(6)} ms CPU  ${outcome}`,
  );
}
console.log(`\nresident memory ${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MiB`);
