import { BrokerError } from '../../src/domain/broker-error.ts';
import { createResponseVerifier, type VerifiedResponse, type VerifyInput } from '../../src/saml/response.ts';
import { createTestKey, type TestKey } from './saml-keys.ts';
import { createSamlSigner, type RespondOptions, type SamlSigner } from './saml-response-builder.ts';

/** One IdP, one service provider, one login under way at a fixed time. */
export interface SamlWorld {
  readonly idp: SamlSigner;
  readonly idpKey: TestKey;
  /** Trusted by another connection. */
  readonly strangerKey: TestKey;
  readonly spKey: TestKey;
  readonly genuine: RespondOptions;
  /** A Response of the IdP, base64; genuine but for what is given. */
  respond(options?: Partial<RespondOptions>): string;
  verify(responseBase64: string, input?: Partial<VerifyInput>): VerifiedResponse;
  /** `accepted`, or code and reason of the refusal. */
  outcome(responseBase64: string, input?: Partial<VerifyInput>): string;
}

export const idpEntityId = 'https://idp.example/metadata';
export const spEntityId = 'https://rollcall.example/saml/c1/metadata';
export const acsUrl = 'https://rollcall.example/saml/c1/acs';
export const requestId = '_request-0123456789abcdef';
export const clockSkewSeconds = 60;
export const now = new Date('2026-03-04T05:06:07.000Z');

export async function createSamlWorld(): Promise<SamlWorld> {
  const [idpKey, strangerKey, spKey] = await Promise.all([createTestKey(), createTestKey(), createTestKey()]);
  const idp = createSamlSigner({ ...idpKey, entityId: idpEntityId });
  const verifier = createResponseVerifier({ maxResponseBytes: 256 * 1024, maxElements: 4000 });
  const genuine: RespondOptions = {
    acsUrl,
    audience: spEntityId,
    inResponseTo: requestId,
    nameId: 'ada@customer.example',
    attributes: { email: ['ada@customer.example'], groups: ['builders', 'Marketing & Sales'] },
    now,
  };
  const verify = (responseBase64: string, input: Partial<VerifyInput> = {}): VerifiedResponse =>
    verifier.verify({
      responseBase64,
      idp: { entityId: idpEntityId, signingCertificates: [idpKey.certificate] },
      sp: { entityId: spEntityId, acsUrl, decryptionKeys: [spKey.privateKey] },
      requestId,
      clockSkewSeconds,
      now,
      ...input,
    });
  return {
    idp,
    idpKey,
    strangerKey,
    spKey,
    genuine,
    respond: (options = {}) => idp.respond({ ...genuine, ...options }),
    verify,
    outcome(responseBase64, input) {
      try {
        verify(responseBase64, input);
        return 'accepted';
      } catch (error) {
        if (error instanceof BrokerError) return `${error.code}: ${error.reason}`;
        throw error;
      }
    },
  };
}

export function base64(xml: string): string {
  return Buffer.from(xml).toString('base64');
}

/** Replaces the first occurrence, which must be there: an attack that changes nothing would prove nothing. */
export function replace(from: string | RegExp, to: string): (xml: string) => string {
  return (xml) => {
    const changed = xml.replace(from, () => to);
    if (changed === xml) throw new Error(`nothing to replace: ${from}`);
    return changed;
  };
}
