import { diag } from 'libxml2-wasm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BrokerError } from '../../../src/domain/broker-error.ts';
import { treeLimits } from '../../../src/saml/limits.ts';
import { type OpenXmlDocument, withXmlDocument, type XmlElement, type XmlLimits } from '../../../src/saml/xml-document.ts';

const limits = treeLimits(4000);

function open<T>(xml: string, use: (document: OpenXmlDocument) => T, more: Partial<XmlLimits> = {}): T {
  return withXmlDocument(Buffer.from(xml), { ...limits, ...more }, use);
}

const tree = (xml: string): XmlElement => open(xml, ({ root }) => root);

function outcome(xml: string, more: Partial<XmlLimits> = {}): string | undefined {
  try {
    open(xml, () => undefined, more);
    return 'read';
  } catch (error) {
    return (error as BrokerError).reason;
  }
}

beforeAll(() => diag.configure({ enabled: true }));
afterAll(() => diag.configure({ enabled: false }));

describe('the tree', () => {
  it('tells names by namespace, whatever the prefix', () => {
    const { namespace, name, attributes, declarations } = tree(
      '<p:a xmlns:p="urn:p" xmlns:q="urn:q" ID="1" q:ID="2" xml:ID="3"/>',
    );
    expect({ namespace, name }).toEqual({ namespace: 'urn:p', name: 'a' });
    expect(attributes).toEqual([
      { namespace: '', name: 'ID', value: '1' },
      { namespace: 'urn:q', name: 'ID', value: '2' },
      { namespace: 'http://www.w3.org/XML/1998/namespace', name: 'ID', value: '3' },
    ]);
    expect(declarations).toEqual([
      ['p', 'urn:p'],
      ['q', 'urn:q'],
    ]);
  });

  it('reads text across CDATA sections and comments, but not that of children', () => {
    const { text, children } = tree('<a>1<!-- x -->2<![CDATA[<3>]]>&amp;<b>4</b>5</a>');
    expect(text).toBe('12<3>&5');
    expect(children.map((child) => child.text)).toEqual(['4']);
  });

  it('survives the document', () => {
    const kept = tree('<a><b c="d">e</b></a>');
    for (let time = 0; time < 50; time += 1) tree(`<x>${'other '.repeat(time)}</x>`);
    expect(kept.children[0]).toEqual({
      namespace: '',
      name: 'b',
      attributes: [{ namespace: '', name: 'c', value: 'd' }],
      declarations: [],
      children: [],
      text: 'e',
    });
  });

  it.each([
    '<a>',
    '<a></b>',
    '<a/><b/>',
    '<a b="1" b="2"/>',
    '<p:a/>',
    '<a p:b=""/>',
    '<a>&x;</a>',
    '',
    '<a xmlns:p=""/>',
    '<a xml:id="1"/>',
  ])('refuses %s', (xml) => {
    expect(outcome(xml)).toBe('xml_malformed');
  });

  it('refuses a processing instruction, even one that no byte scan saw', () => {
    expect(outcome('<a><?b c?></a>')).toBe('markup_not_allowed');
  });

  it('refuses a document type declaration, even one that no byte scan saw', () => {
    expect(outcome('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>')).toBe('doctype_not_allowed');
  });
});

describe('limits', () => {
  const nested = (depth: number) => '<a>'.repeat(depth) + '</a>'.repeat(depth);
  const counted = (count: number, piece: (index: number) => string) =>
    Array.from({ length: count }, (_, index) => piece(index)).join('');

  // Each one reached, and passed by one.
  it.each<[string, Partial<XmlLimits>, string, string]>([
    ['xml_too_deep', { maxDepth: 5 }, nested(5), nested(6)],
    ['xml_too_many_elements', { maxElements: 5 }, `<a>${'<b/>'.repeat(4)}</a>`, `<a>${'<b/>'.repeat(5)}</a>`],
    ['xml_too_many_attributes', { maxAttributesPerElement: 3 }, '<a b="" c="" d=""/>', '<a b="" c="" d="" e=""/>'],
    ['xml_too_many_attributes', { maxAttributes: 3 }, '<a b="" c=""><a d=""/></a>', '<a b="" c=""><a d="" e=""/></a>'],
    [
      'xml_too_many_namespaces',
      { maxNamespaceDeclarations: 3 },
      `<a>${'<b xmlns="u:u"/>'.repeat(3)}</a>`,
      `<a>${'<b xmlns="u:u"/>'.repeat(4)}</a>`,
    ],
    [
      'xml_too_many_namespaces',
      { maxNamespacesInScope: 3 },
      '<a xmlns="u:u" xmlns:p="u:u"><b xmlns:q="u:u"/><b xmlns:r="u:u"/></a>',
      '<a xmlns="u:u" xmlns:p="u:u"><b xmlns:q="u:u"><b xmlns:r="u:u"/></b></a>',
    ],
    ['xml_namespace_too_long', { maxNamespaceCharacters: 5 }, '<a xmlns:p="u:uu"/>', '<a xmlns:p="u:uuu"/>'],
    // an element, its text, a comment, an attribute, a declaration: each as often as it is deep
    [
      'xml_too_much_work',
      { maxWork: 1 + 2 + 2 + 2 * 3 },
      '<a>x<!---->' + '<b c="" xmlns="u:u"/></a>',
      '<a>x<!---->y' + '<b c="" xmlns="u:u"/></a>',
    ],
  ])('%s', (reason, more, within, beyond) => {
    expect(outcome(within, more)).toBe('read');
    expect(outcome(beyond, more)).toBe(reason);
  });

  it('refuses a relative namespace, which has no canonical form; an absent one is fine', () => {
    expect(outcome('<a xmlns="rel"/>')).toBe('xml_namespace_relative');
    expect(outcome('<a xmlns="u:u"><b xmlns=""/></a>')).toBe('read');
  });

  it('sees each declaration however it is called', () => {
    expect(
      outcome(`<a ${counted(5, (index) => ` xmlns:p${index}="u:u"`)} xmlns:constructor="u:u"/>`, { maxNamespacesInScope: 5 }),
    ).toBe('xml_too_many_namespaces');
  });
});

