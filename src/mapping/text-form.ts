import type { MappingRule } from '../domain/group-sync.ts';
import { createRuleReader } from './rule.ts';
import { createTextReader } from './text-reader.ts';

/**
 * The text form of a list of rules (R15): `Marketing Team -> marketing, glob:eng-* -> engineers, regex:^app-(.+)$ -> $1`.
 *
 * - `->` or `→` stands between the two names; rules are separated by commas or line breaks, and a comma may end the text.
 * - White space around names and separators does not count. Without quotes everything else is literal, `\` too.
 * - `"…"` holds names with commas, arrows, quotes, line breaks or edge spaces; in it `\"`, `\\`, `\n`, `\r`, `\t` and `\u` with
 *   four hex digits are escapes.
 * - `glob:` or `regex:` before the first name, outside of the quotes, marks a pattern. In quotes the words are part of the name.
 *
 * @throws BrokerError `validation_failed`, reason `mapping_text_invalid`, with one field that says where (line and column, in
 *   characters, from 1) and what to do; no text of the mapping is in it
 */
export function parseMappingText(text: string): MappingRule[] {
  const reader = createTextReader(text);
  const check = createRuleReader();
  const rules: MappingRule[] = [];

  reader.skipSpace();
  while (!reader.atEnd()) {
    const match = reader.take('glob:') ? 'glob' : reader.take('regex:') ? 'regex' : 'exact';
    reader.skipSpace();
    const fromAt = reader.position();
    const from = reader.readName('before the arrow');
    reader.skipSpace();
    reader.expectArrow();
    reader.skipSpace();
    const toAt = reader.position();
    if (reader.take('glob:') || reader.take('regex:')) {
      reader.fail(
        toAt,
        'only the name before the arrow can be a pattern; if this is part of the name after it, put the name in "…"',
      );
    }
    const to = reader.readName('after the arrow');
    const rule: MappingRule = { from, match, to };
    const read = check(rule);
    if (Array.isArray(read)) for (const { field, message } of read) reader.fail(field === 'from' ? fromAt : toAt, message);
    rules.push(rule);
    reader.expectSeparator();
  }
  return rules;
}

/** Rules in their text form: `parseMappingText` gives back the same rules. Names are quoted only where they have to be. */
export function formatMappingText(rules: readonly MappingRule[]): string {
  return rules
    .map(({ from, match, to }) => `${match === 'exact' ? '' : `${match}:`}${formatName(from)} -> ${formatName(to)}`)
    .join(', ');
}

function formatName(name: string): string {
  const plain = escapeUnprintable(name) === name && name.trim() === name && !/^$|[",→]|->|^>|[-<]$|^(?:glob|regex):/.test(name);
  return plain ? name : `"${escapeUnprintable(name.replace(/[\\"]/g, '\\$&'))}"`;
}

const shortEscapes: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Control characters, and those that turn or hide the text around them: what is read is what is there. */
function escapeUnprintable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu, (character) => {
    return shortEscapes[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
