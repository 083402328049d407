import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const thisFile = 'test/unit/saml/library-rules.test.ts';

const files = ['src', 'test']
  .flatMap((folder) =>
    readdirSync(`${root}${folder}`, { recursive: true, encoding: 'utf8' }).map(
      (name) => `${folder}/${name.replaceAll('\\', '/')}`,
    ),
  )
  .filter((name) => name.endsWith('.ts') && name !== thisFile)
  .map((name) => ({ name, source: readFileSync(root + name, 'utf8') }));

/** What libxml2-wasm offers and nobody here may use, because it reads wrong bytes or frees nodes that are still held. */
const traps: readonly (readonly [string, RegExp])[] = [
  [
    'XmlDocument.fromString: takes text, so that somebody has decoded the bytes before',
    /\bXmlDocument\s*\.\s*fromString\b|\bfromString\s*\(/,
  ],
  ['document.root = …: frees the old root under its wrappers', /\.\s*root\s*=(?![=>])/],
  ['canonicalizeToString: decodes chunk by chunk and loses U+FEFF', /\bcanonicalizeToString\b/],
];

it.each(traps)('%s', (_, trap) => {
  expect(files.filter(({ source }) => trap.test(source)).map(({ name }) => name)).toEqual([]);
});

it('would find them', () => {
  const samples = ['XmlDocument.fromString(xml)', 'doc.root = element;', 'node.canonicalizeToString({})'];
  expect(samples.map((sample) => traps.findIndex(([, trap]) => trap.test(sample)))).toEqual([0, 1, 2]);
});

it('one file owns libxml2, and the files of its inside are nobody’s', () => {
  const imports = (pattern: RegExp) => files.filter(({ source }) => pattern.test(source)).map(({ name }) => name);
  expect(imports(/from 'libxml2-wasm'/).filter((name) => name.startsWith('src/'))).toEqual(['src/saml/xml-document.ts']);
  expect(imports(/['"]libxml2-wasm\//)).toEqual([]);
});

it('the version of libxml2-wasm is pinned: its traps were looked for in this one', () => {
  const { dependencies } = createRequire(import.meta.url)('../../../package.json') as { dependencies: Record<string, string> };
  expect(dependencies['libxml2-wasm']).toBe('0.7.2');
});
