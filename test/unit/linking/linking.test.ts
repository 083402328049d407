import { describe, expect, it } from 'vitest';
import type { AllowedDomain, Connection } from '../../../src/domain/connection.ts';
import type { Profile } from '../../../src/domain/federated-identity.ts';
import { checkEmailDomain, linkByEmailOf } from '../../../src/login/linking.ts';

const profile = (email: string | null, emailVerified = false): Profile => ({
  email,
  emailVerified,
  name: null,
  givenName: null,
  familyName: null,
});
const allowed: AllowedDomain[] = [
  { domain: 'acme.example', verified: true },
  { domain: 'partner.example', verified: false },
];
const connection = (linking: Connection['linking']) => ({ linking }) as Connection;

describe('allowed e-mail domains', () => {
  it.each([['ann@acme.example'], ['ann@ACME.example'], ['bob@partner.example']])('R33 let %s in', (email) => {
    expect(() => checkEmailDomain(allowed, profile(email))).not.toThrow();
  });

  it.each([['ann@acme.example.evil.example'], ['ann@sub.acme.example'], ['ann@acme.example@evil.example'], [null], ['ann']])(
    'R33 keep %j out',
    (email) => {
      expect(() => checkEmailDomain(allowed, profile(email, true))).toThrow(
        expect.objectContaining({ code: 'not_entitled', reason: 'email_domain_not_allowed' }),
      );
    },
  );

  it('R33 keep nobody out while there are none', () => {
    expect(() => checkEmailDomain([], profile(null))).not.toThrow();
  });
});

describe('linking by e-mail', () => {
  it('R33 is off unless the connection says otherwise', () => {
    expect(linkByEmailOf(connection('none'), allowed, profile('ann@acme.example', true))).toBeNull();
  });

  it.each([
    ['verified by the IdP, domain allowed', 'ann@partner.example', true, true],
    ['not verified by the IdP, domain allowed', 'ann@partner.example', false, false],
    ["not verified by the IdP, domain the connection's own", 'ann@acme.example', false, true],
  ])('R33 vouches for an address: %s', (_what, email, verified, vouchedFor) => {
    const link = linkByEmailOf(connection('verified-email'), allowed, profile(email, verified));
    expect(link).toMatchObject({ email, vouchedFor });
  });

  it.each([['ann@elsewhere.example'], [null], ['bar\u212A@acme.example'], ['müller@acme.example']])(
    'R33 does not reach %j',
    (email) => {
      expect(linkByEmailOf(connection('verified-email'), allowed, profile(email, true))).toBeNull();
    },
  );
});
