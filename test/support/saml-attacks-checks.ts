import { type Attack, sent } from './saml-attack.ts';
import { acsUrl, clockSkewSeconds, now, replace, requestId } from './saml-world.ts';

type Reason = Attack['reason'];

/** The IdP signs what the edit makes of the assertion. */
function signed(name: string, reason: Reason, from: string | RegExp, to: string, twin?: string): Attack {
  const edit = (replacement: string) => ({ edit: { assertion: replace(from, replacement) } });
  return sent(name, reason, edit(to), twin === undefined ? {} : edit(twin));
}

/** Milliseconds from `now`, as the IdP writes it. */
function at(milliseconds: number): string {
  return new Date(now.getTime() + milliseconds).toISOString();
}

const skew = clockSkewSeconds * 1000;
const confirmationEnd = /(?<=<saml:SubjectConfirmationData .*?) NotOnOrAfter="[^"]*"/;
const conditionsEnd = /(?<=<saml:Conditions .*?)NotOnOrAfter="[^"]*"/;
const conditionsTimes = /(?<=<saml:Conditions )NotBefore="[^"]*" NotOnOrAfter="[^"]*"/;
const conditionsBegin = /(?<=<saml:Conditions )NotBefore="[^"]*"/;
const restriction = /<saml:AudienceRestriction>.*<\/saml:AudienceRestriction>/;
const otherAudience = '<saml:AudienceRestriction><saml:Audience>https://other.example</saml:Audience></saml:AudienceRestriction>';
const persistent = 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent';

