import { RE2JS } from 're2js';

/** A glob taken apart: `*` is any run of characters, `?` one character (code point), `\` makes either of them, or itself, literal. */
export interface Glob {
  /** Literal text before the first wildcard, and after the last one. */
  readonly prefix: string;
  readonly suffix: string;
  /** Nothing but at most one `*` stands between prefix and suffix, so that the two decide alone. */
  readonly simple: boolean;
  readonly hasWildcard: boolean;
  /** The same as an RE2 expression, to be matched against the whole name. */
  readonly expression: string;
}

/** @returns the glob, or what is wrong with it and what to do */
export function parseGlob(source: string): Glob | { readonly problem: string } {
  const tokens: readonly string[] = source.match(/\\[*?\\]|\*+|\?|[^\\*?]+|\\/g) ?? [];
  if (tokens.includes('\\')) return { problem: 'in a glob, \\ stands before *, ? or \\ only; write \\\\ for a backslash' };
  const first = tokens.findIndex(isWildcard);
  const last = tokens.findLastIndex(isWildcard);
  const hasWildcard = first !== -1;
  return {
    prefix: literal(hasWildcard ? tokens.slice(0, first) : tokens),
    suffix: hasWildcard ? literal(tokens.slice(last + 1)) : '',
    simple: first === last && tokens[first] !== '?',
    hasWildcard,
    expression: `(?s)${tokens.map(expressionOf).join('')}`,
  };
}

function isWildcard(token: string): boolean {
  return token.startsWith('*') || token === '?';
}

function literal(tokens: readonly string[]): string {
  return tokens.map((token) => (token.startsWith('\\') ? token.slice(1) : token)).join('');
}

function expressionOf(token: string): string {
  if (token.startsWith('*')) return '.*';
  return token === '?' ? '.' : RE2JS.quote(literal([token]));
}
