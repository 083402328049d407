import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** Which folder may import which (docs: "Folders and imports"); a file in `src/` itself may import everything. */
const infrastructure = ['domain', 'infra'];
const features = [
  'domain',
  'infra',
  'saml',
  'oidc',
  'mapping',
  'outbox',
  'membership',
  'delivery',
  'login',
  'scim',
  'provider',
  'settings',
];
const everything = [...features, 'http', 'console', 'cli', 'demo', ''];

export const importTable: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  settings: [],
  infra: ['domain'],
  mapping: ['domain'],
  saml: infrastructure,
  oidc: infrastructure,
  outbox: infrastructure,
  membership: [...infrastructure, 'mapping', 'outbox'],
  delivery: [...infrastructure, 'outbox'],
  login: [...infrastructure, 'saml', 'oidc', 'mapping', 'membership'],
  scim: [...infrastructure, 'saml', 'oidc', 'mapping', 'membership'],
  provider: [...infrastructure, 'membership'],
  http: features,
  console: [...features, 'http'],
  cli: everything,
  demo: everything,
  '': everything,
};

/** A source file by its path below `src/`, with the paths below `src/` that it imports. */
export interface SourceFile {
  readonly file: string;
  readonly imports: readonly string[];
}

export function readSourceFiles(root: string): SourceFile[] {
  return globSync('**/*.{ts,mjs}', { cwd: root }).map((file) => ({
    file,
    imports: importsOf(readFileSync(path.join(root, file), 'utf8'), file),
  }));
}

/** Relative specifiers of static and dynamic imports and of re-exports, resolved against the importing file. */
export function importsOf(source: string, file: string): string[] {
  const specifiers = source.matchAll(
    /(?:^|[\s;])(?:import|export)\b[^'"`;]*?\bfrom\s*['"](\.[^'"]+)['"]|\bimport\s*\(?\s*['"](\.[^'"]+)['"]/g,
  );
  return [...specifiers].map((match) => path.posix.join(path.posix.dirname(file), (match[1] ?? match[2]) as string));
}

/** Sentences that name each breach: an import that the table does not allow, or a cycle. */
export function importBreaches(files: readonly SourceFile[]): string[] {
  return [...forbiddenImports(files), ...cycles(files)];
}

function forbiddenImports(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ file, imports }) => {
    const from = folderOf(file);
    const allowed = importTable[from];
    if (!allowed) return [`${file}: the folder ${from} is not in the import table`];
    return imports
      .filter((target) => folderOf(target) !== from && !allowed.includes(folderOf(target)))
      .map((target) => `${file} imports ${target}`);
  });
}

function cycles(files: readonly SourceFile[]): string[] {
  const graph = new Map(files.map(({ file, imports }) => [file, imports]));
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (file: string, trail: readonly string[]): void => {
    if (trail.includes(file)) {
      found.push(`cycle: ${[...trail.slice(trail.indexOf(file)), file].join(' -> ')}`);
      return;
    }
    if (done.has(file)) return;
    for (const target of graph.get(file) ?? []) visit(target, [...trail, file]);
    done.add(file);
  };
  for (const { file } of files) visit(file, []);
  return found;
}

function folderOf(file: string): string {
  return file.includes('/') ? (file.split('/')[0] as string) : '';
}
