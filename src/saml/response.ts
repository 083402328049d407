import type { KeyObject } from 'node:crypto';
import { assertionChecks } from './assertion-checks.ts';
import { type AssertionContent, readAssertionContent, readResponseShell } from './assertion-reader.ts';
import { createCertificateKeys } from './certificate-keys.ts';
import type { CheckInput } from './check-input.ts';
import { decodeMessage, treeLimits } from './limits.ts';
import { samlSchema } from './schema.ts';
import { authenticate, type PassedCheck, type SignedBy } from './signed-content.ts';
import { presentableUntil } from './subject-confirmation.ts';

export interface VerifyInput {
  /** The form field `SAMLResponse` of the POST binding. */
  readonly responseBase64: string;
  /** From the connection's metadata; certificates in base64 DER. */
  readonly idp: { readonly entityId: string; readonly signingCertificates: readonly string[] };
  readonly sp: { readonly entityId: string; readonly acsUrl: string; readonly decryptionKeys: readonly KeyObject[] };
  /** ID of the AuthnRequest that this login sent. */
  readonly requestId: string;
  /** Tolerated difference between the clocks. */
  readonly clockSkewSeconds: number;
  readonly now: Date;
}

export interface VerifiedResponse {
  readonly assertion: SamlAssertion;
  readonly signed: SignedBy;
  /** What was checked, in this order, for the login's trace. */
  readonly checks: readonly PassedCheck[];
}

/** What a verified assertion says; read from the bytes that were signed, from nothing else. */
export interface SamlAssertion {
  readonly id: string;
  /** entityID of the IdP. */
  readonly issuer: string;
  readonly nameId: { readonly value: string; readonly format: string | null };
  /** Own properties only: look up with `Object.hasOwn`, an attribute may be called `__proto__`. */
  readonly attributes: Readonly<Record<string, readonly string[]>>;
  /** Names of attributes whose values are not text. They are not in `attributes`: unknown is not empty (R25). */
  readonly unreadableAttributes: readonly string[];
  readonly sessionIndex: string | null;
  readonly authnInstant: Date | null;
  /** Until then, clock skew included, it could be presented again: how long its ID must be remembered. */
  readonly expiresAt: Date;
}

export interface ResponseVerifier {
  /** @throws BrokerError `assertion_rejected`, `upstream_denied`, `upstream_misconfigured`; the reason says why */
  verify(input: VerifyInput): VerifiedResponse;
}

/**
 * Verifies SAML 2.0 Responses of the Web Browser SSO Profile (SAML Profiles 4.1), received by POST as the answer to an AuthnRequest.
 * It remembers nothing: that an assertion is used once is for the caller to see to, with `assertion.id` and `assertion.expiresAt`.
 * @param maxResponseBytes size of the decoded message
 * @param maxElements elements of the message
 */
export function createResponseVerifier(options: {
  readonly maxResponseBytes: number;
  readonly maxElements: number;
}): ResponseVerifier {
  const limits = treeLimits(options.maxElements);
  const schema = samlSchema();
  const keysOf = createCertificateKeys();

  return {
    verify(input) {
      const signed = authenticate(decodeMessage(input.responseBase64, options.maxResponseBytes), {
        signatureKeys: keysOf(input.idp.signingCertificates),
        decryptionKeys: input.sp.decryptionKeys,
        schema,
        limits,
      });
      const checkInput: CheckInput = {
        response: readResponseShell(signed.response),
        responseSigned: signed.by !== 'assertion',
        assertion: readAssertionContent(signed.assertion),
        expected: {
          idpEntityId: input.idp.entityId,
          spEntityId: input.sp.entityId,
          acsUrl: input.sp.acsUrl,
          requestId: input.requestId,
        },
        now: input.now.getTime(),
        clockSkewMilliseconds: input.clockSkewSeconds * 1000,
      };
      for (const { check } of assertionChecks) check(checkInput);
      return {
        assertion: toSamlAssertion(checkInput.assertion, new Date(presentableUntil(checkInput))),
        signed: signed.by,
        checks: [...signed.checks, ...namedChecks],
      };
    },
  };
}

function toSamlAssertion({ id, issuer, nameId, attributes, authnStatements }: AssertionContent, expiresAt: Date): SamlAssertion {
  const readable = attributes.flatMap(({ name, values }) => (values === null ? [] : [[name, values] as const]));
  const [authn] = authnStatements;
  return {
    id,
    issuer: issuer?.value ?? '',
    nameId: { value: nameId?.value ?? '', format: nameId?.format ?? null },
    attributes: Object.fromEntries(readable),
    unreadableAttributes: attributes.filter(({ values }) => values === null).map(({ name }) => name),
    sessionIndex: authn?.sessionIndex ?? null,
    authnInstant: authn?.authnInstant == null ? null : new Date(authn.authnInstant),
    expiresAt,
  };
}

const namedChecks: readonly PassedCheck[] = assertionChecks.map(({ check, section }) => ({ name: check.name, section }));
