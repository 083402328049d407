import { describe, expect, it } from 'vitest';
import { emailDomain, normalDomain } from '../../../src/domain/email-domain.ts';

describe('the domain of an e-mail address', () => {
  it.each([
    ['ada@example.com', 'example.com'],
    ['Ada.Lovelace+x@EXAMPLE.com', 'example.com'],
    ['ada@bücher.example', 'xn--bcher-kva.example'],
    ['"a@b"@example.com', 'example.com'],
    ['ada@mail.example.co.uk', 'mail.example.co.uk'],
    ['ada@example.com.', 'example.com'],
  ])('of %s is %s', (email, domain) => {
    expect(emailDomain(email)).toBe(domain);
  });

  it.each([
    null,
    undefined,
    '',
    'ada',
    '@example.com',
    'ada@',
    'ada@localhost',
    'ada@127.0.0.1',
    'ada@[::1]',
    'ada@exa mple.com',
    'ada@-x.com',
    'ada@example..com',
    `${'a'.repeat(320)}@example.com`,
    "ada@example.com' OR 1=1 --",
    'ada@%65xample.com/../x',
  ])('of %j is none', (email) => {
    expect(emailDomain(email)).toBeNull();
  });

  it('is one name in every form in which it is typed', () => {
    expect([' Example.COM ', 'example.com.', 'EXAMPLE.com'].map(normalDomain)).toEqual(Array(3).fill('example.com'));
  });
});
