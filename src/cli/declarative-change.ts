import { isDeepStrictEqual } from 'node:util';
import { BrokerError } from '../domain/broker-error.ts';
import { snakeCase } from '../http/snake-case.ts';

/** What is to be done about one thing that the file names, or with `--prune` does not name. */
export interface Change {
  /** What it is and which one: `workspace acme`. */
  readonly subject: string;
  readonly action: 'created' | 'changed' | 'removed' | 'none';
  /** Which fields change, how many groups, or what removal means. */
  readonly detail?: string;
  /** Known once it is done. */
  readonly id?: string;
  /** Something that is shown this once. */
  readonly secret?: string;
  readonly audit?: AuditedChange;
}

/** A change as the audit log keeps it. */
export interface AuditedChange {
  /** Plural noun of the API. */
  readonly resource: string;
  readonly resourceId: string | null;
  readonly workspaceId: string | null;
  readonly before: unknown;
  readonly after: unknown;
}

/** Changed, if there is anything that changed. */
export function changeOf(subject: string, fields: readonly string[], audit?: AuditedChange): Change {
  if (fields.length === 0) return { subject, action: 'none' };
  return { subject, action: 'changed', detail: fields.join(', '), ...(audit && { audit }) };
}

/** The fields, as the file names them, whose values differ. */
export function differing(before: object, after: object): string[] {
  const [old, fresh] = [before, after] as Record<string, unknown>[];
  return Object.keys(after)
    .filter((field) => !isDeepStrictEqual(old?.[field], fresh?.[field]))
    .map(snakeCase);
}

export const isDone = ({ action }: Change): boolean => action !== 'none';

/** Runs a step and puts where it stands in the declaration before the paths of its errors. */
export async function at<Result>(path: string, step: () => Promise<Result>): Promise<Result> {
  try {
    return await step();
  } catch (error) {
    throw renamed(error, (field) => (field === '' ? path : `${path}.${field}`));
  }
}

/** The same error, its fields called otherwise. One without fields gets one, so that it has a place in the file. */
export function renamed(error: unknown, rename: (path: string) => string): unknown {
  if (!(error instanceof BrokerError)) return error;
  const fields = error.fields.length > 0 ? error.fields : [{ path: '', message: error.message }];
  return new BrokerError(error.code, error.message, {
    cause: error,
    ...(error.reason === undefined ? {} : { reason: error.reason }),
    fields: fields.map(({ path, message }) => ({ path: rename(path), message })),
  });
}

/** A refusal that belongs to one place of the file. */
export function refusal(path: string, message: string, reason?: string): BrokerError {
  const code = reason === undefined ? 'validation_failed' : 'conflict';
  return new BrokerError(code, message, { fields: [{ path, message }], ...(reason !== undefined && { reason }) });
}
