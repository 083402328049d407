import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { run } from '../../../src/cli/program.ts';

const committed = new URL('../../../docs/rollcall.schema.json', import.meta.url);
const example = new URL('../../../rollcall.example.yaml', import.meta.url);

async function printed(): Promise<string> {
  let text = '';
  const out = (written: string) => {
    text += written;
  };
  expect(await run(['schema'], { env: {}, out, err: out })).toBe(0);
  return text;
}

describe('rollcall schema', () => {
  // `vitest run test/unit/cli -u` writes the file anew after a change of the declarative file.
  it('prints what is committed in docs', async () => {
    await expect(await printed()).toMatchFileSnapshot(committed.pathname);
  });

  it('is where the example file tells editors to look', () => {
    const [first = ''] = readFileSync(example, 'utf8').split('\n');
    const [, path = ''] = /^# yaml-language-server: \$schema=(\S+)$/.exec(first) ?? [];
    expect(new URL(path, example).href).toBe(committed.href);
    expect(existsSync(new URL(path, example))).toBe(true);
  });

  const accepts = async (value: unknown) => z.fromJSONSchema(JSON.parse(await printed())).safeParse(value).success;

  it('accepts the example, references in place of texts, and groups by name', async () => {
    expect(await accepts(parse(readFileSync(example, 'utf8')))).toBe(true);
    expect(await accepts({ workspaces: [{ slug: { env: 'SLUG' }, app_groups: ['a', { name: { file: 'name.txt' } }] }] })).toBe(
      true,
    );
    expect(await accepts({ endpoints: [{ url: 'https://app.example.com/hooks', workspaces: ['acme'] }] })).toBe(true);
  });

  it.each([
    [{ workspace: [] }],
    [{ workspaces: [{ slug: 'acme', colour: 'red' }] }],
    [{ workspaces: [{ slug: { env: 'SLUG', file: 'slug.txt' } }] }],
    [{ connections: [{ display_name: 'Okta', protocol: { type: 'ldap' } }] }],
    [{ clients: [{ clientId: 'app' }] }],
    [{ endpoints: [{ description: 'without an address' }] }],
    [{ endpoints: [{ url: 'https://app.example.com/hooks', workspace_ids: [] }] }],
  ])('refuses %j', async (value) => {
    expect(await accepts(value)).toBe(false);
  });
});
