import { describe, expect, it } from 'vitest';
import { importBreaches, importsOf, readSourceFiles } from '../../support/import-rules.ts';

describe('the import table', () => {
  const files = readSourceFiles('src');

  it('holds in the whole source tree, without a cycle', () => {
    expect(files.length).toBeGreaterThan(50);
    expect(importBreaches(files)).toEqual([]);
  });

  it('notices an injected import that it does not allow', () => {
    const injected = {
      file: 'domain/injected.ts',
      imports: importsOf(`import { log } from '../infra/log.ts';`, 'domain/injected.ts'),
    };
    expect(importBreaches([...files, injected])).toEqual(['domain/injected.ts imports infra/log.ts']);
  });

  it('notices an injected cycle', () => {
    const one = { file: 'saml/one.ts', imports: importsOf(`export { two } from './two.ts';`, 'saml/one.ts') };
    const two = { file: 'saml/two.ts', imports: importsOf(`const one = await import('./one.ts');`, 'saml/two.ts') };
    expect(importBreaches([one, two])).toEqual(['cycle: saml/one.ts -> saml/two.ts -> saml/one.ts']);
  });

  it('notices a folder that nobody gave a row', () => {
    expect(importBreaches([{ file: 'shortcuts/all.ts', imports: [] }])).toEqual([
      'shortcuts/all.ts: the folder shortcuts is not in the import table',
    ]);
  });

  it.each([
    [`import type { A } from '../domain/a.ts';`, ['domain/a.ts']],
    [`import {\n  a,\n  b,\n} from './a.ts';`, ['http/a.ts']],
    [`import './side-effect.ts';`, ['http/side-effect.ts']],
    [`export * from './a.ts';`, ['http/a.ts']],
    [`import express from 'express';`, []],
  ])('reads %j', (source, expected) => {
    expect(importsOf(source, 'http/file.ts')).toEqual(expected);
  });
});
