import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DeclarationError, readDeclaration } from '../../../src/cli/declarative-file.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rollcall-declaration-'));
  writeFileSync(join(folder, 'metadata.xml'), '<EntityDescriptor/>\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

const read = (text: string, env: Record<string, string> = {}) =>
  readDeclaration({ text, fileName: 'rollcall.yaml', folder, env, allowHttp: false });
const problemsOf = (text: string, env: Record<string, string> = {}) => {
  try {
    read(text, env);
  } catch (error) {
    if (error instanceof DeclarationError) return error.problems.map(({ path, line, column }) => `${line}:${column} ${path}`);
    throw error;
  }
  return [];
};

const connection = (protocol: string) => `connections:\n  - display_name: Okta\n    protocol: ${protocol}\n`;

describe('a declarative file', () => {
  it('may be empty, or name only some of its parts', () => {
    expect(read('').declaration).toEqual({ workspaces: [], connections: [], clients: [], endpoints: [] });
    expect(read('# nothing yet\n').declaration.workspaces).toEqual([]);
    expect(read('workspaces:\n  - slug: acme\n').declaration.workspaces).toEqual([{ slug: 'acme' }]);
  });

  it('takes a group by its name alone', () => {
    const { workspaces } = read(
      'workspaces:\n  - slug: acme\n    app_groups: [support, { name: a, requires_role: admin }]\n',
    ).declaration;
    expect(workspaces[0]?.app_groups).toEqual([
      { name: 'support', requires_role: null },
      { name: 'a', requires_role: 'admin' },
    ]);
  });

  it('takes secrets from the environment and texts from files, relative to itself and without the last line break', () => {
    const { connections } = read(
      `${connection('{ type: saml, metadata_xml: { file: metadata.xml } }')}  - display_name: Entra ID
    protocol: { type: oidc, discovery_url: https://idp.example.com, client_id: x, client_secret: { env: SECRET } }\n`,
      { SECRET: 'from the environment' },
    ).declaration;
    expect(connections.map(({ protocol }) => protocol)).toMatchObject([
      { metadata_xml: '<EntityDescriptor/>' },
      { client_secret: 'from the environment' },
    ]);
  });

  it('names all errors at once, each with line and column', () => {
    const text = `workspaces:
  - slug: Acme Corporation
    colour: red
connections:
  - display_name: Okta
    protocol:
      type: saml
  - display_name: Entra ID
    protocol: { type: oidc, discovery_url: ftp://x, client_id: x }
    group_sync:
      mapping: |
        a -> b
        c ->
endpoints:
  - url: http://app.example.com
    event_types: [x]
    workspace_ids: []
`;
    expect(problemsOf(text)).toEqual([
      '2:5 workspaces.0.slug',
      '3:5 workspaces.0.colour',
      '6:5 connections.0.protocol.metadata_xml',
      '9:29 connections.1.protocol.discovery_url',
      '11:7 connections.1.group_sync.mapping.rules',
      '15:5 endpoints.0.url',
      '16:19 endpoints.0.event_types.0',
      '17:5 endpoints.0.workspace_ids',
    ]);
  });

  it('names variables and files that are missing', () => {
    const text = connection('{ type: saml, metadata_xml: { file: nowhere.xml }, metadata_url: { env: NOWHERE } }');
    expect(problemsOf(text)).toEqual(['3:29 connections.0.protocol.metadata_xml', '3:66 connections.0.protocol.metadata_url']);
    expect(problemsOf(text, { NOWHERE: '' })).toHaveLength(2);
  });

  it('finds the place of an error behind an alias', () => {
    const text = `workspaces: &list
  - slug: acme
    colour: red
endpoints: *list
`;
    expect(problemsOf(text)).toContain('3:5 endpoints.0.colour');
  });

  it.each([
    ['no YAML', 'workspaces: [', 1],
    ['a key twice', 'workspaces: []\nworkspaces: []\n', 2],
    ['a tab for indentation', 'workspaces:\n\t- slug: acme\n', 2],
    ['a list at the top', '- slug: acme\n', 1],
    ['an unknown part', 'workspaces: []\nusers: []\n', 2],
  ])('refuses %s, with the line', (_case, text, line) => {
    expect(problemsOf(text)[0]).toMatch(new RegExp(`^${line}:`));
  });

  it.each([
    ['workspaces', 'workspaces:\n  - slug: acme\n  - slug: acme\n', '3:5 workspaces.1.slug'],
    ['endpoints', 'endpoints:\n  - url: https://app.example.com/a\n  - url: https://app.example.com/a\n', '3:5 endpoints.1.url'],
    [
      'defaults',
      'connections:\n  - { display_name: a, is_default: true, protocol: { type: saml, metadata_url: https://idp.example.com } }\n' +
        '  - { display_name: b, is_default: true, protocol: { type: saml, metadata_url: https://idp.example.com } }\n',
      '3:24 connections.1.is_default',
    ],
  ])('refuses two of the same %s', (_case, text, problem) => {
    expect(problemsOf(text)).toEqual([problem]);
  });

  it('is not blown up by aliases of aliases', () => {
    const text = ['a: &a [x, x, x, x, x, x, x, x, x, x]'];
    for (const [name, of] of ['ba', 'cb', 'dc', 'ed', 'fe', 'gf', 'hg'] as const) {
      text.push(`${name}: &${name} [${Array(10).fill(`*${of}`).join(', ')}]`);
    }
    expect(problemsOf(text.join('\n'))).toHaveLength(1);
  });

  it('never repeats a value in an error: it may be a secret', () => {
    const text = `clients:
  - client_id: app
    name: App
    client_secret: hunter2-is-too-short
    redirect_uris: [https://app.example.com]
`;
    try {
      read(text);
      expect.unreachable();
    } catch (error) {
      expect(JSON.stringify((error as DeclarationError).problems) + String(error)).not.toContain('hunter2');
    }
  });
});
