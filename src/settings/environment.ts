import { z } from 'zod';
import { settingsSchema } from './schema.ts';
import type { SettingsProblem } from './settings-error.ts';

/** One setting, and the environment variable that sets it. */
export interface Variable {
  readonly path: readonly string[];
  readonly name: string;
}

/** The mapping file flattened: `{ http: { port: 'ROLLCALL_HTTP_PORT' } }`. */
export function variablesOf(mapping: unknown, path: readonly string[] = []): Variable[] {
  if (typeof mapping === 'string') return [{ path, name: mapping }];
  if (typeof mapping !== 'object' || mapping === null) return [];
  return Object.entries(mapping).flatMap(([key, inner]) => variablesOf(inner, [...path, key]));
}

/** The settings that the environment sets, as a tree; an empty variable counts as not set. */
export function settingsFrom(
  env: Readonly<Record<string, string | undefined>>,
  variables: readonly Variable[],
): Record<string, unknown> {
  const tree: Record<string, unknown> = {};
  for (const { path, name } of variables) {
    const text = env[name];
    if (text === undefined || text === '') continue;
    place(tree, path, convert(text, schemaAt(path)));
  }
  return tree;
}

function place(tree: Record<string, unknown>, [key = '', ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) {
    tree[key] = value;
    return;
  }
  const inner = (tree[key] ?? {}) as Record<string, unknown>;
  tree[key] = inner;
  place(inner, rest, value);
}

function schemaAt(path: readonly string[]): z.core.$ZodType | undefined {
  let schema: z.core.$ZodType | undefined = settingsSchema;
  for (const key of path) schema = schema instanceof z.ZodObject ? schema.shape[key] : undefined;
  return schema;
}

/** Text as the type that the setting has. What does not fit stays text, for the schema to refuse with the setting's name. */
function convert(text: string, schema: z.core.$ZodType | undefined): unknown {
  if (schema instanceof z.ZodNullable) return convert(text, schema.unwrap());
  if (schema instanceof z.ZodArray) return text.split(',').map((part) => convert(part.trim(), schema.element));
  if (schema instanceof z.ZodNumber) return /^-?\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : text;
  if (schema instanceof z.ZodBoolean) return text === 'true' ? true : text === 'false' ? false : text;
  return text;
}

/** A misspelt variable would otherwise be a setting that silently stays at its default. */
export function unknownVariables(
  env: Readonly<Record<string, string | undefined>>,
  variables: readonly Variable[],
  others: readonly string[],
): SettingsProblem[] {
  const known = [...variables.map(({ name }) => name), ...others];
  return Object.keys(env)
    .filter((name) => name.startsWith('ROLLCALL_') && !known.includes(name) && !isServiceLink(name, env[name] ?? ''))
    .sort()
    .map((name) => ({ path: null, variable: name, problem: 'there is no such variable', fix: suggestion(name, known) }));
}

/**
 * Kubernetes describes every service of the namespace to every container: a service called `rollcall` becomes
 * `ROLLCALL_SERVICE_HOST`, `ROLLCALL_PORT=tcp://…`, `ROLLCALL_PORT_3000_TCP_ADDR` and so on.
 */
function isServiceLink(name: string, value: string): boolean {
  return (
    /_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) ||
    (name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value))
  );
}

/** "Did you mean …", or where to look. */
export function suggestion(wrong: string, known: readonly string[]): string {
  const [nearest] = known
    .map((name) => ({ name, distance: editDistance(wrong.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(2, name.length / 4))
    .sort((a, b) => a.distance - b.distance);
  return nearest === undefined
    ? 'Remove it; config/default.yaml lists what there is'
    : `Did you mean ${nearest.name}? If not, remove it`;
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
