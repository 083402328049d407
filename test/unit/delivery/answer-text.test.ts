import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { answerText } from '../../../src/delivery/answer-text.ts';

describe('the text that is kept of an answer', () => {
  it('is the answer where that is short, and nothing where it is empty', () => {
    expect(answerText(Buffer.from('thanks, Åse'), [])).toBe('thanks, Åse');
    expect(answerText(Buffer.alloc(0), [])).toBeNull();
    expect(answerText(Buffer.from('\0\0'), [])).toBeNull();
  });

  it('is 1 KiB at most, of whole characters, without NUL, whatever the bytes', () => {
    expect(answerText(Buffer.from('é'.repeat(700)), [])).toBe('é'.repeat(512));
    expect(answerText(Buffer.from(`${'x'.repeat(1_023)}é`), [])).toBe('x'.repeat(1_023));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5_000 }), (bytes) => {
        const text = answerText(Buffer.from(bytes), []) ?? '';
        expect(Buffer.byteLength(text)).toBeLessThanOrEqual(1_024);
        expect(text.isWellFormed()).toBe(true);
        expect(text).not.toContain('\0');
      }),
    );
  });

  it('leaves out our secrets: as sent, as JSON quotes them, hidden by NUL, and across the cut', () => {
    expect(answerText(Buffer.from('got to"ken and to\\"ken'), ['to"ken'])).toBe('got [redacted] and [redacted]');
    expect(answerText(Buffer.from('got sec\0ret'), ['secret'])).toBe('got [redacted]');
    expect(answerText(Buffer.from(`${'x'.repeat(1_000)}${'s'.repeat(900)}`), ['s'.repeat(900)])).toBe(
      `${'x'.repeat(1_000)}[redacted]`,
    );
  });

  it('leaves out our secrets as error pages and addresses write them', () => {
    const secret = `a+b/c="&<'x>`;
    const pages = [
      'a+b/c=&quot;&amp;&lt;&#39;x&gt;',
      'a+b/c=&#34;&amp;&lt;&apos;x&gt;',
      'a&#43;b&#x2F;c&#x3D;&#034;&#38;&#X3c;&#x27;x&#62;',
      encodeURIComponent(secret),
      new URLSearchParams({ secret }).toString().slice('secret='.length),
    ];
    for (const page of pages) expect(answerText(Buffer.from(`got ${page}!`), [secret]), page).toBe('got [redacted]!');
    expect(answerText(Buffer.from('5 &lt; 6 &amp; 7%20'), [secret])).toBe('5 &lt; 6 &amp; 7%20');
  });

  it('keeps words that are too short to be secrets', () => {
    expect(answerText(Buffer.from('a yes is a yes'), ['yes'])).toBe('a yes is a yes');
  });
});
