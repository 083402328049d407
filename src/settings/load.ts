import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Load } from 'config/lib/util.js';
import { parse } from 'yaml';
import type { z } from 'zod';
import { settingsFrom, suggestion, unknownVariables, type Variable, variablesOf } from './environment.ts';
import { rules } from './rules.ts';
import { type Settings, settingsSchema } from './schema.ts';
import { SettingsError, type SettingsProblem } from './settings-error.ts';

export interface LoadSettingsOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Holds `default.yaml` and, where wanted, `<mode>.yaml` and `local.yaml`. */
  readonly folder: string;
  /** Wins over everything: for callers that make their own secrets or ports, such as the demo. */
  readonly overrides?: DeepPartial<Settings>;
  /** Variables that begin with ROLLCALL_ and are read by somebody else. */
  readonly otherVariables?: readonly string[];
}

export type DeepPartial<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { readonly [K in keyof T]?: DeepPartial<T[K]> }
    : T;

const mappingFile = 'custom-environment-variables.yaml';

/**
 * Reads `default.yaml`, `<mode>.yaml` (the mode by ROLLCALL_MODE, else production), `local.yaml`, the environment and the
 * overrides, each over the one before. Uses node-config's loader without its process-wide singleton (law 12), and of its many
 * file types YAML alone: it would also run a `.js` file that lies there.
 * @throws SettingsError with everything that is wrong at once
 */
export function loadSettings({ env, folder, overrides = {}, otherVariables = [] }: LoadSettingsOptions): Settings {
  const variables = variablesOf(parse(readFileSync(join(folder, mappingFile), 'utf8')));
  const problems = unknownVariables(env, variables, otherVariables);
  const load = new Load({ configDir: folder });
  for (const name of fileNames(env.ROLLCALL_MODE)) load.addConfig(name, readFile(join(folder, name), problems));
  load.addConfig('environment', settingsFrom(env, variables));
  load.addConfig('overrides', overrides);
  const parsed = settingsSchema.safeParse(load.config);
  if (!parsed.success) problems.push(...parsed.error.issues.flatMap((issue) => describeIssue(issue, variables)));
  problems.push(...brokenRules(load.config as Settings, problems, variables));
  if (problems.length > 0 || !parsed.success) throw new SettingsError(problems);
  return parsed.data;
}

function fileNames(mode = ''): string[] {
  const modes: readonly string[] = settingsSchema.shape.mode.options;
  return ['default.yaml', modes.includes(mode) ? `${mode}.yaml` : 'production.yaml', 'local.yaml'];
}

function readFile(path: string, problems: SettingsProblem[]): object {
  try {
    const content: unknown = parse(readFileSync(path, 'utf8')) ?? {};
    if (typeof content === 'object' && !Array.isArray(content) && content !== null) return content;
    throw new Error('it is not a mapping of settings');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && !path.endsWith('default.yaml')) return {};
    // Further lines quote the file, which may hold secrets.
    const [problem = ''] = message.split('\n');
    problems.push({
      path: null,
      variable: null,
      problem: `${path} cannot be read: ${problem.replace(/:$/, '')}`,
      fix: 'Correct the file',
    });
    return {};
  }
}

function describeIssue(issue: z.core.$ZodIssue, variables: readonly Variable[]): SettingsProblem[] {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    const known = variables.filter((each) => startsWith(each.path, path)).map((each) => each.path[path.length] ?? '');
    return issue.keys.map((key) => ({
      path: [...path, key].join('.'),
      variable: null,
      problem: 'there is no such setting',
      fix: suggestion(key, [...new Set(known)]),
    }));
  }
  const variable = variables.find((each) => startsWith(path, each.path))?.name ?? null;
  return [{ path: path.join('.'), variable, problem: lowerFirst(issue.message), fix: fixFor(path.join('.'), variable) }];
}

function fixFor(path: string, variable: string | null): string {
  const where = `${path} in config/local.yaml`;
  return `Correct ${variable === null ? where : `${variable}, or ${where}`}`;
}

/** Rules about several settings. One that fails on what the schema has refused already adds nothing. */
function brokenRules(config: Settings, reported: readonly SettingsProblem[], variables: readonly Variable[]): SettingsProblem[] {
  return rules.flatMap((rule) => {
    try {
      const broken = rule(config);
      if (broken === null || reported.some(({ path }) => path !== null && broken.path?.startsWith(path))) return [];
      return [{ ...broken, variable: variables.find(({ path }) => path.join('.') === broken.path)?.name ?? null }];
    } catch (error) {
      if (reported.length > 0) return [];
      throw error;
    }
  });
}

function startsWith(path: readonly string[], start: readonly string[]): boolean {
  return start.every((key, index) => path[index] === key);
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
