/**
 * The one file that touches libxml2 (WebAssembly). Its rules:
 * - A node does not keep its document alive: after `dispose` it reads whatever lies there by then, perhaps another person's login.
 *   So a document is open inside `withXmlDocument` only, and what its tree says leaves as plain strings.
 * - A callback never throws: the exception would unwind through WebAssembly and leave the module broken.
 * - Canonical text leaves as bytes. The library's own way to a string decodes chunk by chunk and loses a U+FEFF at a chunk's start.
 */
import {
  XmlElement as NativeElement,
  ParseOption,
  XmlBufferInputProvider,
  XmlC14NMode,
  XmlCData,
  XmlComment,
  XmlDocument,
  XmlError,
  XmlText,
  XsdValidator,
  xmlCleanupInputProvider,
  xmlRegisterInputProvider,
} from 'libxml2-wasm';
import { BrokerError } from '../domain/broker-error.ts';
import { rejected } from './rejection.ts';

/** An element and all below it, copied out of the document: safe to keep. */
export interface XmlElement {
  /** Namespace URI; '' for none. */
  readonly namespace: string;
  /** Local name. */
  readonly name: string;
  readonly attributes: readonly XmlAttribute[];
  /** Prefix ('' for the default) and URI of each namespace declared on this very element. */
  readonly declarations: readonly (readonly [prefix: string, uri: string])[];
  readonly children: readonly XmlElement[];
  /** All character data that stands directly inside, CDATA sections included, as if comments and child elements were not there. */
  readonly text: string;
}

export interface XmlAttribute {
  readonly namespace: string;
  readonly name: string;
  readonly value: string;
}

export interface XmlLimits {
  readonly maxElements: number;
  /** The root has depth 1. */
  readonly maxDepth: number;
  readonly maxAttributesPerElement: number;
  readonly maxAttributes: number;
  readonly maxNamespaceDeclarations: number;
  readonly maxNamespacesInScope: number;
  /** Of a prefix and its URI together. */
  readonly maxNamespaceCharacters: number;
  /** Nodes of every kind, each counted as often as it is deep. */
  readonly maxWork: number;
}

/** An open document. Usable inside `withXmlDocument` only. */
export interface OpenXmlDocument {
  readonly root: XmlElement;
  /**
   * The bytes of exclusive XML canonicalization 1.0 without comments of the element and all below it.
   * @param inclusivePrefixes PrefixList of InclusiveNamespaces (Exclusive XML Canonicalization 3)
   */
  canonicalize(element: XmlElement, inclusivePrefixes: readonly string[]): Buffer;
  /** Takes the element and all below it out of the tree that later calls work on, if it is still there; `root` stays as it was read. */
  remove(element: XmlElement): void;
  isValid(element: XmlElement, schema: XmlSchema): boolean;
}

/** A compiled XML Schema. It is never changed and lives as long as the process. */
export interface XmlSchema {
  readonly validator: XsdValidator;
}

/**
 * Parses the bytes (UTF-8, whatever they declare), copies the tree within the limits and hands both to `use`.
 * @throws BrokerError assertion_rejected, reason `xml_…`, when the bytes are not well formed or pass a limit
 */
export function withXmlDocument<T>(bytes: Uint8Array, limits: XmlLimits, use: (document: OpenXmlDocument) => T): T {
  const document = parse(bytes);
  try {
    if (document.dtd !== null) throw rejected('doctype_not_allowed', 'the message has a document type declaration');
    const natives = new Map<XmlElement, NativeElement>();
    const root = natively(() => copyTree(document.root, limits, natives));
    const nativeOf = (element: XmlElement): NativeElement => {
      const native = natives.get(element);
      if (native === undefined) throw new TypeError('the element is not of this document, or was removed from it');
      return native;
    };
    return use({
      root,
      canonicalize: (element, inclusivePrefixes) =>
        canonicalize(document, element === root ? null : nativeOf(element), inclusivePrefixes),
      remove(element) {
        natively(() => natives.get(element)?.remove());
        forget(element, natives);
      },
      isValid: (element, schema) => isValid(nativeOf(element), schema),
    });
  } finally {
    natively(() => document.dispose());
  }
}

/**
 * Compiles a schema set; takes some 60 ms.
 * @param files by the name under which the schemas import each other
 * @param main name of the schema that imports all others
 */
export function compileXmlSchema(files: Readonly<Record<string, Uint8Array>>, main: string): XmlSchema {
  const source = files[main];
  if (source === undefined) throw new TypeError('the main schema is not among the files');
  return natively(() => {
    xmlRegisterInputProvider(new XmlBufferInputProvider({ ...files }));
    const document = XmlDocument.fromBuffer(source, {
      url: main,
      option: ParseOption.XML_PARSE_NO_XXE | ParseOption.XML_PARSE_NONET,
    });
    try {
      return { validator: XsdValidator.fromDoc(document) };
    } finally {
      document.dispose();
      // Afterwards libxml2 has no way left to open anything by name.
      xmlCleanupInputProvider();
    }
  });
}

