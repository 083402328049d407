import { begun, type CheckInput, notYetOver, timesOf } from './check-input.ts';
import { rejected, shown } from './rejection.ts';
import { bearers, confirmed, withInResponseTo, withRecipient } from './subject-confirmation.ts';
import { nameIdFormats } from './vocabulary.ts';

type Check = (input: CheckInput) => void;

/** Every one must pass, in this order (law 5). Each throws `assertion_rejected` with a reason of its own. */
export const assertionChecks = [
  { check: checkVersions, section: 'SAML Core 2.3.3, 3.2.2' },
  { check: checkDestination, section: 'SAML Bindings 3.5.5.2' },
  { check: checkResponseIssuer, section: 'SAML Profiles 4.1.4.2' },
  { check: checkInResponseTo, section: 'SAML Core 3.2.2; Profiles 4.1.4.3' },
  { check: checkAssertionIssuer, section: 'SAML Profiles 4.1.4.2' },
  { check: checkIssueInstants, section: 'SAML Core 2.3.3, 3.2.2' },
  { check: checkNameId, section: 'SAML Core 2.4.1' },
  { check: checkNameIdQualifiers, section: 'SAML Core 8.3.7' },
  { check: checkBearerConfirmation, section: 'SAML Profiles 4.1.4.2' },
  { check: checkRecipient, section: 'SAML Profiles 4.1.4.3' },
  { check: checkConfirmationInResponseTo, section: 'SAML Profiles 4.1.4.3' },
  { check: checkConfirmationTimes, section: 'SAML Profiles 4.1.4.3' },
  { check: checkConditionsPresent, section: 'SAML Core 2.5.1' },
  { check: checkConditionsTimes, section: 'SAML Core 2.5.1.2' },
  { check: checkConditionsUnderstood, section: 'SAML Core 2.5.1' },
  { check: checkAudience, section: 'SAML Core 2.5.1.4' },
  { check: checkAuthnStatement, section: 'SAML Profiles 4.1.4.2' },
  { check: checkSession, section: 'SAML Core 2.7.2' },
  { check: checkAttributeNames, section: 'SAML Core 2.7.3.1' },
] as const satisfies readonly { check: Check; section: string }[];

function checkVersions({ response, assertion }: CheckInput): void {
  if (response.version !== '2.0' || assertion.version !== '2.0')
    throw rejected('version_unsupported', 'the message is not SAML 2.0');
}

/** A message that carries a signature must say where it was sent, so that it cannot be used elsewhere; what it says must be true anyway. */
function checkDestination({ response: { destination }, responseSigned, expected: { acsUrl } }: CheckInput): void {
  if (destination === null && responseSigned)
    throw rejected('destination_missing', `a signed Response must name the Destination ${shown(acsUrl)}`);
  if (destination !== null && destination !== acsUrl) {
    throw rejected('destination_mismatch', `the Response is for ${shown(destination)}, not for ${shown(acsUrl)}`);
  }
}

/** The Issuer may be left out of a Response that is not signed itself. */
function checkResponseIssuer({ response: { issuer }, responseSigned, expected: { idpEntityId } }: CheckInput): void {
  if (issuer === null) {
    if (responseSigned) throw rejected('response_issuer_missing', 'a signed Response must name its Issuer');
    return;
  }
  if (issuer.value !== idpEntityId || !isEntity(issuer.format)) {
    throw rejected('response_issuer_mismatch', `the Response is from ${shown(issuer.value)}, not from ${shown(idpEntityId)}`);
  }
}

/** Only answers to a request of this very login are taken. An answer to none (IdP-initiated) could be slipped to somebody else. */
function checkInResponseTo({ response: { inResponseTo }, expected: { requestId } }: CheckInput): void {
  if (inResponseTo === null)
    throw rejected('in_response_to_missing', 'the Response answers no request (IdP-initiated login is not accepted)');
  if (inResponseTo !== requestId) throw rejected('in_response_to_mismatch', 'the Response answers another request');
}

function checkAssertionIssuer({ assertion: { issuer }, expected: { idpEntityId } }: CheckInput): void {
  if (issuer === null || issuer.value !== idpEntityId || !isEntity(issuer.format)) {
    throw rejected(
      'assertion_issuer_mismatch',
      `the assertion is from ${shown(issuer?.value ?? '')}, not from ${shown(idpEntityId)}`,
    );
  }
}

function checkIssueInstants({ response, assertion, now, clockSkewMilliseconds }: CheckInput): void {
  for (const { issueInstant } of [response, assertion]) {
    if (issueInstant === null) throw rejected('time_invalid', 'IssueInstant is missing');
    if (issueInstant > now + clockSkewMilliseconds)
      throw rejected('issued_in_future', `issued ${ahead(issueInstant, now)} from now: compare the clocks`);
  }
}

/** The policy asks for more than the schema: an assertion may have no NameID, but then it names nobody. */
function checkNameId({ assertion: { nameId } }: CheckInput): void {
  if (nameId === null || nameId.value.trim() === '') throw rejected('name_id_missing', 'the assertion has no NameID');
  if (nameId.value.length > 512) throw rejected('name_id_too_long', 'the NameID is longer than 512 characters');
}

