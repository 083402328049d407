import type { Request } from 'express';
import { z } from 'zod';
import { BrokerError, type FieldError } from '../domain/broker-error.ts';
import { isUniqueId } from '../infra/unique-id.ts';
import { snakeCase } from './snake-case.ts';

/**
 * Parses a value from outside.
 * @param at path of the value within what the sender wrote; leads the paths of the errors
 * @throws BrokerError `validation_failed` with every error and its path
 */
export function parseInput<Schema extends z.ZodType>(schema: Schema, value: unknown, at = ''): z.output<Schema> {
  const unstorable = findUnstorable(value);
  if (unstorable !== null) {
    throw invalidInput([{ path: joined(at, unstorable), message: 'leave out NUL characters and halves of surrogate pairs' }]);
  }
  const result = schema.safeParse(value, { reportInput: false });
  if (result.success) return result.data;
  throw invalidInput(fieldErrors(result.error.issues, at));
}

export function invalidInput(fields: readonly FieldError[]): BrokerError {
  return new BrokerError('validation_failed', fields.map(({ path, message }) => `${path}: ${message}`).join('; '), { fields });
}

/**
 * The JSON body of a request, parsed.
 * @throws BrokerError `invalid_request` for another media type or no body, `validation_failed`
 */
export function parseBody<Schema extends z.ZodType>(schema: Schema, req: Request): z.output<Schema> {
  return parseInput(schema, jsonBody(req));
}

/** The same where a request without any body asks for the defaults. */
export function parseOptionalBody<Schema extends z.ZodType>(schema: Schema, req: Request): z.output<Schema> {
  const isEmpty = req.headers['transfer-encoding'] === undefined && Number(req.headers['content-length'] ?? 0) === 0;
  return isEmpty ? parseInput(schema, {}) : parseBody(schema, req);
}

export function jsonBody(req: Request): unknown {
  // body-parser leaves the body undefined for a media type that is not its own.
  if (req.body !== undefined) return req.body as unknown;
  throw new BrokerError('invalid_request', 'the body is missing or not application/json', {
    reason: 'unsupported_media_type',
    fields: [{ path: '', message: 'send a JSON object with "Content-Type: application/json"' }],
  });
}

/** Query parameters, each at most once; unknown ones are named. */
export function parseQuery<Schema extends z.ZodType>(schema: Schema, req: Request): z.output<Schema> {
  return parseInput(schema, { ...req.query });
}

/** An id from the path: anything else names nothing. */
export function pathId(req: Request, name: string): string {
  const value = req.params[name];
  if (typeof value === 'string' && isUniqueId(value)) return value;
  throw new BrokerError('not_found', `the ${name} in the path is no id`);
}

/** `limit` and `after` of a cursor page. */
export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(200).default(50),
  after: z.string().max(500).optional(),
};

/** The same with an id as cursor. */
export const idPageQuery = {
  ...pageQuery,
  after: z.string().refine(isUniqueId, 'give the next_cursor of an earlier page as it was').optional(),
};

/** `data` with the cursor of the next page; `rows` holds one more than the page if there is one. */
export function pageOf<Row, View>(
  rows: readonly Row[],
  limit: number,
  { cursor, view }: { cursor: (row: Row) => string; view: (row: Row) => View },
) {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return { data: page.map(view), next_cursor: rows.length > limit && last !== undefined ? cursor(last) : null };
}

function fieldErrors(issues: readonly z.core.$ZodIssue[], at: string): FieldError[] {
  return issues.flatMap((issue) => {
    const path = joined(at, issue.path.map((part) => snakeCase(String(part))).join('.'));
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({ path: joined(path, key.slice(0, 200)), message: 'there is no such field' }));
    }
    return [{ path, message: issue.message }];
  });
}

function joined(at: string, path: string): string {
  return at === '' || path === '' ? at + path : `${at}.${path}`;
}

/** Path of the first string or key that Postgres cannot store. Walks without recursion: nesting is the sender's choice. */
function findUnstorable(value: unknown): string | null {
  const waiting: { path: string; value: unknown }[] = [{ path: '', value }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { path, value: current } = next;
    if (typeof current === 'string' && !isStorable(current)) return path;
    if (typeof current !== 'object' || current === null) continue;
    for (const [key, child] of Object.entries(current)) {
      if (!isStorable(key)) return path;
      if (typeof child === 'string' || (typeof child === 'object' && child !== null)) {
        waiting.push({ path: joined(path, key), value: child });
      }
    }
  }
  return null;
}

function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}
