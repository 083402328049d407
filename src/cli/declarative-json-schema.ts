import { z } from 'zod';
import { endpointInput } from '../delivery/endpoint-input.ts';
import { clientInputSchema } from '../http/routes/clients.ts';
import { snakeCase, unconvertedOf } from '../http/snake-case.ts';
import { declarationSchema } from './declarative-schema.ts';

type Json = Record<string, unknown>;

/**
 * The JSON Schema (draft 2020-12) of the declarative file, as committed at `docs/rollcall.schema.json`: editors complete and check fields
 * by it. It says less than `rollcall apply` checks: rules about several fields are not in it.
 */
export function declarationJsonSchema(): object {
  const { $schema, properties, ...rest } = jsonSchema(declarationSchema({ allowHttp: false }));
  const lists = properties as { readonly [list: string]: Json };
  const schema = withReferences({
    ...rest,
    properties: {
      ...lists,
      workspaces: withNamedGroups(lists.workspaces as Json),
      clients: { ...lists.clients, items: inSnakeCase(jsonSchema(unconvertedOf(clientInputSchema) as z.ZodType)) },
      endpoints: { ...lists.endpoints, items: endpointItem() },
    },
  }) as Json;
  return { $schema, title: 'What Rollcall serves: rollcall apply -f', ...schema, $defs: { elsewhere } };
}

/** What may stand in place of any text. */
const elsewhere = {
  description: 'The text of an environment variable, or of a file (relative to this one).',
  anyOf: ['env', 'file'].map((kind) => ({
    type: 'object',
    properties: { [kind]: { type: 'string' } },
    required: [kind],
    additionalProperties: false,
  })),
};

function jsonSchema(schema: z.ZodType): Json {
  return z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ jsonSchema: made }) => {
      // The format says it in words; the expression would only say it again.
      if (made.format !== undefined) delete made.pattern;
    },
  }) as Json;
}

/** An endpoint names its workspaces by slug, the API by id. */
function endpointItem(): Json {
  const { properties, ...rest } = inSnakeCase(jsonSchema(endpointInput({ allowHttp: false })));
  const { workspace_ids: _, ...fields } = properties as Json;
  const declared = jsonSchema(declarationSchema({ allowHttp: false }).shape.endpoints);
  const { workspaces } = (declared.items as { properties: Json }).properties;
  // The address is read by a transformation, of which a schema knows nothing.
  return { ...rest, properties: { ...fields, url: { type: 'string', format: 'uri', maxLength: 2_048 }, workspaces } };
}

/** A name alone is a group, too. */
function withNamedGroups(workspaces: Json): Json {
  const item = workspaces.items as { properties: { app_groups: Json } };
  const groups = item.properties.app_groups;
  const items = { anyOf: [{ type: 'string' }, groups.items] };
  return { ...workspaces, items: { ...item, properties: { ...item.properties, app_groups: { ...groups, items } } } };
}

function inSnakeCase({ $schema: _, properties = {}, required, ...schema }: Json): Json {
  return {
    ...schema,
    properties: Object.fromEntries(Object.entries(properties as Json).map(([name, field]) => [snakeCase(name), field])),
    ...(Array.isArray(required) && { required: required.map((name) => snakeCase(String(name))) }),
  };
}

/** `{ env: NAME }` and `{ file: path }` for every text, and text where a parser reads text (`x-text-form`). */
function withReferences(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withReferences);
  if (typeof value !== 'object' || value === null) return value;
  const { 'x-text-form': textForm, default: given, description, ...schema } = value as Json;
  const changed = Object.fromEntries(Object.entries(schema).map(([key, child]) => [key, withReferencesBelow(key, child)]));
  const about = { ...(description !== undefined && { description }), ...(given !== undefined && { default: given }) };
  const reference = { $ref: '#/$defs/elsewhere' };
  if (textForm === true) return { ...about, anyOf: [{ type: 'string' }, reference, changed] };
  if (changed.type === 'string' && !('const' in changed)) return { ...about, anyOf: [changed, reference] };
  return { ...changed, ...about };
}

/** The names of fields are no schemas: one may be called `description`. */
function withReferencesBelow(key: string, child: unknown): unknown {
  if (key === 'enum' || key === 'required') return child;
  if (key !== 'properties') return withReferences(child);
  return Object.fromEntries(Object.entries(child as Json).map(([name, field]) => [name, withReferences(field)]));
}
