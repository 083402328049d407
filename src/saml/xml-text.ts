/**
 * Text as canonical XML writes it (Canonical XML 1.0, 2.3), so that what is rendered here is at once valid and in canonical form. Line
 * breaks become references: an XML parser would otherwise normalize them.
 */
export function xmlText(text: string): string {
  return clean(text).replaceAll(/[&<>\r]/g, reference);
}

/** An attribute value, for double quotes. */
export function xmlAttribute(value: string): string {
  return clean(value).replaceAll(/[&<"\t\n\r]/g, reference);
}

const references: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\t': '&#x9;',
  '\n': '&#xA;',
  '\r': '&#xD;',
};

function reference(character: string): string {
  return references[character] ?? character;
}

/** XML 1.0, 2.2: characters that no document may hold, not even as a reference. */
function clean(text: string): string {
  return text.toWellFormed().replaceAll(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, '\u{FFFD}');
}
