import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { BrokerError, type FieldError } from '../domain/broker-error.ts';
import { parseInput } from '../http/request-input.ts';
import { type Declaration, declarationSchema } from './declarative-schema.ts';

/** Where in the file something stands, from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface ReadDeclaration {
  readonly declaration: Declaration;
  /** The lists that the file has, also empty ones: of the others it says nothing. */
  readonly lists: ReadonlySet<string>;
  /** The place of a path such as `connections.0.protocol`, or of its nearest part that the file has. */
  readonly placeOf: (path: string) => Place;
}

/** Everything that is wrong with a file, in the order of the file. */
export class DeclarationError extends Error {
  readonly fileName: string;
  readonly problems: readonly (FieldError & Place)[];

  constructor(fileName: string, problems: readonly (FieldError & Place)[], options?: ErrorOptions) {
    super(`the file has ${problems.length} problem${problems.length === 1 ? '' : 's'}`, options);
    this.name = 'DeclarationError';
    this.fileName = fileName;
    this.problems = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
  }
}

/**
 * Reads a declarative file. Wherever it has a text, `{ env: NAME }` takes an environment variable and `{ file: path }` the content of
 * a file (relative to `folder`) instead: for secrets and metadata.
 * @throws DeclarationError with all problems of one kind at once; no value of the file is in it
 */
export function readDeclaration(options: {
  readonly text: string;
  /** As errors name it. */
  readonly fileName: string;
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly allowHttp: boolean;
}): ReadDeclaration {
  const { fileName } = options;
  const lines = new LineCounter();
  const document = parseDocument(options.text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const [error] = [...document.errors, ...document.warnings];
  if (error) throw new DeclarationError(fileName, [{ path: '', message: error.message, ...at(error.pos[0]) }]);

  const placeOf = (path: string) => at(offsetOf(document, path));
  const located = (fields: readonly FieldError[]) => fields.map((field) => ({ ...field, ...placeOf(field.path) }));
  const problems: FieldError[] = [];
  const value = resolveReferences(toJavaScript(document, fileName), options, '', problems);
  if (problems.length > 0) throw new DeclarationError(fileName, located(problems));
  try {
    const lists = new Set(Object.keys(value ?? {}));
    return { declaration: parseInput(declarationSchema(options), value ?? {}), lists, placeOf };
  } catch (refused) {
    if (refused instanceof BrokerError) throw new DeclarationError(fileName, located(refused.fields), { cause: refused });
    throw refused;
  }
}

function toJavaScript(document: Document, fileName: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new DeclarationError(fileName, [{ path: '', message: 'the file has too many aliases', line: 1, column: 1 }], { cause });
  }
}

function resolveReferences(
  value: unknown,
  sources: { readonly folder: string; readonly env: Readonly<Record<string, string | undefined>> },
  path: string,
  problems: FieldError[],
): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const below = (key: string | number) => (path === '' ? String(key) : `${path}.${key}`);
  if (Array.isArray(value)) return value.map((item, index) => resolveReferences(item, sources, below(index), problems));
  const [entry, another] = Object.entries(value);
  if (entry && !another && typeof entry[1] === 'string') {
    const [kind, name] = entry;
    if (kind === 'env') return variable(sources.env, name, path, problems);
    if (kind === 'file') return content(resolve(sources.folder, name), name, path, problems);
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, resolveReferences(item, sources, below(key), problems)]),
  );
}

function variable(env: Readonly<Record<string, string | undefined>>, name: string, path: string, problems: FieldError[]): string {
  const value = env[name];
  if (value !== undefined && value !== '') return value;
  problems.push({ path, message: `the environment variable ${name} is not set` });
  return '';
}

/** Without the line break at its end, which editors and `echo` add to secrets. */
function content(path: string, name: string, at: string, problems: FieldError[]): string {
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    problems.push({ path: at, message: `the file ${name} cannot be read (${code ?? 'unknown error'})` });
    return '';
  }
}

/** Follows a path as far as the file has it; an unknown field is found by its key. */
function offsetOf(document: Document, path: string): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const part of path === '' ? [] : path.split('.')) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === part);
      if (!pair) break;
      offset = startOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      offset = startOf(node) ?? offset;
    } else break;
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
