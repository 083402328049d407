import type { KeyObject } from 'node:crypto';
import type { RespondOptions, SamlSigner } from './saml-response-builder.ts';

export interface HostileAnswer {
  readonly name: string;
  readonly responseBase64: string;
}

const maxBytes = 256 * 1024;

/**
 * Answers made to cost time. Those of a stranger carry a genuine signature over something else, which gets them as far as a signature
 * can; those of a hostile IdP are signed by it and fill the limits to the brim.
 */
export function hostileAnswers(idp: SamlSigner, genuine: RespondOptions, encryptFor: KeyObject): readonly HostileAnswer[] {
  const stranger = (name: string, filling: (room: number) => string): HostileAnswer => {
    const xml = idp.respondXml(genuine);
    const filled = xml.replace(
      '<saml:AttributeStatement>',
      () => `${filling(maxBytes - xml.length - 100)}<saml:AttributeStatement>`,
    );
    return { name: `stranger: ${name}`, responseBase64: Buffer.from(filled).toString('base64') };
  };
  const hostileIdp = (name: string, filling: (room: number) => string): HostileAnswer => {
    const room = maxBytes - idp.respondXml(genuine).length - 100;
    const assertion = (xml: string) =>
      xml.replace('</saml:AttributeStatement>', () => `${filling(room)}</saml:AttributeStatement>`);
    return { name: `hostile IdP: ${name}`, responseBase64: idp.respond({ ...genuine, edit: { assertion } }) };
  };
  const fillOutside = (xml: string) => {
    const filling = nested(
      2,
      many((index) => `<x a="${index}" b=""></x>`, maxBytes, 3700),
    );
    return xml.replace('<samlp:Status>', () => `<samlp:Extensions>${filling}</samlp:Extensions><samlp:Status>`);
  };
  const fillInside = (xml: string) => {
    const filling = attributeOf(
      many((index) => `<saml:AttributeValue b="" c="">g${index}</saml:AttributeValue>`, maxBytes, 1800),
    );
    return xml.replace('</saml:AttributeStatement>', () => `${filling}</saml:AttributeStatement>`);
  };
  const prefixList = `<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="${many((index) => `z${index} `, 999, 16)}"/>`;
  return [
    {
      name: 'stranger: prefixes that are looked up and not found',
      responseBase64: Buffer.from(
        fillOutside(idp.respondXml(genuine))
          .replace('<samlp:Response ', (start) => start + many((index) => `xmlns:q${index}="urn:q" `, 9999, 60))
          .replace('</ds:CanonicalizationMethod>', (end) => prefixList + end),
      ).toString('base64'),
    },
    {
      name: 'hostile IdP: filled inside and outside of the encryption',
      responseBase64: idp.respond({
        ...genuine,
        signed: 'both',
        encrypt: { publicKey: encryptFor },
        edit: { assertion: fillInside, response: fillOutside },
      }),
    },
    stranger('20,000 attributes', (room) =>
      element(
        'x',
        many((index) => ` a${index}=""`, room),
      ),
    ),
    stranger('20,000 namespaces', (room) =>
      element(
        'x',
        many((index) => ` xmlns:a${index}="u:u"`, room),
      ),
    ),
    stranger('20,000 elements', (room) => many(() => '<x></x>', room)),
    stranger('4,000 namespaces on 4,000 elements', (room) => many(() => '<x xmlns:a="u:u"></x>', room, 3900)),
    stranger('31 attributes on each element', (room) =>
      many(
        () =>
          element(
            'x',
            many((index) => ` a${index}=""`, 999, 31),
          ),
        room,
      ),
    ),
    stranger('a long namespace on each of 3,900 siblings', (room) =>
      element(
        'y',
        ` xmlns:a="u:${'u'.repeat(room - 50_000)}"`,
        many(() => '<a:x></a:x>', 45_000, 3900),
      ),
    ),
    stranger('60,000 comments', (room) => many(() => '<!---->', room)),
    stranger('comments, deep', (room) =>
      nested(
        30,
        many(() => 'a<!---->', room - 400, 1100),
      ),
    ),
    stranger('nested 30,000 deep', (room) => '<x>'.repeat(room / 7) + '</x>'.repeat(room / 7)),
    stranger('work to the brim, deep', () =>
      nested(
        30,
        many((index) => `<x a="${index}" b=""></x>`, maxBytes, 740),
      ),
    ),
    stranger('work to the brim, flat', () =>
      nested(
        3,
        many((index) => `<x a="${index}" b=""></x>`, maxBytes, 3800),
      ),
    ),
    stranger('character references', (room) =>
      element(
        'x',
        '',
        many(() => '&#65;', room),
      ),
    ),
    stranger('undeclared prefixes', (room) => many(() => '<a:x></a:x>', room)),
    stranger('repeated attributes', (room) =>
      element(
        'x',
        many(() => ' a=""', room),
      ),
    ),
    hostileIdp('values of unknown type', (room) =>
      attributeOf(
        many(
          () =>
            '<saml:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="saml:x"></saml:AttributeValue>',
          room,
        ),
      ),
    ),
    hostileIdp('attributes without names', (room) => many(() => '<saml:Attribute></saml:Attribute>', room, 3900)),
    hostileIdp('attributes with unknown attributes', (room) =>
      many(
        () =>
          element(
            'saml:Attribute',
            many((index) => ` a${index + 10}=""`, 999, 31),
          ),
        room,
      ),
    ),
    hostileIdp('as many bad elements as are weighed', () =>
      many((index) => `<saml:Attribute N${index}=""></saml:Attribute>`, maxBytes, 930),
    ),
    hostileIdp('3,900 groups', (room) =>
      attributeOf(many((index) => `<saml:AttributeValue>g${index}</saml:AttributeValue>`, room, 3900)),
    ),
    hostileIdp('work to the brim', (room) =>
      attributeOf(
        many(
          (index) =>
            element(
              'saml:AttributeValue',
              many((at) => ` b${at}=""`, 999, 2),
              `g${index}`,
            ),
          room,
          3600,
        ),
      ),
    ),
  ];
}

function many(piece: (index: number) => string, room: number, most = Number.POSITIVE_INFINITY): string {
  let made = '';
  for (let index = 0; index < most; index += 1) {
    const next = piece(index);
    if (made.length + next.length > room) break;
    made += next;
  }
  return made;
}

function element(name: string, attributes: string, content = ''): string {
  return `<${name}${attributes}>${content}</${name}>`;
}

function nested(depth: number, content: string): string {
  return '<y>'.repeat(depth) + content + '</y>'.repeat(depth);
}

function attributeOf(values: string): string {
  return `<saml:Attribute Name="hostile">${values}</saml:Attribute>`;
}
