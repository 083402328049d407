import { z } from 'zod';
import { type BrokerErrorCode, errorFaces } from '../domain/broker-error.ts';
import { type DeclaredOperation, idSchema, parametersOf } from './api-schema.ts';
import { problemMediaType } from './problem.ts';
import { snakeCase, unconvertedOf } from './snake-case.ts';

type Json = Record<string, unknown>;

/** Every refusal of the API: see `problem.ts`. */
export const problemSchema = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('What to do next.'),
    code: z.string().describe('Stable; branch on it.'),
    reason: z.string().optional().describe('Stable refinement of the code.'),
    errors: z.array(z.strictObject({ path: z.string(), message: z.string() })).optional(),
    confirmation: z
      .strictObject({ token: z.string(), impact: z.looseObject({}) })
      .optional()
      .describe('Of a removal in two steps: what would go, and the token for the second.'),
    earliest_cursor: z.string().optional().describe('Of `cursor_expired`: where reading can go on.'),
    request_id: z.string().describe('Finds the log lines; also in the header `x-request-id`.'),
  })
  .meta({ id: 'Problem', description: 'A problem document (RFC 9457).' });

/**
 * The OpenAPI 3.1 document of the declared operations, made from the schemas that parse requests and describe answers.
 * @param options `publicUrl`: where the API is reached
 */
export function openApiDocument(operations: readonly DeclaredOperation[], options: { readonly publicUrl: string }): Json {
  const schemas: Json = {};
  const paths: Record<string, Json> = {};
  for (const operation of operations) {
    const item = paths[operation.path] ?? pathItem(operation);
    paths[operation.path] = item;
    item[operation.method] = operationObject(operation, schemas);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Rollcall',
      version: '1',
      description: introduction,
      license: { name: 'Apache 2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: `${options.publicUrl}/v1` }],
    security: [{ apiKey: [] }],
    tags: [...new Set(operations.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas,
      securitySchemes: { apiKey: { type: 'http', scheme: 'bearer', description: 'A key that `POST /api-keys` gave.' } },
    },
  };
}

const introduction = `Lists are read in pages: \`?limit&after\`, with the \`next_cursor\` of the page before. Unknown fields are refused
with 422 and their names. What belongs to another workspace than the key's answers 404. Every POST takes an
\`Idempotency-Key\`; single resources carry an \`ETag\`, and their changes take \`If-Match\`.`;

function pathItem({ path, params }: DeclaredOperation): Json {
  const parameters = parametersOf(path).map((name) => ({
    name,
    in: 'path',
    required: true,
    schema: jsonSchema(params?.[name] ?? idSchema, { io: 'input', components: {} }),
  }));
  return parameters.length === 0 ? {} : { parameters };
}

function operationObject(operation: DeclaredOperation, components: Json): Json {
  const { method, path, summary, description, tag, scope, body } = operation;
  const parameters = [...queryParameters(operation), ...headerParameters(operation)];
  const scopeNote = scope === 'instance' ? 'Needs a key of instance scope.' : '';
  const text = [description, scopeNote].filter(Boolean).join('\n\n');
  return {
    operationId: operationId(method, path),
    tags: [tag],
    summary,
    ...(text !== '' && { description: text }),
    ...(scope === 'public' && { security: [] }),
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: { required: true, content: { 'application/json': { schema: bodySchema(operation, body, components) } } },
    }),
    responses: { ...answers(operation, components), ...refusals(operation, components) },
  };
}

function operationId(method: string, path: string): string {
  const words = path.replace(/[{}]/g, '').split(/[/_.-]+/);
  return [method, ...words.filter(Boolean).map((word) => word.charAt(0).toUpperCase() + word.slice(1))].join('');
}

/** A PATCH is a merge patch: each field may be left out, and stays then. */
function bodySchema({ method }: DeclaredOperation, body: z.ZodType, components: Json): Json {
  const schema = jsonSchema(body, { io: 'input', components });
  return method === 'patch' ? withoutRequired(schema) : schema;
}

function withoutRequired(value: unknown): Json {
  return walk(value, (object) => {
    const { required, default: _default, ...rest } = object;
    // A property may be called "required" or "default": those are schemas.
    return {
      ...rest,
      ...(isObject(required) && { required }),
      ...(isObject(_default) && isSchema(_default) && { default: _default }),
    };
  }) as Json;
}

function isSchema(value: Json): boolean {
  return 'type' in value || 'anyOf' in value || '$ref' in value;
}

function queryParameters({ query }: DeclaredOperation): Json[] {
  if (!query) return [];
  const { properties = {}, required = [] } = jsonSchema(query, { io: 'input', components: {} });
  return Object.entries(properties as Record<string, Json>).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    required: (required as string[]).includes(name),
    ...(description !== undefined && { description }),
    schema,
  }));
}

