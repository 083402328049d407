import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { isMap, isScalar, type Pair, parse, parseDocument } from 'yaml';
import { z } from 'zod';
import { variablesOf } from '../../../src/settings/environment.ts';
import { settingsSchema } from '../../../src/settings/schema.ts';

const read = (name: string) => readFileSync(fileURLToPath(new URL(`../../../config/${name}`, import.meta.url)), 'utf8');
const file = read('default.yaml');
const variables = variablesOf(parse(read('custom-environment-variables.yaml')));

/** Paths of the settings themselves, without the groups they stand in. */
function pathsOf(schema: z.core.$ZodType, path: readonly string[] = []): string[] {
  if (!(schema instanceof z.ZodObject)) return [path.join('.')];
  return Object.entries(schema.shape).flatMap(([key, inner]) => pathsOf(inner, [...path, key]));
}

/** The comment above each setting of the file, by path. */
function commentsOf(node: unknown, path: readonly string[] = []): [string, string][] {
  if (!isMap(node)) return [];
  return node.items.flatMap((pair: Pair, index) => {
    const inner = [...path, isScalar(pair.key) ? String(pair.key.value) : ''];
    if (isMap(pair.value)) return commentsOf(pair.value, inner);
    // The first comment of a map belongs to the map.
    const comment = (isScalar(pair.key) && pair.key.commentBefore) || (index === 0 && node.commentBefore) || '';
    return [[inner.join('.'), comment] as [string, string]];
  });
}

const paths = pathsOf(settingsSchema);
const comments = new Map(commentsOf(parseDocument(file).contents));

test('default.yaml has every setting of the schema and no other', () => {
  expect([...comments.keys()].sort()).toEqual([...paths].sort());
});

test('the mapping file gives every setting a variable, and each its own', () => {
  expect(variables.map(({ path }) => path.join('.')).sort()).toEqual([...paths].sort());
  expect(new Set(variables.map(({ name }) => name)).size).toBe(variables.length);
});

describe('in default.yaml', () => {
  test.each(paths)('%s has a comment that names its variable last and says its unit', (path) => {
    const comment = (comments.get(path) ?? '').replace(/\n */g, ' ');
    const variable = variables.find((each) => each.path.join('.') === path)?.name;
    expect(comment.trim()).toMatch(new RegExp(`.{20,} \\[${variable}\\]$`));
    const unit = /(Seconds|Milliseconds|Bytes|Days|Characters)$/.exec(path)?.[1]?.toLowerCase();
    if (unit !== undefined) expect(comment).toContain(unit);
  });
});

test('names of variables follow the path, but for those of other programs and the secrets', () => {
  const usual = ({ path }: { path: readonly string[] }) =>
    `ROLLCALL_${path.map((part) => part.replace(/[A-Z]/g, '_$&').toUpperCase()).join('_')}`;
  const unusual = variables.filter((variable) => variable.name !== usual(variable)).map(({ name }) => name);
  expect(unusual).toEqual([
    'DATABASE_URL',
    'REDIS_URL',
    'ROLLCALL_SEALING_KEYS',
    'ROLLCALL_COOKIE_KEYS',
    'ROLLCALL_BOOTSTRAP_API_KEY',
    'ROLLCALL_LICENCE',
  ]);
});
