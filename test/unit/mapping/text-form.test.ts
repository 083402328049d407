import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import { formatMappingText, parseMappingText } from '../../../src/mapping/text-form.ts';
import { anyRule, nastyNames, rule } from '../../support/mapping-world.ts';

function failureOf(text: string): BrokerError {
  try {
    parseMappingText(text);
  } catch (error) {
    if (error instanceof BrokerError) return error;
    throw error;
  }
  throw new Error('the text was accepted');
}

describe('parseMappingText', () => {
  it('R15 reads the form of the sources', () => {
    expect(parseMappingText('Marketing Team -> marketing, Sales Team -> sales')).toEqual([
      rule('Marketing Team', 'marketing'),
      rule('Sales Team', 'sales'),
    ]);
  });

  it.each<[string, string, ReturnType<typeof rule>[]]>([
    ['no text', '', []],
    ['white space only', ' \n\t ', []],
    ['an arrow character', 'a → b', [rule('a', 'b')]],
    ['no white space', 'a->b,c→d', [rule('a', 'b'), rule('c', 'd')]],
    ['much white space', '  a \t->\u00a0 b  ,\r\n c->d  ', [rule('a', 'b'), rule('c', 'd')]],
    ['a byte order mark', '\ufeffa -> b', [rule('a', 'b')]],
    ['a rule on each line', 'a -> b\nc -> d\r\n\r\ne -> f\n', [rule('a', 'b'), rule('c', 'd'), rule('e', 'f')]],
    ['a comma before or after the line break', 'a -> b,\nc -> d\n, e -> f', [rule('a', 'b'), rule('c', 'd'), rule('e', 'f')]],
    ['a comma at the end', 'a -> b,', [rule('a', 'b')]],
    ['a line break beside the arrow', 'a ->\n b\nc\n-> d', [rule('a', 'b'), rule('c', 'd')]],
    ['quoted names', '"a, b" -> "c -> d", " e "->"\\"f\\""', [rule('a, b', 'c -> d'), rule(' e ', '"f"')]],
    ['every escape', '"\\\\ \\" \\n \\r \\t \\u00e9 \\uD83D\\uDE80" -> b', [rule('\\ " \n \r \t é 🚀', 'b')]],
    ['backslashes outside of quotes', 'DOMAIN\\Sales -> a\\nb', [rule('DOMAIN\\Sales', 'a\\nb')]],
    ['hyphens and signs', 'a-b -> c>d, e - f -> =g', [rule('a-b', 'c>d'), rule('e - f', '=g')]],
    ['a glob', 'glob:eng-* -> engineers', [rule('eng-*', 'engineers', 'glob')]],
    ['a regular expression', 'regex:^app-(.+)$ -> $1', [rule('^app-(.+)$', '$1', 'regex')]],
    [
      'marked names in quotes',
      'glob: "a, *" -> b, regex:"\\\\d{1,2}" -> c',
      [rule('a, *', 'b', 'glob'), rule('\\d{1,2}', 'c', 'regex')],
    ],
    ['names that look like marks', '"glob:a" -> "regex:b", Glob:a -> b', [rule('glob:a', 'regex:b'), rule('Glob:a', 'b')]],
    ['a name that looks like a pattern', 'eng-* -> $1', [rule('eng-*', '$1')]],
    ['repeated rules', 'a -> b, a -> b', [rule('a', 'b'), rule('a', 'b')]],
  ])('R15 accepts %s', (_, text, rules) => {
    expect(parseMappingText(text)).toEqual(rules);
  });

  it.each<[string, string, string, RegExp]>([
    ['a missing arrow', 'a -> b, c', 'line 1, column 10', /arrow/],
    ['a missing comma', '"a" -> "b" c -> d', 'line 1, column 12', /comma/],
    ['two arrows', 'a -> b\nc -> d -> e', 'line 2, column 8', /one arrow/],
    ['a missing first name', '-> b', 'line 1, column 1', /before the arrow is missing/],
    ['a missing second name', 'a -> , c -> d', 'line 1, column 6', /after the arrow is missing/],
    ['a missing second name at the end', 'a ->', 'line 1, column 5', /after the arrow is missing/],
    ['two commas', 'a -> b,, c -> d', 'line 1, column 8', /before the arrow is missing/],
    ['a comma at the start', ', a -> b', 'line 1, column 1', /before the arrow is missing/],
    ['an empty name', '"" -> b', 'line 1, column 1', /empty/],
    ['a mark without a name', 'glob: -> b', 'line 1, column 7', /before the arrow is missing/],
    ['an open quote', 'a -> b,\n"c -> d\n', 'line 2, column 1', /closing quote/],
    ['a quote in a name', 'a"b -> c', 'line 1, column 2', /quote/],
    ['text after a quote', '"a"b -> c', 'line 1, column 4', /arrow/],
    ['an unknown escape', 'x -> y, "a\\d" -> c', 'line 1, column 11', /backslash/],
    ['a broken \\u', '"\\u12g4" -> c', 'line 1, column 2', /backslash/],
    ['an escape at the end', '"a\\', 'line 1, column 3', /backslash/],
    ['a line break in a plain name', 'a\nb -> c', 'line 2, column 1', /arrow/],
    ['an arrow with two tails', 'a --> b', 'line 1, column 4', /space before the arrow/],
    ['an arrow with two heads', 'a ->> b', 'line 1, column 5', /space after the arrow/],
    ['an arrow to both sides', 'a <-> b', 'line 1, column 4', /space before the arrow/],
    ['a marked target', 'a -> glob:b', 'line 1, column 6', /before the arrow can be a pattern/],
    ['an expression with a comma', 'regex:a{1,2} -> b', 'line 1, column 10', /arrow/],
    ['an expression that is not valid', 'a -> b,\r\nc -> d,\r  regex:(x -> y', 'line 3, column 9', /RE2.*missing closing/],
    ['a capture that is not there', 'regex:^a$ -> $1', 'line 1, column 14', /no captures/],
    ['half a surrogate pair', '"\\ud800" -> b', 'line 1, column 1', /surrogate/],
    ['a NUL', 'a -> "\\u0000"', 'line 1, column 6', /NUL/],
    ['a name that is too long', `a -> ${'x'.repeat(1_001)}`, 'line 1, column 6', /1000/],
    ['characters outside of the basic plane', '🚀🚀 -> b, c', 'line 1, column 11', /arrow/],
  ])('R15 refuses %s and says where and what to do', (_, text, place, advice) => {
    const error = failureOf(text);
    expect(error.code).toBe('validation_failed');
    expect(error.reason).toBe('mapping_text_invalid');
    expect(error.fields).toEqual([{ path: place, message: expect.stringMatching(advice) }]);
    expect(error.fields[0]?.message).toContain(place);
  });

  it('R15 refuses more rules than a mapping may hold, at the first one too many', () => {
    const text = (count: number) => 'a -> b\n'.repeat(count);
    expect(parseMappingText(text(10_000))).toHaveLength(10_000);
    expect(failureOf(text(10_001)).fields[0]?.path).toBe('line 10001, column 1');
  });

  it('R15 keeps the text of the mapping out of the error', () => {
    expect(JSON.stringify(failureOf('regex:(ada@example.com -> b').fields)).not.toContain('ada@');
    expect(failureOf('ada@example.com').message).not.toContain('ada@');
  });

  it('R15 throws nothing but BrokerError, whatever the text', () => {
    const hostile = fc.string({
      unit: fc.constantFrom(...'ab"\\,->→ \n\r:u0*?()[]{}$^+\ud800\0', 'glob:', 'regex:', ' -> '),
      maxLength: 40,
    });
    fc.assert(
      fc.property(fc.oneof(hostile, fc.string({ unit: 'binary' }), fc.mixedCase(hostile)), (text) => {
        try {
          parseMappingText(text);
        } catch (error) {
          expect(error).toBeInstanceOf(BrokerError);
          expect((error as BrokerError).code).toBe('validation_failed');
        }
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('formatMappingText', () => {
  it('R15 writes the form of the sources', () => {
    expect(formatMappingText([rule('Marketing Team', 'marketing'), rule('Sales Team', 'sales')])).toBe(
      'Marketing Team -> marketing, Sales Team -> sales',
    );
    expect(formatMappingText([])).toBe('');
  });

  it('R15 marks patterns, and quotes what would be misread', () => {
    expect(formatMappingText([rule('eng-*', 'engineers', 'glob'), rule('^app-(.+)$', '$1', 'regex')])).toBe(
      'glob:eng-* -> engineers, regex:^app-(.+)$ -> $1',
    );
    expect(formatMappingText([rule('a, b', 'c -> d')])).toBe('"a, b" -> "c -> d"');
    expect(formatMappingText([rule('glob:a', ' b ')])).toBe('"glob:a" -> " b "');
    expect(formatMappingText([rule('say "hi"', 'a\\b')])).toBe('"say \\"hi\\"" -> a\\b');
    expect(formatMappingText([rule('\\d{1,2}', 'x', 'regex')])).toBe('regex:"\\\\d{1,2}" -> x');
  });

  it('R15 escapes characters that hide or turn text', () => {
    expect(formatMappingText([rule('a\u202eb', 'c\u200bd')])).toBe('"a\\u202eb" -> "c\\u200bd"');
    expect(formatMappingText([rule('a\nb', '\u2028')])).toBe('"a\\nb" -> "\\u2028"');
    expect(formatMappingText([rule('👩‍👩‍👧', 'é')])).toBe('👩‍👩‍👧 -> é');
  });

  it('R15 loses nothing: every nasty name comes back from the text', () => {
    const rules = nastyNames.flatMap((name) => [rule(name, 'x'), rule('x', name)]);
    expect(parseMappingText(formatMappingText(rules))).toEqual(rules);
  });

  it('R15 loses nothing: any list of rules comes back from its text', () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 8 }), (rules) => {
        expect(parseMappingText(formatMappingText(rules))).toEqual(rules);
      }),
      { numRuns: 2_000 },
    );
  });

  it('R15 loses nothing: any text that is accepted means the same after it was formatted', () => {
    const name = fc.constantFrom('a', 'b c', '"d, e"', '"\\u00e9 \\" \\\\"', 'x\\y', '"->"', '$1', '" z "', 'é', '"glob:q"');
    const source = fc
      .tuple(fc.constantFrom('', 'glob:', 'glob: '), name)
      .map(([mark, text]) => (mark ? `${mark}${text.replaceAll('\\', '')}` : text));
    const space = fc.constantFrom('', ' ', '\t ', '\u00a0');
    const arrow = fc.tuple(space, fc.constantFrom('->', '→', '\n->\n'), space).map((parts) => parts.join(''));
    const separator = fc.tuple(space, fc.constantFrom(',', '\n', ',\n', '\r\n,'), space).map((parts) => parts.join(''));
    const one = fc.tuple(source, arrow, name).map((parts) => parts.join(''));
    const text = fc
      .tuple(fc.array(fc.tuple(one, separator).map((parts) => parts.join(''))), fc.option(one, { nil: '' }))
      .map(([rules, last]) => rules.join('') + last);
    let accepted = 0;
    fc.assert(
      fc.property(text, (written) => {
        let rules: ReturnType<typeof parseMappingText>;
        try {
          rules = parseMappingText(written);
        } catch (error) {
          expect(error).toBeInstanceOf(BrokerError);
          return;
        }
        accepted += 1;
        const formatted = formatMappingText(rules);
        expect(parseMappingText(formatted)).toEqual(rules);
        expect(formatMappingText(parseMappingText(formatted))).toBe(formatted);
      }),
      { numRuns: 1_000 },
    );
    expect(accepted).toBeGreaterThan(500);
  });
});
