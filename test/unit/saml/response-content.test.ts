import { beforeAll, expect, it } from 'vitest';
import type { RespondOptions } from '../../support/saml-response-builder.ts';
import { createSamlWorld, now, replace, type SamlWorld } from '../../support/saml-world.ts';

/** What is read from an accepted answer: what was signed, exactly. */
let world: SamlWorld;
beforeAll(async () => {
  world = await createSamlWorld();
});

const modes = ['assertion', 'response', 'both'] as const;

const read = (options: Partial<RespondOptions>) => world.verify(world.respond(options)).assertion;

it.each(modes)('reads the whole NameID and the whole group around a comment (%s)', (signed) => {
  const message = (xml: string) =>
    xml
      .replace('ada@customer.example</saml:NameID>', 'ada@customer<!-- x -->.example</saml:NameID>')
      .replace('>builders<', '>build<!---->ers<');
  const { nameId, attributes } = read({ signed, edit: { message } });
  expect(nameId.value).toBe('ada@customer.example');
  expect(attributes.groups).toEqual(['builders', 'Marketing & Sales']);
});

it('reads a signed NameID that a comment would cut as it was signed', () => {
  const { nameId } = read({
    nameId: 'admin@customer.example.evil.example',
    edit: { message: replace('.evil.example</saml:NameID>', '<!---->.evil.example</saml:NameID>') },
  });
  expect(nameId.value).toBe('admin@customer.example.evil.example');
});

it('reads CDATA sections and character references as text', () => {
  const message = (xml: string) =>
    xml.replace('>builders<', '><![CDATA[build]]>ers<').replace('ada@customer.example</', '&#97;da@customer.example</');
  const { nameId, attributes } = read({ edit: { message } });
  expect(nameId.value).toBe('ada@customer.example');
  expect(attributes.groups?.[0]).toBe('builders');
});

it('keeps values exactly: spaces, line ends, controls, astral characters, U+FEFF inside', () => {
  const groups = ['  edge  ', 'a\r\nb\tc', '\u0085\u2028', '👩🏽‍🚀', 'x\ufeffy', 'e\u0301', 'é', '<&>"\''];
  expect(read({ attributes: { groups } }).attributes.groups).toEqual(groups);
});

it('has attributes named __proto__ and constructor as own properties, and no others', () => {
  const { attributes } = read({
    attributes: Object.fromEntries([
      ['__proto__', ['admins']],
      ['constructor', ['x']],
    ]),
  });
  expect(Object.entries(attributes)).toEqual([
    ['__proto__', ['admins']],
    ['constructor', ['x']],
  ]);
  expect(Object.getPrototypeOf(attributes)).toBe(Object.prototype);
  expect(Object.hasOwn(attributes, 'toString')).toBe(false);
});

it('tells no value (xsi:nil, no AttributeValue) from an empty one', () => {
  const nil = '<saml:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"></saml:AttributeValue>';
  const assertion = replace(
    '<saml:AttributeStatement>',
    `<saml:AttributeStatement><saml:Attribute Name="nil">${nil}</saml:Attribute><saml:Attribute Name="none"></saml:Attribute>`,
  );
  const { attributes } = read({ attributes: { empty: [''] }, edit: { assertion } });
  expect(attributes).toEqual({ nil: [], none: [], empty: [''] });
});

it('R25 leaves an attribute out when one of its values is not text, and says so', () => {
  const complex =
    '<saml:Attribute Name="groups"><saml:AttributeValue>builders</saml:AttributeValue><saml:AttributeValue><saml:NameID>x</saml:NameID></saml:AttributeValue></saml:Attribute>';
  const { attributes, unreadableAttributes } = read({
    attributes: { mail: ['x'] },
    edit: { assertion: replace('<saml:AttributeStatement>', `<saml:AttributeStatement>${complex}`) },
  });
  expect(attributes).toEqual({ mail: ['x'] });
  expect(unreadableAttributes).toEqual(['groups']);
});

it('remembers the answer until the later of two confirmations ends, but not after the Conditions do', () => {
  const secondConfirmation = (until: string) => (xml: string) =>
    xml.replace(
      /<saml:SubjectConfirmation .*<\/saml:SubjectConfirmation>/,
      (first) => first + first.replace(/NotOnOrAfter="[^"]*"/, `NotOnOrAfter="${until}"`),
    );
  const expiry = (until: string) => read({ validSeconds: 300, edit: { assertion: secondConfirmation(until) } }).expiresAt;
  expect(expiry('2026-03-04T05:07:00Z')).toEqual(new Date(now.getTime() + 360_000));
  expect(expiry('2027-01-01T00:00:00Z')).toEqual(new Date(now.getTime() + 360_000));
});

it('accepts an assertion without attributes', () => {
  expect(read({ attributes: {} }).attributes).toEqual({});
});
