import { rejected } from './rejection.ts';
import type { XmlElement } from './xml-document.ts';

/** Strict readers: what does not have exactly the expected shape is refused, never interpreted. Names match by namespace and local name. */

export function isNamed(element: XmlElement, namespace: string, name: string): boolean {
  return element.name === name && element.namespace === namespace;
}

/** The value of an attribute without namespace, or null. */
export function attribute(element: XmlElement, name: string): string | null {
  return element.attributes.find((candidate) => candidate.name === name && candidate.namespace === '')?.value ?? null;
}

/** The element's character data, exactly; it must have no child elements. */
export function textOf(element: XmlElement): string {
  if (element.children.length > 0) throw rejected('unexpected_content', `${element.name} must hold text only`);
  return element.text;
}

/** The child elements; nothing but white space may stand between them. */
export function elementsOf(element: XmlElement): readonly XmlElement[] {
  if (/[^ \t\r\n]/.test(element.text)) throw rejected('unexpected_content', `${element.name} must hold elements only`);
  return element.children;
}

export function childrenNamed(element: XmlElement, namespace: string, name: string): XmlElement[] {
  return elementsOf(element).filter((child) => isNamed(child, namespace, name));
}

/** The one child of that name, or null; several are refused. */
export function childNamed(element: XmlElement, namespace: string, name: string): XmlElement | null {
  const found = childrenNamed(element, namespace, name);
  if (found.length > 1) throw rejected('unexpected_content', `${element.name} must hold at most one ${name}`);
  return found[0] ?? null;
}

/** Milliseconds since 1970, or null when the attribute is absent. SAML Core 1.3.3: every time is UTC and says so. */
export function timeAttribute(element: XmlElement, name: string): number | null {
  const value = attribute(element, name);
  if (value === null) return null;
  const match = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d+))?Z$/.exec(value);
  const wholeSeconds = match === null ? Number.NaN : Date.parse(`${match[1]}Z`);
  if (Number.isNaN(wholeSeconds)) throw rejected('time_invalid', `${name} of ${element.name} is not a UTC time (…Z)`);
  return wholeSeconds + Math.floor(Number(`0.${match?.[2] ?? '0'}`) * 1000);
}
