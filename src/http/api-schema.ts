/**
 * How a route of the REST API is declared. The OpenAPI document, the audit log and a test of the answers all read the declaration.
 *
 * Beside `routes/things.ts` stands `routes/things-operations.ts`:
 *
 *     export const thingOperations = declareOperations('Things', [
 *       {
 *         method: 'get',
 *         path: '/things/{thing_id}',
 *         summary: 'Read a thing',
 *         answers: { 200: thingSchema },
 *         etag: true,
 *       },
 *       {
 *         method: 'post',
 *         path: '/things',
 *         summary: 'Create a thing',
 *         scope: 'instance',
 *         body: thingInputSchema,   // the schema that the route itself parses with: exported there, never written twice
 *         answers: { 201: thingSchema },
 *         errors: ['conflict'],
 *       },
 *     ]);
 *
 * and one line in `openapi-operations.ts` adds it to the list. Answers are described by strict schemas with a name
 * (`.meta({ id: 'Thing' })`); `describes<ReturnType<typeof thingView>>()` ties one to the view that the route sends, so that it stops
 * compiling when they part. 401, 403, 404, 413 and 422 need not be declared: they follow from what the operation takes.
 * `test/integration/api/document.test.ts` fails for a route without a declaration, and the other way round.
 */
import { z } from 'zod';
import type { BrokerErrorCode } from '../domain/broker-error.ts';
import { isUniqueId } from '../infra/unique-id.ts';

export interface Operation {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** Below `/v1`, parameters in braces: `/workspaces/{workspace_id}/members`. */
  readonly path: `/${string}`;
  readonly summary: string;
  /** What a reader must know beyond the summary; CommonMark. */
  readonly description?: string;
  /** `instance`: keys of one workspace are refused (R13). `public`: no key is asked for. Left out: both kinds of keys. */
  readonly scope?: 'instance' | 'public';
  /** Path parameters that are not ids. */
  readonly params?: Readonly<Record<string, z.ZodType>>;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** What a successful answer carries, by status; null: nothing. */
  readonly answers: Readonly<Record<number, z.ZodType | null>>;
  /** Media type of the answers; JSON unless given. */
  readonly mediaType?: string;
  /** Refusals beyond those that follow from the rest of the declaration. */
  readonly errors?: readonly BrokerErrorCode[];
  /** A single resource with an `ETag`, whose changes take `If-Match`. */
  readonly etag?: boolean;
  /** False: a POST that asks and changes nothing, and so leaves no entry in the audit log. */
  readonly changes?: boolean;
}

export type DeclaredOperation = Operation & { readonly tag: string };

/** @param tag the heading under which the document shows the operations */
export function declareOperations(tag: string, operations: readonly Operation[]): readonly DeclaredOperation[] {
  return operations.map((operation) => ({ ...operation, tag }));
}

/** Does not compile unless every value of the type `View` fits the schema: `describes<ReturnType<typeof thingView>>()(schema)`. */
export function describes<View>() {
  return <Schema extends z.ZodType>(schema: Schema & (Writable<View> extends z.input<Schema> ? unknown : never)): Schema =>
    schema;
}

/** Lists are the same in JSON whoever may change them. */
type Writable<T> = T extends readonly (infer Item)[]
  ? Writable<Item>[]
  : T extends object
    ? { -readonly [K in keyof T]: Writable<T[K]> }
    : T;

/** An id in an answer or in an address. */
export const idSchema = z.uuid();

/** An id in a body or query: anything else names nothing. */
export const idInputSchema = z.string().refine(isUniqueId, 'give an id in lower-case UUID form').meta({ format: 'uuid' });

/** A moment, as every answer writes it: ISO 8601 in UTC. */
export const momentSchema = z.iso.datetime();

/** A page of a list: see `pageOf`. */
export function pageSchema<Item extends z.ZodType>(item: Item) {
  return z.strictObject({
    data: z.array(item),
    next_cursor: z.string().nullable().describe('Give it as `after` to read on; null: this is the last page.'),
  });
}

/** Names of the parameters in a path. */
export function parametersOf(path: string): string[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string);
}

export interface MatchedOperation {
  readonly operation: DeclaredOperation;
  readonly params: Readonly<Record<string, string>>;
}

/** Finds the operation that a request is, as the router does: the first declared one that fits, literal segments before parameters. */
export function createOperationFinder(operations: readonly DeclaredOperation[]) {
  const patterns = operations
    .map((operation) => ({ operation, pattern: patternOf(operation.path), weight: parametersOf(operation.path).length }))
    .sort((a, b) => a.weight - b.weight);
  return (method: string, path: string): MatchedOperation | null => {
    for (const { operation, pattern } of patterns) {
      if (operation.method !== method.toLowerCase()) continue;
      const match = pattern.exec(path);
      const params = match && decoded(match.groups ?? {});
      if (params) return { operation, params };
    }
    return null;
  };
}

/** Null: no valid encoding, which the router refuses too. */
function decoded(groups: Readonly<Record<string, string>>): Record<string, string> | null {
  try {
    return Object.fromEntries(Object.entries(groups).map(([name, value]) => [name, decodeURIComponent(value)]));
  } catch {
    return null;
  }
}

/** A trailing slash is the same path to the router. */
function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replace(/[.\\]/g, '\\$&').replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}/?$`);
}