/** One element of the assertion is not as it must be; everything is signed by the right IdP. */
export const checkAttacks: readonly Attack[] = [
  signed('version of the assertion', 'version_unsupported', 'Version="2.0"', 'Version="2.1"'),
  signed('Issuer of the assertion', 'assertion_issuer_mismatch', /<saml:Issuer>.*?</, '<saml:Issuer>https://other.example<'),
  signed(
    'Issuer of the assertion that is not an entity',
    'assertion_issuer_mismatch',
    '<saml:Issuer>',
    `<saml:Issuer Format="${persistent}">`,
    '<saml:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">',
  ),
  signed(
    'issued in the future',
    'issued_in_future',
    / IssueInstant="[^"]*"/,
    ` IssueInstant="${at(skew + 1)}"`,
    ` IssueInstant="${at(skew)}"`,
  ),
  signed(
    'a time without zone',
    'time_invalid',
    conditionsEnd,
    `NotOnOrAfter="${at(60_000).slice(0, -1)}"`,
    `NotOnOrAfter="${at(60_000)}"`,
  ),
  signed('no NameID', 'name_id_missing', /<saml:NameID.*<\/saml:NameID>/, ''),
  signed('empty NameID', 'name_id_missing', 'ada@customer.example', ' '),
  signed('no Subject', 'name_id_missing', /<saml:Subject>.*<\/saml:Subject>/, ''),
  sent('NameID of 513 characters', 'name_id_too_long', { nameId: 'a'.repeat(513) }, { nameId: 'a'.repeat(512) }),
  signed(
    'encrypted NameID',
    'encrypted_id_unsupported',
    /<saml:NameID.*<\/saml:NameID>/,
    '<saml:EncryptedID><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#"><xenc:CipherData><xenc:CipherValue>AAAA</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedID>',
  ),
  sent(
    'persistent NameID of another IdP',
    'name_id_qualifier_mismatch',
    {
      nameIdFormat: persistent,
      edit: { assertion: replace(/(?<=<saml:NameID Format="[^"]*")/, ' NameQualifier="https://other.example"') },
    },
    {
      nameIdFormat: persistent,
      edit: { assertion: replace(/(?<=<saml:NameID Format="[^"]*")/, ' NameQualifier="https://idp.example/metadata"') },
    },
  ),
  sent(
    'persistent NameID for another service',
    'name_id_qualifier_mismatch',
    {
      nameIdFormat: persistent,
      edit: { assertion: replace(/(?<=<saml:NameID Format="[^"]*")/, ' SPNameQualifier="https://other.example"') },
    },
    {
      nameIdFormat: persistent,
      edit: {
        assertion: replace(/(?<=<saml:NameID Format="[^"]*")/, ' SPNameQualifier="https://rollcall.example/saml/c1/metadata"'),
      },
    },
  ),
  signed('confirmed as holder of a key', 'bearer_confirmation_missing', 'cm:bearer', 'cm:holder-of-key'),
  signed('confirmed as sender vouches', 'bearer_confirmation_missing', 'cm:bearer', 'cm:sender-vouches'),
  signed('no SubjectConfirmation', 'bearer_confirmation_missing', /<saml:SubjectConfirmation .*<\/saml:SubjectConfirmation>/, ''),
  signed(
    'no SubjectConfirmationData',
    'recipient_missing',
    /<saml:SubjectConfirmationData.*<\/saml:SubjectConfirmationData>/,
    '',
  ),
  signed('Recipient of another service', 'recipient_mismatch', /Recipient="[^"]*"/, 'Recipient="https://other.example/acs"'),
  signed('no Recipient', 'recipient_missing', / Recipient="[^"]*"/, ''),
  signed(
    'InResponseTo of another login in the confirmation',
    'confirmation_in_response_to_mismatch',
    /InResponseTo="[^"]*"/,
    'InResponseTo="_other"',
  ),
  signed('no InResponseTo in the confirmation', 'confirmation_in_response_to_missing', / InResponseTo="[^"]*"/, ''),
  signed('confirmation without an end', 'confirmation_expiry_missing', confirmationEnd, ''),
  signed(
    'confirmation over',
    'confirmation_expired',
    confirmationEnd,
    ` NotOnOrAfter="${at(-skew)}"`,
    ` NotOnOrAfter="${at(-skew + 1)}"`,
  ),
  signed(
    'confirmation not begun',
    'confirmation_not_yet_valid',
    confirmationEnd,
    ` NotBefore="${at(skew + 1)}" NotOnOrAfter="${at(300_000)}"`,
    ` NotBefore="${at(skew)}" NotOnOrAfter="${at(300_000)}"`,
  ),
  signed(
    'two confirmations, each with half of what is needed',
    'confirmation_in_response_to_mismatch',
    /<saml:SubjectConfirmation .*<\/saml:SubjectConfirmation>/,
    confirmation('_other', acsUrl) + confirmation(requestId, 'https://other.example'),
    confirmation('_other', acsUrl) + confirmation(requestId, acsUrl),
  ),
  signed('no Conditions', 'conditions_missing', /<saml:Conditions.*<\/saml:Conditions>/, ''),
  signed('Conditions without a beginning', 'conditions_times_missing', / NotBefore="[^"]*"/, ''),
  signed('Conditions without an end', 'conditions_times_missing', / NotOnOrAfter="[^"]*"(?=><saml:AudienceRestriction)/, ''),
  signed(
    'Conditions that end before they begin',
    'conditions_times_contradictory',
    conditionsBegin,
    `NotBefore="${at(300_000)}"`,
    `NotBefore="${at(-300_000)}"`,
  ),
  signed(
    'Conditions over',
    'conditions_expired',
    conditionsTimes,
    `NotBefore="${at(-300_000)}" NotOnOrAfter="${at(-skew)}"`,
    `NotBefore="${at(-300_000)}" NotOnOrAfter="${at(-skew + 1)}"`,
  ),
  signed(
    'Conditions not begun',
    'conditions_not_yet_valid',
    conditionsBegin,
    `NotBefore="${at(skew + 1)}"`,
    `NotBefore="${at(skew)}"`,
  ),
  signed(
    'unknown condition',
    'schema_invalid',
    '<saml:AudienceRestriction>',
    '<x:y xmlns:x="urn:x"></x:y><saml:AudienceRestriction>',
    '<saml:OneTimeUse></saml:OneTimeUse><saml:AudienceRestriction>',
  ),
  signed('Audience of another service', 'audience_mismatch', restriction, otherAudience),
  signed(
    'no AudienceRestriction',
    'audience_missing',
    restriction,
    '',
    '<saml:AudienceRestriction><saml:Audience>https://other.example</saml:Audience><saml:Audience>https://rollcall.example/saml/c1/metadata</saml:Audience></saml:AudienceRestriction>',
  ),
  signed(
    'two AudienceRestrictions, one for another service',
    'audience_mismatch',
    '<saml:AudienceRestriction>',
    `${otherAudience}<saml:AudienceRestriction>`,
  ),
  signed(
    'Audience that only begins like this service',
    'audience_mismatch',
    '/metadata</saml:Audience>',
    '/metadata/2</saml:Audience>',
  ),
  signed('no AuthnStatement', 'authn_statement_missing', /<saml:AuthnStatement.*<\/saml:AuthnStatement>/, ''),
  signed(
    'session over',
    'session_expired',
    /(?<=SessionIndex="[^"]*")/,
    ` SessionNotOnOrAfter="${at(-skew)}"`,
    ` SessionNotOnOrAfter="${at(-skew + 1)}"`,
  ),
  signed(
    'two attributes of one name',
    'attribute_duplicate',
    '<saml:AttributeStatement>',
    '<saml:AttributeStatement><saml:Attribute Name="groups"><saml:AttributeValue>admin</saml:AttributeValue></saml:Attribute>',
    '<saml:AttributeStatement><saml:Attribute Name="Groups"><saml:AttributeValue>admin</saml:AttributeValue></saml:Attribute>',
  ),
  signed(
    'two attributes of one name in two statements',
    'attribute_duplicate',
    '<saml:AttributeStatement>',
    '<saml:AttributeStatement><saml:Attribute Name="groups"></saml:Attribute></saml:AttributeStatement><saml:AttributeStatement>',
    '<saml:AttributeStatement><saml:Attribute Name="more"></saml:Attribute></saml:AttributeStatement><saml:AttributeStatement>',
  ),
  signed(
    'encrypted attribute',
    'encrypted_attribute_unsupported',
    '</saml:AttributeStatement>',
    '<saml:EncryptedAttribute><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#"><xenc:CipherData><xenc:CipherValue>AAAA</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedAttribute></saml:AttributeStatement>',
  ),
];

function confirmation(inResponseTo: string, recipient: string): string {
  return `<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData InResponseTo="${inResponseTo}" NotOnOrAfter="${at(300_000)}" Recipient="${recipient}"></saml:SubjectConfirmationData></saml:SubjectConfirmation>`;
}