function parse(bytes: Uint8Array): XmlDocument {
  try {
    return natively(() =>
      XmlDocument.fromBuffer(bytes, {
        encoding: 'utf-8',
        option:
          ParseOption.XML_PARSE_IGNORE_ENC |
          ParseOption.XML_PARSE_NO_XXE |
          ParseOption.XML_PARSE_NONET |
          ParseOption.XML_PARSE_NOWARNING,
      }),
    );
  } catch (error) {
    // The library's message quotes the document: it stays out of details and logs.
    if (error instanceof XmlError) throw rejected('xml_malformed', 'the message is not well-formed XML');
    throw error;
  }
}

const absoluteUri = /^[A-Za-z][A-Za-z0-9+.-]*:/;

function copyTree(root: NativeElement, limits: XmlLimits, natives: Map<XmlElement, NativeElement>): XmlElement {
  let elements = 0;
  let attributeCount = 0;
  let namespaces = 0;
  let work = 0;
  const addWork = (steps: number): void => {
    work += steps;
    if (work > limits.maxWork) throw rejected('xml_too_much_work', 'the message has too many nodes at too great a depth');
  };

  const copy = (native: NativeElement, depth: number, outerNamespaces: number): XmlElement => {
    elements += 1;
    if (elements > limits.maxElements) throw rejected('xml_too_many_elements', `more than ${limits.maxElements} elements`);
    if (depth > limits.maxDepth) throw rejected('xml_too_deep', `elements are nested more than ${limits.maxDepth} deep`);
    const nativeAttributes = native.attrs;
    attributeCount += nativeAttributes.length;
    if (nativeAttributes.length > limits.maxAttributesPerElement || attributeCount > limits.maxAttributes) {
      throw rejected(
        'xml_too_many_attributes',
        `more than ${limits.maxAttributesPerElement} attributes on an element or ${limits.maxAttributes} in all`,
      );
    }
    const declarations = Object.entries(native.nsDeclarations);
    namespaces += declarations.length;
    const namespacesInScope = outerNamespaces + declarations.length;
    if (namespaces > limits.maxNamespaceDeclarations || namespacesInScope > limits.maxNamespacesInScope) {
      throw rejected('xml_too_many_namespaces', 'the message declares too many namespaces');
    }
    if (declarations.some(([prefix, uri]) => prefix.length + uri.length > limits.maxNamespaceCharacters)) {
      throw rejected('xml_namespace_too_long', `a namespace is longer than ${limits.maxNamespaceCharacters} characters`);
    }
    // Canonical XML 1.0 1.3 gives such documents no canonical form.
    if (declarations.some(([, uri]) => uri !== '' && !absoluteUri.test(uri))) {
      throw rejected('xml_namespace_relative', 'the message declares a namespace that is not an absolute URI');
    }
    addWork(depth * (1 + nativeAttributes.length + declarations.length));

    const attributes = nativeAttributes.map(({ namespaceUri, name, value }) => ({ namespace: namespaceUri, name, value }));
    const children: XmlElement[] = [];
    let text = '';
    for (let node = native.firstChild; node !== null; node = node.next) {
      if (node instanceof NativeElement) {
        children.push(copy(node, depth + 1, namespacesInScope));
        continue;
      }
      addWork(depth + 1);
      if (node instanceof XmlText || node instanceof XmlCData) text += node.content;
      else if (!(node instanceof XmlComment))
        throw rejected('markup_not_allowed', 'the message has markup that SAML does not use');
    }
    const element = { namespace: native.namespaceUri, name: native.name, attributes, declarations, children, text };
    natives.set(element, native);
    return element;
  };
  return copy(root, 1, 0);
}

/** @param element null: the whole document, which takes no question per node and is faster */
function canonicalize(document: XmlDocument, element: NativeElement | null, inclusivePrefixes: readonly string[]): Buffer {
  const chunks: Buffer[] = [];
  const collect = {
    write(chunk: Uint8Array): number {
      // The chunk is a view of WebAssembly memory, overwritten by the next one: `Buffer.from` copies.
      chunks.push(Buffer.from(chunk));
      return chunk.byteLength;
    },
    close: () => true,
  };
  natively(() =>
    document.canonicalize(collect, {
      mode: XmlC14NMode.XML_C14N_EXCLUSIVE_1_0,
      withComments: false,
      ...(inclusivePrefixes.length > 0 && { inclusiveNamespacePrefixes: [...inclusivePrefixes] }),
      ...(element !== null && { nodeSet: new Set([element]) }),
    }),
  );
  return Buffer.concat(chunks);
}

function isValid(element: NativeElement, schema: XmlSchema): boolean {
  try {
    natively(() => schema.validator.validate(element));
    return true;
  } catch (error) {
    // Its message quotes the document.
    if (error instanceof XmlError) return false;
    throw error;
  }
}

function forget(element: XmlElement, natives: Map<XmlElement, NativeElement>): void {
  natives.delete(element);
  for (const child of element.children) forget(child, natives);
}

/** A trap or an overflowing stack leaves libxml2's memory in an unknown state, and it has no other instance: the process must end. */
function natively<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) {
      setImmediate(() => {
        throw new Error('libxml2 failed inside WebAssembly; only a new process can go on', { cause: error });
      });
      throw new BrokerError('internal', 'libxml2 failed inside WebAssembly', { cause: error });
    }
    throw error;
  }
}
