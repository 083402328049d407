import { describe, expect, it } from 'vitest';
import type { SamlSettings } from '../../../src/domain/connection.ts';
import { samlIdentity } from '../../../src/saml/identity.ts';
import type { SamlAssertion } from '../../../src/saml/response.ts';

const emailFormat = 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress';
const persistent = 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent';
const transient = 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient';

const plain: SamlSettings = {
  type: 'saml',
  metadataXml: '',
  metadataUrl: null,
  signAuthnRequests: false,
  authnRequestBinding: 'redirect',
  nameIdFormat: null,
  emailAttribute: null,
  nameAttribute: null,
  givenNameAttribute: null,
  familyNameAttribute: null,
  clockSkewSeconds: 60,
};

function assertion(
  attributes: Record<string, readonly string[]>,
  nameId: SamlAssertion['nameId'] = { value: 'u-1', format: persistent },
): SamlAssertion {
  return {
    id: '_a1',
    issuer: 'https://idp.example',
    nameId,
    attributes,
    unreadableAttributes: [],
    sessionIndex: '_s1',
    authnInstant: new Date('2026-03-04T05:06:07Z'),
    expiresAt: new Date('2026-03-04T05:12:07Z'),
  };
}

const profileOf = (
  attributes: Record<string, readonly string[]>,
  settings: Partial<SamlSettings> = {},
  nameId?: SamlAssertion['nameId'],
) => samlIdentity(assertion(attributes, nameId), { ...plain, ...settings }).profile;

it('carries the assertion over', () => {
  const attributes = { groups: ['builders'] };
  expect(samlIdentity(assertion(attributes), plain)).toEqual({
    issuer: 'https://idp.example',
    subject: 'u-1',
    profile: { email: null, emailVerified: false, name: null, givenName: null, familyName: null },
    claims: [{ source: 'saml_attributes', claims: attributes }],
    answerId: '_a1',
    answerExpiresAt: new Date('2026-03-04T05:12:07Z'),
    authenticatedAt: new Date('2026-03-04T05:06:07Z'),
    sessionId: '_s1',
  });
});

it('refuses a transient NameID, which would be a new person at each login; a persistent one is accepted', () => {
  expect(() => samlIdentity(assertion({}, { value: 'x', format: transient }), plain)).toThrow(
    expect.objectContaining({ code: 'assertion_rejected', reason: 'name_id_transient' }),
  );
  expect(samlIdentity(assertion({}, { value: 'x', format: persistent }), plain).subject).toBe('x');
});

const soap = 'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/';

describe.each([
  ['Okta', { email: ['ada@x.example'], firstName: ['Ada'], lastName: ['Lovelace'] }],
  [
    'Entra ID',
    {
      [`${soap}emailaddress`]: ['ada@x.example'],
      [`${soap}givenname`]: ['Ada'],
      [`${soap}surname`]: ['Lovelace'],
      [`${soap}name`]: ['ada_upn@x.example'],
    },
  ],
  ['Google', { email: ['ada@x.example'], first_name: ['Ada'], last_name: ['Lovelace'] }],
  [
    'Keycloak',
    { 'urn:oid:1.2.840.113549.1.9.1': ['ada@x.example'], 'urn:oid:2.5.4.42': ['Ada'], 'urn:oid:2.5.4.4': ['Lovelace'] },
  ],
  [
    'Shibboleth',
    {
      'urn:oid:0.9.2342.19200300.100.1.3': ['ada@x.example'],
      'urn:oid:2.5.4.42': ['Ada'],
      'urn:oid:2.5.4.4': ['Lovelace'],
      'urn:oid:2.16.840.1.113730.3.1.241': ['Ada Lovelace'],
    },
  ],
])('the attributes that %s sends by default', (_, attributes) => {
  it('give e-mail and names', () => {
    expect(profileOf(attributes)).toEqual({
      email: 'ada@x.example',
      emailVerified: false,
      name: 'Ada Lovelace',
      givenName: 'Ada',
      familyName: 'Lovelace',
    });
  });
});

it('takes configured attributes, and then no others', () => {
  const attributes = {
    work: ['ada@work.example'],
    email: ['ada@home.example'],
    nick: ['Countess'],
    displayName: ['Ada'],
    g: ['A.'],
    f: ['L.'],
  };
  const settings = { emailAttribute: 'work', nameAttribute: 'nick', givenNameAttribute: 'g', familyNameAttribute: 'f' };
  expect(profileOf(attributes, settings)).toEqual({
    email: 'ada@work.example',
    emailVerified: false,
    name: 'Countess',
    givenName: 'A.',
    familyName: 'L.',
  });
  expect(profileOf({ email: ['ada@home.example'] }, settings).email).toBeNull();
});

it('falls back to a NameID that says it is an e-mail address, and to no other NameID', () => {
  expect(profileOf({}, {}, { value: 'Ada@X.Example', format: emailFormat }).email).toBe('Ada@x.example');
  expect(profileOf({}, {}, { value: 'ada@x.example', format: persistent }).email).toBeNull();
  expect(profileOf({ email: ['work@x.example'] }, {}, { value: 'ada@x.example', format: emailFormat }).email).toBe(
    'work@x.example',
  );
});

it('lowers the case of the domain and leaves the local part as sent', () => {
  expect(profileOf({ email: ['Ada.L@Customer.EXAMPLE'] }).email).toBe('Ada.L@customer.example');
});

it.each(['ada', 'a b@x.example', 'a@b@x.example', '@x.example', 'ada@', `${'a'.repeat(65)}@x.example`])(
  'does not take "%s" for an e-mail address',
  (value) => {
    expect(profileOf({ email: [value] }).email).toBeNull();
  },
);

it('never calls an address verified: SAML has no word for it', () => {
  expect(profileOf({ email: ['ada@x.example'], email_verified: ['true'], emailVerified: ['true'] }).emailVerified).toBe(false);
});

it('looks up own properties only', () => {
  expect(profileOf({}, { emailAttribute: 'constructor', nameAttribute: 'toString' })).toMatchObject({ email: null, name: null });
});

it('passes over empty values', () => {
  expect(profileOf({ displayName: ['', ' '], name: ['Ada'] }).name).toBe('Ada');
});