describe('canonical text', () => {
  const canonical = (xml: string, pick: (root: XmlElement) => XmlElement, prefixes: string[] = []) =>
    open(xml, (document) => document.canonicalize(pick(document.root), prefixes).toString());
  const first = (root: XmlElement) => root.children[0] ?? root;

  it('is exclusive, without comments', () => {
    const xml = `<?xml version="1.0"?>\n<a xmlns="urn:a" xmlns:b='urn:b' xmlns:c="urn:c"><!-- x --><b:d z='1' a="2"  b:y="3"><e/>&#x41;<![CDATA[<]]></b:d></a>\n`;
    expect(canonical(xml, first)).toBe('<b:d xmlns:b="urn:b" a="2" z="1" b:y="3"><e xmlns="urn:a"></e>A&lt;</b:d>');
    expect(canonical(xml, first, ['c', '#default'])).toBe(
      '<b:d xmlns="urn:a" xmlns:b="urn:b" xmlns:c="urn:c" a="2" z="1" b:y="3"><e></e>A&lt;</b:d>',
    );
    expect(canonical(xml, (root) => root)).toBe(
      '<a xmlns="urn:a"><b:d xmlns:b="urn:b" a="2" z="1" b:y="3"><e></e>A&lt;</b:d></a>',
    );
  });

  it('keeps every byte, whatever falls on the border of a chunk', () => {
    for (const character of ['\ufeff', 'é', '👩']) {
      const text = `${character}`.repeat(5000);
      for (const shift of ['', 'x', 'xx', 'xxx'])
        expect(canonical(`<a>${shift}${text}</a>`, (root) => root)).toBe(`<a>${shift}${text}</a>`);
    }
  });

  it('no longer has what was removed, while the tree that was read still does', () => {
    open('<a><b><c/></b><d/></a>', (document) => {
      const b = first(document.root);
      document.remove(b);
      expect(document.canonicalize(document.root, []).toString()).toBe('<a><d></d></a>');
      expect(document.root.children).toHaveLength(2);
      expect(() => document.canonicalize(first(b), [])).toThrow(TypeError);
      document.remove(b);
    });
  });

  it('is not given of an element of another document', () => {
    expect(() => open('<a><b/></a>', (document) => document.canonicalize(first(tree('<a><b/></a>')), []))).toThrow(TypeError);
  });
});

describe('memory', () => {
  it('no document stays open, whatever happened to it', () => {
    for (let time = 0; time < 300; time += 1) {
      outcome('<a>');
      outcome('<a><b/></a>', { maxElements: 1 });
      outcome('<!DOCTYPE a><a/>');
      expect(() =>
        open('<a/>', () => {
          throw new Error('thrown while open');
        }),
      ).toThrow('thrown while open');
    }
    expect(Object.keys(diag.report() as object)).toEqual([]);
    expect(outcome('<a/>')).toBe('read');
  });

  it('takes no more of it after thousands of documents', () => {
    const xml = `<a>${'<b c="d">e</b>'.repeat(500)}</a>`;
    const work = (times: number) => {
      for (let time = 0; time < times; time += 1)
        open(xml, (document) => document.canonicalize(document.root.children[3] ?? document.root, []));
      return process.memoryUsage().arrayBuffers;
    };
    work(200);
    expect(work(2000) - work(10)).toBeLessThan(8 * 2 ** 20);
  });
});
