import { describe, expect, test } from 'vitest';
import { html, renderHtml } from '../../../src/http/html.ts';

const render = (...parameters: Parameters<typeof html>) => renderHtml(html(...parameters));

describe('html', () => {
  test('escapes a value in text and in a quoted attribute', () => {
    const hostile = `"><script>alert('1')</script>&amp;`;
    expect(render`<p title="${hostile}">${hostile}</p>`).toBe(
      '<p title="&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;amp;">' +
        '&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;amp;</p>',
    );
  });

  test('leaves its own markup as it is, nested and in lists', () => {
    const items = ['a', '<b>'].map((item) => html`<li>${item}</li>`);
    expect(render`<ul>${items}</ul>`).toBe('<ul><li>a</li><li>&lt;b&gt;</li></ul>');
  });

  test('writes nothing for null, undefined and false, and the digit for 0', () => {
    expect(render`[${null}${undefined}${false}${0}${''}]`).toBe('[0]');
  });

  test('refuses a look-alike parsed from JSON', () => {
    const parsed = JSON.parse('{"markup":"<script>","Symbol(markup)":"<script>"}');
    expect(() => render`<p>${parsed}</p>`).toThrow(TypeError);
  });

  test('keeps escapes of the template itself as JavaScript reads them', () => {
    expect(render`a\tb`).toBe('a\tb');
  });
});
