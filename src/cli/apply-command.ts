import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { BrokerError } from '../domain/broker-error.ts';
import type { RoleLadder } from '../domain/group-sync.ts';
import type { Stores } from '../stores.ts';
import { createCommandAudit } from './audit.ts';
import { applyDeclaration, type Change } from './declarative-apply.ts';
import { DeclarationError, type ReadDeclaration, readDeclaration } from './declarative-file.ts';

/**
 * Reads a declarative file and brings the database in line with it.
 * @param deps `write`: takes the lines of the report
 * @throws DeclarationError, BrokerError
 */
export async function applyFile(
  options: { readonly file: string; readonly dryRun: boolean },
  deps: {
    readonly stores: Pick<Stores, 'db' | 'sealedBox' | 'connections' | 'audit'> & { readonly ladder: RoleLadder };
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly allowHttp: boolean;
    readonly now: () => Date;
    readonly write: (text: string) => void;
  },
): Promise<void> {
  const { file, dryRun } = options;
  const { stores, env, allowHttp, now } = deps;
  const read = readDeclaration({ text: await textOf(file), fileName: file, folder: dirname(resolve(file)), env, allowHttp });
  const { recordDeclared: recordChange } = createCommandAudit({ audit: stores.audit, env });
  const changes = await applyDeclaration(
    read.declaration,
    { ...stores, roles: stores.ladder, now, recordChange },
    { dryRun },
  ).catch((error: unknown) => {
    throw placed(error, read, file);
  });
  deps.write(reportOf(changes, dryRun));
}

export async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new BrokerError('validation_failed', `${file} cannot be read (${code ?? 'unknown error'})`, { cause });
  }
}

/** What the database refused, at its place in the file. */
export function placed(error: unknown, { placeOf }: ReadDeclaration, fileName: string): unknown {
  if (!(error instanceof BrokerError) || error.fields.length === 0) return error;
  const problems = error.fields.map((field) => ({ ...field, ...placeOf(field.path) }));
  return new DeclarationError(fileName, problems, { cause: error });
}

const words = { created: 'created', changed: 'changed', none: 'no change' } as const;

export function reportOf(changes: readonly Change[], dryRun: boolean): string {
  const lines = changes.map(
    ({ subject, action, detail }) => `${subject}: ${words[action]}${detail === undefined ? '' : ` (${detail})`}`,
  );
  const secrets = dryRun
    ? []
    : changes.flatMap(({ subject, secret }) =>
        secret === undefined ? [] : [`Secret of ${subject}, shown this once: ${secret}`],
      );
  const count = changes.filter(({ action }) => action !== 'none').length;
  const done =
    count === 0 ? 'No change.' : `${count} ${count === 1 ? 'change' : 'changes'}${dryRun ? ' would be made' : ' made'}.`;
  return `${[...lines, ...secrets, done].join('\n')}\n`;
}
