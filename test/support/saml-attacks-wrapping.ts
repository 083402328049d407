import { type Attack, sent } from './saml-attack.ts';
import { replace } from './saml-world.ts';

/**
 * XML signature wrapping: the eight classic shapes (Somorovsky et al., "On Breaking SAML", 2012; numbers as in SAML Raider), each on a
 * signed assertion and on a signed Response. What is signed stays in the message, unchanged; what is meant to be read stands elsewhere.
 */
export const wrappingAttacks: readonly Attack[] = [
  ...onAssertion(),
  ...onResponse(),
  sent('wrapping: the evil assertion has the ID of the signed one', 'id_duplicate', {
    edit: {
      message: (xml) =>
        beforeAssertion(
          xml,
          evil(assertionOf(xml)).replace(/ ID="_[^"]*"/, () => ` ID="${idOf(assertionOf(xml))}"`),
        ),
    },
  }),
  sent('wrapping: the signed assertion stands in the Advice of the evil one', 'assertion_multiple', {
    edit: {
      message: (xml) =>
        replaceAssertion(xml, (signed) =>
          evil(signed).replace('<saml:AuthnStatement', () => `<saml:Advice>${signed}</saml:Advice><saml:AuthnStatement`),
        ),
    },
  }),
  sent('wrapping: a whole signed Response stands inside the evil Response', 'response_structure_invalid', {
    edit: { message: (xml) => beforeAssertion(evil(xml), xml) },
  }),
];

function onAssertion(): Attack[] {
  const shape = (number: number, reason: Attack['reason'], change: (signed: string, evilOne: string) => string): Attack =>
    sent(`XSW${number} on a signed assertion`, reason, {
      edit: { message: (xml) => replaceAssertion(xml, (signed) => change(signed, evil(signed))) },
    });
  return [
    // The signature goes along with the evil assertion and holds the signed one.
    shape(1, 'assertion_multiple', (signed, evilOne) => withSignature(evilOne, signatureAround(signed, unsigned(signed)))),
    // The signature is detached: it follows the signed assertion, both inside the evil one.
    shape(2, 'assertion_multiple', (signed, evilOne) => appended(evilOne, unsigned(signed) + signatureOf(signed))),
    shape(3, 'assertion_multiple', (signed, evilOne) => evilOne + signed),
    shape(4, 'assertion_multiple', (signed, evilOne) => appended(evilOne, signed)),
    shape(5, 'assertion_multiple', (signed, evilOne) => withSignature(evilOne, signatureOf(signed)) + unsigned(signed)),
    shape(6, 'assertion_multiple', (signed, evilOne) => withSignature(evilOne, appended(signatureOf(signed), unsigned(signed)))),
    sent('XSW7 on a signed assertion', 'assertion_multiple', {
      edit: { message: (xml) => withExtensions(xml, evil(assertionOf(xml))) },
    }),
    shape(8, 'assertion_multiple', (signed, evilOne) =>
      withSignature(evilOne, appended(signatureOf(signed), object(unsigned(signed)))),
    ),
  ];
}

function onResponse(): Attack[] {
  /** The evil Response has an ID and an assertion of its own; `place` puts the signed Response and its signature somewhere into it. */
  const shape = (
    number: number,
    reason: Attack['reason'],
    place: (evilOne: string, signed: string, signature: string) => string,
  ): Attack => {
    const message = (xml: string) => place(evil(unsigned(xml)), unsigned(xml), signatureOf(xml));
    return sent(`XSW${number} on a signed Response`, reason, { signed: 'response', edit: { message } }, { signed: 'response' });
  };
  return [
    shape(1, 'response_structure_invalid', (evilOne, signed, signature) => withSignature(evilOne, appended(signature, signed))),
    shape(2, 'response_structure_invalid', (evilOne, signed, signature) => withSignature(evilOne, signed + signature)),
    shape(3, 'response_structure_invalid', (evilOne, signed, signature) =>
      beforeAssertion(evilOne, withSignature(signed, signature)),
    ),
    shape(4, 'response_structure_invalid', (evilOne, signed, signature) =>
      replaceAssertion(evilOne, (assertion) => appended(assertion, withSignature(signed, signature))),
    ),
    shape(5, 'response_structure_invalid', (evilOne, signed, signature) => appended(withSignature(evilOne, signature), signed)),
    shape(6, 'response_structure_invalid', (evilOne, signed, signature) =>
      replaceAssertion(evilOne, (assertion) => withSignature(assertion, appended(signature, signed))),
    ),
    shape(7, 'response_structure_invalid', (evilOne, signed, signature) =>
      withExtensions(evilOne, withSignature(signed, signature)),
    ),
    shape(8, 'response_structure_invalid', (evilOne, signed, signature) =>
      withSignature(evilOne, appended(signature, object(signed))),
    ),
  ];
}

const signaturePattern = /<ds:Signature [\s\S]*?<\/ds:Signature>/;
const assertionPattern = /<saml:Assertion [\s\S]*<\/saml:Assertion>/;

/** Another person, under an ID that nobody signed. */
export function evil(xml: string): string {
  return replace(
    'ada@customer.example</saml:NameID>',
    'admin@customer.example</saml:NameID>',
  )(unsigned(xml)).replaceAll(/ ID="_/g, ' ID="_evil');
}

export function assertionOf(xml: string): string {
  return match(xml, assertionPattern);
}

export function signatureOf(xml: string): string {
  return match(xml, signaturePattern);
}

function idOf(xml: string): string {
  return / ID="([^"]*)"/.exec(xml)?.[1] ?? '';
}

function match(xml: string, pattern: RegExp): string {
  const found = pattern.exec(xml)?.[0];
  if (found === undefined) throw new Error(`no ${pattern}`);
  return found;
}

export function unsigned(xml: string): string {
  return xml.replace(signaturePattern, '');
}

export function replaceAssertion(xml: string, change: (assertion: string) => string): string {
  return xml.replace(assertionPattern, change);
}

function beforeAssertion(xml: string, addition: string): string {
  return replaceAssertion(xml, (assertion) => addition + assertion);
}

export function withSignature(xml: string, signature: string): string {
  return xml.replace('</saml:Issuer>', () => `</saml:Issuer>${signature}`);
}

/** As the last child. */
export function appended(xml: string, addition: string): string {
  const end = xml.lastIndexOf('</');
  return xml.slice(0, end) + addition + xml.slice(end);
}

function signatureAround(signed: string, content: string): string {
  return signatureOf(signed).replace('<ds:SignedInfo>', () => `${content}<ds:SignedInfo>`);
}

function object(content: string): string {
  return `<ds:Object>${content}</ds:Object>`;
}

function withExtensions(xml: string, content: string): string {
  return xml.replace('<samlp:Status>', () => `<samlp:Extensions>${content}</samlp:Extensions><samlp:Status>`);
}
