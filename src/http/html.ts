/** Markup that is safe to send. Only this module makes it: the key is a symbol, which no parsed JSON can carry. */
export interface Html {
  readonly [markup]: string;
}

/** What may stand between `${` and `}` of the tag below; null, undefined and false leave nothing. */
export type HtmlValue = Html | string | number | null | undefined | false | readonly HtmlValue[];

const markup = Symbol('markup');

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/**
 * Template tag that escapes every value unless it is `Html` itself; arrays are joined. The five escapes are those of XML too, so the
 * tag also writes XML.
 *
 * A value is safe as text and inside a *quoted* attribute. It is not checked as a URL, script or style: put values of others into none of these.
 */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  let text = strings[0] ?? '';
  for (const [index, value] of values.entries()) text += toMarkup(value) + (strings[index + 1] ?? '');
  return { [markup]: text };
}

/** The markup as a string, ready for the response. */
export function renderHtml(value: Html): string {
  return value[markup];
}

function toMarkup(value: HtmlValue): string {
  if (value === null || value === undefined || value === false) return '';
  if (typeof value === 'string') return value.replace(/[&<>"']/g, (character) => entities[character] ?? '');
  if (typeof value === 'number') return String(value);
  if (isList(value)) return value.map(toMarkup).join('');
  if (typeof value === 'object' && markup in value) return value[markup];
  throw new TypeError('a template value is neither text, a number nor markup');
}

// Array.isArray does not narrow readonly arrays.
function isList(value: Html | readonly HtmlValue[]): value is readonly HtmlValue[] {
  return Array.isArray(value);
}
