import { RE2JS, RE2JSException } from 're2js';
import { parseGlob } from './glob.ts';

/** The source of a glob or regex rule, ready to be matched against whole names, in time linear in the name. */
export interface Pattern {
  /** Every matching name starts and ends with these; they are what the index goes by. */
  readonly prefix: string;
  readonly suffix: string;
  /** What RE2 does for each character of a name at the worst, in instructions; 0: prefix and suffix decide alone. */
  readonly instructions: number;
  readonly captureCount: number;
  readonly test: (name: string) => boolean;
  /** The captures of a name that matches, `''` for one that took no part; null: no match. */
  readonly captures: (name: string) => readonly string[] | null;
  /** As an RE2 expression, to be matched against whole names. */
  readonly expression: string;
}

/** RE2 unrolls repetitions: the length bounds the time to compile (60 ms at the worst), the instructions that to match. */
export const maxExpressionCharacters = 500;
export const maxInstructions = 1_000;

/** @returns the pattern, or what is wrong with it and what to do */
export function compilePattern(source: string, kind: 'glob' | 'regex'): Pattern | { readonly problem: string } {
  return kind === 'glob' ? compileGlob(source) : compileRegex(source);
}

/** No literal text narrows down the names that it may match. */
export function isUnindexed({ prefix, suffix, instructions }: Pattern): boolean {
  return prefix === '' && suffix === '' && instructions > 0;
}

function compileGlob(source: string): Pattern | { readonly problem: string } {
  const glob = parseGlob(source);
  if ('problem' in glob) return glob;
  const { prefix, suffix, simple, hasWildcard, expression } = glob;
  let compiled: RE2JS | undefined;
  const matches = (name: string) => {
    compiled ??= RE2JS.compile(expression);
    return compiled.testExact(name);
  };
  const shortest = prefix.length + suffix.length;
  const test = (name: string) => {
    if (!hasWildcard) return name === prefix;
    return name.length >= shortest && name.startsWith(prefix) && name.endsWith(suffix) && (simple || matches(name));
  };
  const captures = (name: string) => (test(name) ? [] : null);
  return { prefix, suffix, instructions: simple ? 0 : source.length, captureCount: 0, test, captures, expression };
}

function compileRegex(source: string): Pattern | { readonly problem: string } {
  if (source.length > maxExpressionCharacters) {
    return { problem: `the expression is too long; use at most ${maxExpressionCharacters} characters` };
  }
  // Names are matched as a whole, with or without ^ and $ (R17). A leading ^ would only hide the literal prefix.
  const expression = source.replace(/^\^(?![*+?{])/, '');
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(expression);
  } catch (error) {
    if (error instanceof RE2JSException) return { problem: `the expression is not valid RE2: ${problemOf(error)}` };
    throw error;
  }
  const instructions = compiled.programSize();
  if (instructions > maxInstructions) {
    return {
      problem: `the expression unrolls to ${instructions} instructions, more than ${maxInstructions}; use smaller repeat counts`,
    };
  }
  return {
    prefix: literalPrefix(compiled),
    suffix: '',
    instructions,
    captureCount: compiled.groupCount(),
    test: (name) => compiled.testExact(name),
    captures(name) {
      const matcher = compiled.matcher(name);
      if (!matcher.matches()) return null;
      return Array.from({ length: matcher.groupCount() }, (_, index) => matcher.group(index + 1) ?? '');
    },
    expression,
  };
}

/** RE2 finds the prefix in the compiled program, so alternatives, flags and case folding are accounted for. */
function literalPrefix(compiled: RE2JS): string {
  const { prefix } = compiled.re2();
  return typeof prefix === 'string' ? prefix : '';
}

/** RE2's words without the excerpt of the expression: group names may be e-mail addresses, and details go to the log. */
function problemOf(error: RE2JSException): string {
  return 'error' in error && typeof error.error === 'string' ? error.error : 'it does not compile';
}
