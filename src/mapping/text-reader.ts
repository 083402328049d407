import { BrokerError } from '../domain/broker-error.ts';

/** Reads the parts of a mapping text one after the other; each failure says where it is. */
export function createTextReader(text: string) {
  let at = 0;
  return { atEnd, position: () => at, take, skipSpace, readName, expectArrow, expectSeparator, fail };

  function atEnd(): boolean {
    return at >= text.length;
  }

  function take(word: string): boolean {
    if (!text.startsWith(word, at)) return false;
    at += word.length;
    return true;
  }

  /** @returns true if there was a line break in it */
  function skipSpace(): boolean {
    const start = at;
    while (!atEnd() && isSpace(text.charAt(at))) at += 1;
    return hasLineBreak(text.slice(start, at));
  }

  function readName(where: string): string {
    return text.charAt(at) === '"' ? readQuoted() : readPlain(where);
  }

  function readPlain(where: string): string {
    const start = at;
    while (!atEnd() && !isSeparator(at)) {
      if (text.charAt(at) === '"') fail(at, 'a quote inside of a name; put the whole name in "…" and write \\" for the quote');
      at += 1;
    }
    const name = text.slice(start, at).trim();
    if (name === '') fail(start, `the name ${where} is missing`);
    return name;
  }

  function readQuoted(): string {
    const start = at;
    at += 1;
    let name = '';
    for (;;) {
      const end = quotedRunEnd();
      name += text.slice(at, end);
      at = end;
      if (atEnd() || hasLineBreak(text.charAt(at)))
        fail(start, 'the closing quote is missing in this line; write \\n for a line break in a name');
      if (take('"')) return name;
      name += readEscape();
    }
  }

  /** Where the next quote, escape or line break is. */
  function quotedRunEnd(): number {
    let end = at;
    while (end < text.length && !'"\\\n\r'.includes(text.charAt(end))) end += 1;
    return end;
  }

  function readEscape(): string {
    const hex = /^[0-9a-fA-F]{4}$/.exec(text.slice(at + 2, at + 6));
    const next = text.charAt(at + 1);
    if (next === 'u' && hex) {
      at += 6;
      return String.fromCharCode(Number.parseInt(hex[0], 16));
    }
    const character = { '"': '"', '\\': '\\', n: '\n', r: '\r', t: '\t' }[next];
    if (character === undefined) fail(at, 'no known escape; in quotes write \\\\ for a backslash, or \\" \\n \\r \\t \\u0000');
    at += 2;
    return character;
  }

  function expectArrow(): void {
    const start = at;
    if (!take('→') && !take('->'))
      fail(at, 'an arrow (->) is expected here; a name with a comma or a line break has to be in "…"');
    const [before, after] = [text.charAt(start - 1), text.charAt(at)];
    if (text.charAt(start) === '-' && (before === '-' || before === '<'))
      fail(start, 'leave a space before the arrow, or put the name in "…"');
    if (after === '>') fail(at, 'leave a space after the arrow, or put the name in "…"');
  }

  /** A comma or a line break, or the end; a comma may also be the last thing. */
  function expectSeparator(): void {
    const onNewLine = skipSpace();
    if (take(',')) skipSpace();
    else if (!atEnd() && !onNewLine) {
      fail(
        at,
        'a comma or the end is expected here; a rule has one arrow, and a name with an arrow or a quote in it has to be in "…"',
      );
    }
  }

  /** @param offset in UTF-16 code units */
  function fail(offset: number, advice: string): never {
    const lines = text.slice(0, offset).split(/\r\n|\n|\r/);
    const line = lines.length;
    const column = [...(lines.at(-1) ?? '')].length + 1;
    const place = `line ${line}, column ${column}`;
    throw new BrokerError('validation_failed', `group mapping, ${place}: ${advice}`, {
      reason: 'mapping_text_invalid',
      fields: [{ path: place, message: `${place}: ${advice}` }],
    });
  }

  function isSeparator(offset: number): boolean {
    const character = text.charAt(offset);
    return (
      character === ',' || character === '→' || hasLineBreak(character) || (character === '-' && text.charAt(offset + 1) === '>')
    );
  }
}

function isSpace(character: string): boolean {
  return character.trim() === '';
}

function hasLineBreak(text: string): boolean {
  return text.includes('\n') || text.includes('\r');
}