/** A persistent identifier is unique within its two qualifiers; with others than the default ones it would be another person's. */
function checkNameIdQualifiers({ assertion: { nameId }, expected: { idpEntityId, spEntityId } }: CheckInput): void {
  if (nameId?.format !== nameIdFormats.persistent) return;
  const { nameQualifier, spNameQualifier } = nameId;
  if ((nameQualifier ?? idpEntityId) !== idpEntityId || (spNameQualifier ?? spEntityId) !== spEntityId) {
    throw rejected('name_id_qualifier_mismatch', 'the persistent NameID is qualified for another IdP or service');
  }
}

function checkBearerConfirmation({ assertion }: CheckInput): void {
  if (bearers(assertion).length === 0)
    throw rejected('bearer_confirmation_missing', 'the subject is not confirmed by the bearer method');
}

function checkRecipient(input: CheckInput): void {
  if (withRecipient(input).length > 0) return;
  const { expected, assertion } = input;
  const [first] = bearers(assertion);
  if (first?.recipient == null) throw rejected('recipient_missing', 'SubjectConfirmationData names no Recipient');
  throw rejected('recipient_mismatch', `the assertion is for ${shown(first.recipient)}, not for ${shown(expected.acsUrl)}`);
}

function checkConfirmationInResponseTo(input: CheckInput): void {
  if (withInResponseTo(input).length > 0) return;
  const absent = withRecipient(input)[0]?.inResponseTo == null;
  if (absent) throw rejected('confirmation_in_response_to_missing', 'SubjectConfirmationData answers no request');
  throw rejected('confirmation_in_response_to_mismatch', 'SubjectConfirmationData answers another request');
}

function checkConfirmationTimes(input: CheckInput): void {
  if (confirmed(input).length > 0) return;
  const [first] = withInResponseTo(input);
  if (first?.notOnOrAfter == null) throw rejected('confirmation_expiry_missing', 'SubjectConfirmationData has no NotOnOrAfter');
  if (!notYetOver(first.notOnOrAfter, input)) {
    throw rejected('confirmation_expired', `the subject's confirmation ended ${ago(first.notOnOrAfter, input.now)} ago`);
  }
  throw rejected('confirmation_not_yet_valid', "the subject's confirmation begins in the future: compare the clocks");
}

function checkConditionsPresent({ assertion: { conditions } }: CheckInput): void {
  timesOf(conditions);
}

function checkConditionsTimes(input: CheckInput): void {
  const { notBefore, notOnOrAfter } = timesOf(input.assertion.conditions);
  if (notBefore >= notOnOrAfter) throw rejected('conditions_times_contradictory', 'the assertion ends before it begins');
  if (!begun(notBefore, input)) {
    throw rejected(
      'conditions_not_yet_valid',
      `the assertion begins ${ahead(notBefore, input.now)} from now: compare the clocks`,
    );
  }
  if (!notYetOver(notOnOrAfter, input))
    throw rejected('conditions_expired', `the assertion ended ${ago(notOnOrAfter, input.now)} ago`);
}

/** A condition that is not understood makes the validity indeterminate. */
function checkConditionsUnderstood({ assertion: { conditions } }: CheckInput): void {
  if (conditions?.hasUnknown !== false)
    throw rejected('condition_unknown', 'the assertion has a condition that is not understood');
}

/** Every AudienceRestriction must name this service, and there must be one. */
function checkAudience({ assertion: { conditions }, expected: { spEntityId } }: CheckInput): void {
  const restrictions = conditions?.audienceRestrictions ?? [];
  if (restrictions.length === 0) throw rejected('audience_missing', 'the assertion has no AudienceRestriction');
  const foreign = restrictions.find((audiences) => !audiences.includes(spEntityId));
  if (foreign !== undefined) {
    throw rejected(
      'audience_mismatch',
      `the assertion is for ${foreign.slice(0, 3).map(shown).join(', ')}, not for ${shown(spEntityId)}`,
    );
  }
}

function checkAuthnStatement({ assertion: { authnStatements } }: CheckInput): void {
  if (authnStatements.length === 0)
    throw rejected('authn_statement_missing', 'the assertion does not say that somebody signed in');
}

function checkSession(input: CheckInput): void {
  for (const { sessionNotOnOrAfter } of input.assertion.authnStatements) {
    if (sessionNotOnOrAfter !== null && !notYetOver(sessionNotOnOrAfter, input)) {
      throw rejected('session_expired', `the session at the IdP ended ${ago(sessionNotOnOrAfter, input.now)} ago`);
    }
  }
}

/** Which of two lists of groups would count? */
function checkAttributeNames({ assertion: { attributes } }: CheckInput): void {
  if (new Set(attributes.map(({ name }) => name)).size < attributes.length) {
    throw rejected('attribute_duplicate', 'the assertion has two attributes of the same name');
  }
}

/** SAML Core 8.3.6. */
function isEntity(format: string | null): boolean {
  return format === null || format === nameIdFormats.entity;
}

function ago(time: number, now: number): string {
  return `${Math.round((now - time) / 1000)} s`;
}

function ahead(time: number, now: number): string {
  return `${Math.round((time - now) / 1000)} s`;
}
