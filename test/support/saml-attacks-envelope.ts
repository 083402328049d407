import { type Attack, expecting, sent } from './saml-attack.ts';
import { clockSkewSeconds, now, replace, requestId } from './saml-world.ts';

/** A change of the Response, once unsigned around a signed assertion and once signed itself. */
function onResponse(name: string, reason: Attack['reason'], from: string | RegExp, to: string): Attack[] {
  return [
    sent(`unsigned Response: ${name}`, reason, { edit: { message: replace(from, to) } }),
    sent(
      `signed Response: ${name}`,
      reason,
      { signed: 'response', edit: { response: replace(from, to) } },
      { signed: 'response' },
    ),
  ];
}

const skew = clockSkewSeconds * 1000;

/** Milliseconds from `now`, as the IdP writes it. */
function at(milliseconds: number): string {
  return new Date(now.getTime() + milliseconds).toISOString();
}

/** What stands on the Response around the assertion, or what this login expects of it, is not as it must be. */
export const envelopeAttacks: readonly Attack[] = [
  ...onResponse('version', 'version_unsupported', ' Version="2.0">', ' Version="1.1">'),
  ...onResponse(
    'Destination of another service',
    'destination_mismatch',
    /Destination="[^"]*"/,
    'Destination="https://other.example/acs"',
  ),
  ...onResponse(
    'Destination of another connection',
    'destination_mismatch',
    /Destination="[^"]*"/,
    'Destination="https://rollcall.example/saml/c2/acs"',
  ),
  sent(
    'signed Response: no Destination',
    'destination_missing',
    { signed: 'response', edit: { response: replace(/ Destination="[^"]*"/, '') } },
    { edit: { response: replace(/ Destination="[^"]*"/, '') } },
  ),
  ...onResponse(
    'Issuer',
    'response_issuer_mismatch',
    /(?<=^<samlp:Response.*?>)<saml:Issuer (.*?)>.*?<\/saml:Issuer>/,
    '<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">https://other.example</saml:Issuer>',
  ),
  ...onResponse(
    'Issuer that is not an entity',
    'response_issuer_mismatch',
    '<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">',
    '<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">',
  ),
  sent(
    'signed Response: no Issuer',
    'response_issuer_missing',
    { signed: 'response', edit: { response: withoutIssuer } },
    { edit: { response: withoutIssuer } },
  ),
  expecting('the IdP of another connection', 'response_issuer_mismatch', ({ idpKey }) => ({
    idp: { entityId: 'https://other.example', signingCertificates: [idpKey.certificate] },
  })),
  ...onResponse(
    'InResponseTo of another login',
    'in_response_to_mismatch',
    /(?<=^<samlp:Response.*?)InResponseTo="[^"]*"/,
    'InResponseTo="_other"',
  ),
  ...onResponse('unsolicited', 'in_response_to_missing', /(?<=^<samlp:Response.*?) InResponseTo="[^"]*"/, ''),
  expecting(
    'an answer for another browser',
    'in_response_to_mismatch',
    () => ({ requestId: '_other' }),
    () => ({ requestId }),
  ),
  ...onResponse('issued in the future', 'issued_in_future', / IssueInstant="[^"]*"/, ` IssueInstant="${at(skew + 1)}"`),
  sent('unsigned Response: no IssueInstant', 'time_invalid', { edit: { message: replace(/ IssueInstant="[^"]*"/, '') } }),
  expecting('another connection of this service', 'destination_mismatch', ({ spKey }) => ({
    sp: {
      entityId: 'https://rollcall.example/saml/c2/metadata',
      acsUrl: 'https://rollcall.example/saml/c2/acs',
      decryptionKeys: [spKey.privateKey],
    },
  })),
];

function withoutIssuer(response: string): string {
  return replace(/<saml:Issuer xmlns.*?<\/saml:Issuer>/, '')(response);
}
