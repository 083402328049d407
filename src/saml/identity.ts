import type { SamlSettings } from '../domain/connection.ts';
import type { FederatedIdentity, Profile } from '../domain/federated-identity.ts';
import { rejected } from './rejection.ts';
import type { SamlAssertion } from './response.ts';
import { nameIdFormats } from './vocabulary.ts';

/**
 * What a verified assertion says about a person.
 * @throws BrokerError assertion_rejected `name_id_transient`
 */
export function samlIdentity(assertion: SamlAssertion, settings: SamlSettings): FederatedIdentity {
  const { issuer, nameId, attributes } = assertion;
  if (nameId.format === nameIdFormats.transient) {
    throw rejected(
      'name_id_transient',
      'the IdP sent a transient NameID, which is another one at each login; set it to a persistent or e-mail NameID there',
    );
  }
  return {
    issuer,
    subject: nameId.value,
    profile: readProfile(assertion, settings),
    claims: [{ source: 'saml_attributes', claims: attributes }],
    answerId: assertion.id,
    answerExpiresAt: assertion.expiresAt,
    authenticatedAt: assertion.authnInstant,
    sessionId: assertion.sessionIndex,
  };
}

/**
 * Names under which Okta, Entra ID, Google and Keycloak send the profile by default, the unambiguous ones first.
 * `urn:oid:…` are the X.500 attributes as SAML Profiles 8.2 names them; the `schemas.xmlsoap.org` ones come from Entra ID and ADFS.
 */
const wellKnown = {
  email: [
    'email',
    'mail',
    'Email',
    'emailAddress',
    'emailaddress',
    'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress',
    'urn:oid:0.9.2342.19200300.100.1.3', // mail
    'urn:oid:1.2.840.113549.1.9.1', // emailAddress of PKCS#9, Keycloak's default
  ],
  name: [
    'displayName',
    'displayname',
    'name',
    'http://schemas.microsoft.com/identity/claims/displayname',
    'urn:oid:2.16.840.1.113730.3.1.241', // displayName
    'urn:oid:2.5.4.3', // cn
  ],
  givenName: [
    'firstName',
    'givenName',
    'given_name',
    'first_name',
    'FirstName',
    'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname',
    'urn:oid:2.5.4.42', // givenName
  ],
  familyName: [
    'lastName',
    'surname',
    'sn',
    'family_name',
    'last_name',
    'LastName',
    'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname',
    'urn:oid:2.5.4.4', // sn
  ],
} as const;

function readProfile({ attributes, nameId }: SamlAssertion, settings: SamlSettings): Profile {
  const first = (configured: string | null, names: readonly string[]): string | null => {
    for (const name of configured === null ? names : [configured]) {
      const value = Object.hasOwn(attributes, name) ? attributes[name]?.map((each) => each.trim()).find(isLine) : undefined;
      if (value !== undefined) return value;
    }
    return null;
  };
  const givenName = first(settings.givenNameAttribute, wellKnown.givenName);
  const familyName = first(settings.familyNameAttribute, wellKnown.familyName);
  const fullName = [givenName, familyName].filter((part) => part !== null).join(' ');
  const email = toEmail(first(settings.emailAttribute, wellKnown.email));
  return {
    email: email ?? (nameId.format === nameIdFormats.emailAddress ? toEmail(nameId.value) : null),
    // SAML has no statement that says whether anybody ever proved to own the address.
    emailVerified: false,
    // What Entra ID calls `claims/name` is the user principal name: better a name made of its parts.
    name: first(settings.nameAttribute, wellKnown.name) ?? (fullName || null),
    givenName,
    familyName,
  };
}

/** A line of text fit for a page, a token and a list of members; what is none is left out, as by OpenID Connect. */
function isLine(text: string): boolean {
  return text.length > 0 && text.length <= 320 && !/\p{Cc}/u.test(text);
}

/** The address with its domain in lower case, or null when it is none. The local part is the receiver's business (RFC 5321 2.4). */
function toEmail(text: string | null): string | null {
  const match = /^([^\s@]{1,64})@([^\s@]{1,255})$/.exec(text ?? '');
  return match === null ? null : `${match[1]}@${match[2]?.toLowerCase()}`;
}
