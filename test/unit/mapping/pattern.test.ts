import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMatchingBudget } from '../../../src/mapping/matching-budget.ts';
import { compilePattern, type Pattern } from '../../../src/mapping/pattern.ts';
import { createPatternIndex } from '../../../src/mapping/pattern-index.ts';
import { createPrefixIndex } from '../../../src/mapping/prefix-index.ts';

function pattern(source: string, kind: 'glob' | 'regex'): Pattern {
  const compiled = compilePattern(source, kind);
  if ('problem' in compiled) throw new Error(compiled.problem);
  return compiled;
}

describe('globs', () => {
  it.each<[string, string[], string[]]>([
    ['eng-*', ['eng-', 'eng-a', 'eng-a\nb', 'eng-*'], ['eng', 'Eng-a', ' eng-a', 'xeng-a']],
    ['*-admins', ['-admins', 'a-admins'], ['a-admins ', 'admins', 'a-Admins']],
    ['a*z', ['az', 'abz', 'a\nz'], ['a', 'z', 'za', 'azb']],
    ['aba*aba', ['abaaba', 'abaxaba'], ['aba', 'ababa']],
    ['*', ['', 'a', '🚀'], []],
    ['**', ['', 'a'], []],
    ['*mid*', ['mid', 'amidb'], ['md']],
    ['a*b*c', ['abc', 'axbyc'], ['acb', 'ab']],
    ['?', ['a', '🚀', '\n'], ['', 'ab', '🚀🚀']],
    ['a?c', ['abc', 'a🚀c'], ['ac', 'abbc']],
    ['plain', ['plain'], ['plains', 'a plain', '']],
    ['a\\*b', ['a*b'], ['axb', 'a\\*b']],
    ['\\?\\\\*', ['?\\', '?\\x'], ['a\\', '?']],
    ['[a-z].(x)+$^|*', ['[a-z].(x)+$^|', '[a-z].(x)+$^|!'], ['b.x']],
    ['é*', ['é', 'éa'], ['é'.normalize('NFD')]],
  ])('R17 matches whole names against %s', (glob, matching, others) => {
    const { test } = pattern(glob, 'glob');
    expect(matching.filter(test)).toEqual(matching);
    expect(others.filter(test)).toEqual([]);
  });
});

describe('expressions', () => {
  it.each<[string, string[], string[]]>([
    ['^app-(.+)$', ['app-x'], ['my app-x', 'app-', 'app-x\n']],
    ['app-(.+)', ['app-x'], ['my app-x', 'app-']],
    ['a|b', ['a', 'b'], ['ab', 'xa', 'bx']],
    ['^a|b$', ['a', 'b'], ['ax', 'xb']],
    ['x|xy', ['x', 'xy'], ['xyz']],
    ['(?m)^a$', ['a'], ['a\nb', 'b\na']],
    ['a$\n', [], ['a\n', 'a']],
    ['(?i)app', ['app', 'APP'], ['apps']],
    ['.', ['a', '🚀'], ['\n', 'ab', '']],
    ['(?s).', ['\n'], ['ab']],
    ['^*a', ['a'], ['b']],
    ['\\Aa\\z', ['a'], ['aa']],
    ['\\p{Greek}+', ['αβγ'], ['abc']],
    ['', [''], ['a']],
  ])('R17 anchors %s at both ends, whatever the author wrote', (expression, matching, others) => {
    const { test, captures } = pattern(expression, 'regex');
    expect(matching.filter(test)).toEqual(matching);
    expect(others.filter(test)).toEqual([]);
    for (const name of [...matching, ...others]) expect(captures(name) !== null).toBe(matching.includes(name));
  });

  it('R17 gives the captures of a match, the empty text for one that took no part', () => {
    expect(pattern('(a)?(b)(?:c)', 'regex').captures('bc')).toEqual(['', 'b']);
    expect(pattern('(x|xy)(.*)', 'regex').captures('xyz')).toEqual(['x', 'yz']);
    expect(pattern('(x)', 'regex').captures('y')).toBeNull();
  });

  it('R17 matches in linear time what makes a backtracking engine hang', () => {
    const { test } = pattern('^(a+)+b$', 'regex');
    expect(test('a'.repeat(1_000))).toBe(false);
    expect(test(`${'a'.repeat(1_000)}b`)).toBe(true);
  });
});

describe('indexes', () => {
  it('R17 finds every prefix of a name that a naive search finds, in any order of lookups', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '🚀', '\ud83d'), maxLength: 5 });
    fc.assert(
      fc.property(fc.array(text), fc.array(text), (prefixes, names) => {
        const find = createPrefixIndex(prefixes.map((prefix, value) => ({ prefix, value })));
        for (const name of names) {
          const found: number[] = [];
          find(name, (value) => found.push(value));
          const naive = [...prefixes.keys()].filter((value) => name.startsWith(prefixes[value] as string));
          expect(found.sort((left, right) => left - right)).toEqual(naive);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('R17 finds the patterns that match a name, as if each had been tried', () => {
    const glob = fc
      .string({ unit: fc.constantFrom('a', 'b', '*', '?', '🚀'), minLength: 1, maxLength: 6 })
      .map((source) => pattern(source, 'glob'));
    const atom = fc.constantFrom('a', 'b', '.', '(a|b)', 'a*', '(?:ab)?', '[^a]', '🚀', '^', '$', '\\b', '(?i:A)', 'a|b');
    const regex = fc
      .array(atom, { maxLength: 5 })
      .map((parts) => compilePattern(parts.join(''), 'regex'))
      .filter((compiled) => 'test' in compiled);
    const name = fc.string({ unit: fc.constantFrom('a', 'b', 'A', '🚀', '\n', '-'), maxLength: 7 });
    fc.assert(
      fc.property(fc.array(fc.oneof(glob, regex), { maxLength: 12 }), fc.array(name), (patterns, names) => {
        const match = createPatternIndex(patterns.map((compiled, value) => ({ pattern: compiled as Pattern, value })));
        for (const tried of names) {
          const found: number[] = [];
          match(tried, createMatchingBudget(), (value) => found.push(value));
          const naive = [...patterns.keys()].filter((value) => (patterns[value] as Pattern).captures(tried) !== null);
          expect(found.sort((left, right) => left - right)).toEqual(naive);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