function headerParameters({ method, scope, etag }: DeclaredOperation): Json[] {
  const header = (name: string, description: string) => ({ name, in: 'header', description, schema: { type: 'string' } });
  return [
    ...(method === 'post' && scope !== 'public'
      ? [
          header(
            'Idempotency-Key',
            'The same key with the same request gives the stored answer, for 24 hours; with another request it is refused with 422.',
          ),
        ]
      : []),
    ...(etag && method !== 'get' ? [header('If-Match', 'The `ETag` as read; refused with 412 when the resource moved.')] : []),
    ...(etag && method === 'get' ? [header('If-None-Match', 'The `ETag` as read before; 304 when nothing moved.')] : []),
  ];
}

function answers({ answers: byStatus, etag, method, mediaType = 'application/json' }: DeclaredOperation, components: Json): Json {
  const responses = Object.entries(byStatus).map(([status, schema]) => [
    status,
    {
      description: schema ? 'The answer.' : 'Done; nothing to show.',
      ...(etag && schema && { headers: { ETag: { description: 'Strong.', schema: { type: 'string' } } } }),
      ...(schema && { content: { [mediaType]: { schema: jsonSchema(schema, { io: 'output', components }) } } }),
    },
  ]);
  if (etag && method === 'get') responses.push(['304', { description: 'As `If-None-Match` has it.' }]);
  return Object.fromEntries(responses) as Json;
}

/** One entry for each status, with the codes that it can carry. */
function refusals(operation: DeclaredOperation, components: Json): Json {
  const byStatus = Map.groupBy(errorCodesOf(operation), (code) => errorFaces[code].status);
  const schema = jsonSchema(problemSchema, { io: 'output', components });
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      status,
      { description: codes.map((code) => `\`${code}\``).join(', '), content: { [problemMediaType]: { schema } } },
    ]),
  );
}

/** The declared codes, and those that follow from what an operation takes. */
export function errorCodesOf({ method, path, scope, query, body, etag, errors = [] }: DeclaredOperation): BrokerErrorCode[] {
  const writes = method !== 'get';
  const implied: (BrokerErrorCode | false | undefined)[] = [
    scope !== 'public' && 'unauthorized',
    scope !== 'public' && (writes || scope === 'instance') && 'forbidden',
    parametersOf(path).length > 0 && 'not_found',
    body && 'invalid_request',
    body && 'payload_too_large',
    (query || body) && 'validation_failed',
    etag && writes && 'precondition_failed',
    method === 'post' && scope !== 'public' && 'conflict',
    method === 'post' && scope !== 'public' && 'idempotency_key_reused',
    'unavailable',
    'internal',
  ];
  return [...new Set([...implied.filter((code) => typeof code === 'string'), ...errors])];
}

/** JSON Schema of a zod schema; named ones go to the components and are referred to. */
function jsonSchema(schema: z.ZodType, { io, components }: { readonly io: 'input' | 'output'; readonly components: Json }): Json {
  const unconverted = io === 'input' ? unconvertedOf(schema) : undefined;
  if (unconverted) return inSnakeCase(jsonSchema(unconverted, { io, components }));
  const { $schema: _, $defs, ...json } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json;
  const named = $defs as Json | undefined;
  for (const [id, definition] of Object.entries(named ?? {})) components[id] = tidy(definition, id);
  const { id, ...rest } = json as { id?: string } & Json;
  if (typeof id !== 'string' || named?.[id] !== undefined) return tidy(rest);
  components[id] = tidy(rest);
  return { $ref: `#/components/schemas/${id}` };
}

/** References as OpenAPI has them, formats without the expression that says them again, and text where a parser reads text too. */
function tidy(value: unknown, _id?: string): Json {
  return walk(value, (object) => {
    const { $ref, pattern, id, ...rest } = object;
    const tidied: Json = {
      ...rest,
      ...(isObject(id) && { id }),
      ...(typeof $ref === 'string' && { $ref: $ref.replace('#/$defs/', '#/components/schemas/') }),
      ...(pattern !== undefined && !(typeof pattern === 'string' && 'format' in rest) && { pattern }),
    };
    if (tidied['x-text-form'] !== true) return tidied;
    const { 'x-text-form': _text, description, default: given, ...structured } = tidied;
    return { ...(given !== undefined && { default: given }), description, anyOf: [{ type: 'string' }, structured] };
  }) as Json;
}

/** The fields of an object schema as the sender knows them. */
function inSnakeCase(schema: Json): Json {
  const { properties = {}, required } = schema;
  return {
    ...schema,
    properties: Object.fromEntries(Object.entries(properties as Json).map(([name, field]) => [snakeCase(name), field])),
    ...(Array.isArray(required) && { required: required.map((name) => snakeCase(String(name))) }),
  };
}

/** Rebuilds a JSON value from its leaves up. */
function walk(value: unknown, change: (object: Json) => Json): unknown {
  if (Array.isArray(value)) return value.map((item) => walk(item, change));
  if (!isObject(value)) return value;
  return change(Object.fromEntries(Object.entries(value).map(([key, child]) => [key, walk(child, change)])));
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
