import { z } from 'zod';
import { endpointInput } from '../delivery/endpoint-input.ts';
import { appGroupSchema } from '../http/routes/app-groups.ts';
import { clientInputSchema } from '../http/routes/clients.ts';
import { slugSchema } from '../http/routes/workspaces.ts';
import { inSnakeCase, snakeCase } from '../http/snake-case.ts';
import { connectionInputSchema, displayNameSchema } from '../login/connection-input.ts';

export type Declaration = z.output<ReturnType<typeof declarationSchema>>;
export type DeclaredWorkspace = Declaration['workspaces'][number];
export type DeclaredEndpoint = Declaration['endpoints'][number];

/**
 * The declarative file: what it names is made or brought in line, what it does not name stays. Workspaces go by slug, connections by
 * workspace and display name, clients by client id, endpoints by address.
 */
export function declarationSchema(options: { readonly allowHttp: boolean }) {
  return z
    .strictObject({
      workspaces: z.array(workspace).default([]),
      connections: z.array(connectionInputSchema).default([]),
      clients: z.array(clientInputSchema).default([]),
      endpoints: z.array(endpoint(options)).default([]),
    })
    .superRefine((declaration, context) => {
      const problems = [
        ...doubled(declaration.workspaces, 'workspaces', 'slug', ({ slug }) => slug),
        ...doubled(declaration.connections, 'connections', 'display_name', (connection) =>
          JSON.stringify([connection.workspace, connection.display_name]),
        ),
        ...doubled(declaration.clients, 'clients', 'client_id', ({ clientId }) => clientId),
        ...doubled(declaration.endpoints, 'endpoints', 'url', ({ url }) => url),
        ...doubled(declaration.connections, 'connections', 'is_default', (connection, index) =>
          connection.is_default ? 'the default' : String(index),
        ),
      ];
      for (const { path, message } of problems) context.addIssue({ code: 'custom', path, message });
    });
}

/** A name alone is a group that requires no role. */
const appGroup = z.preprocess((value) => (typeof value === 'string' ? { name: value } : value), appGroupSchema);

const workspace = z.strictObject({
  slug: slugSchema,
  /** The slug, unless given. */
  display_name: displayNameSchema.optional(),
  app_groups: z.array(appGroup).max(10_000).default([]),
});

/** An endpoint names its workspaces by slug. */
function endpoint(options: { readonly allowHttp: boolean }) {
  const rest = inSnakeCase(endpointInput(options), ['url', 'description', 'event_types', 'enabled', 'secret']);
  return z
    .looseObject({
      workspaces: z.array(slugSchema).min(1, 'name at least one, or leave it out for all').nullable().default(null),
    })
    .transform(({ workspaces, ...given }, context) => {
      const parsed = rest.safeParse(given);
      if (parsed.success) return { ...parsed.data, workspaces };
      for (const issue of parsed.error.issues) {
        const path = issue.path.map((part) => (typeof part === 'string' ? snakeCase(part) : part));
        const keys = issue.code === 'unrecognized_keys' ? issue.keys : [null];
        for (const key of keys) {
          const message = key === null ? issue.message : 'there is no such field';
          context.addIssue({ code: 'custom', path: key === null ? path : [...path, key], message });
        }
      }
      return z.NEVER;
    });
}

function doubled<Item>(
  items: readonly Item[],
  list: string,
  field: string,
  keyOf: (item: Item, index: number) => string,
): { path: (string | number)[]; message: string }[] {
  const first = new Map<string, number>();
  return items.flatMap((item, index) => {
    const key = keyOf(item, index);
    const earlier = first.get(key);
    if (earlier === undefined) {
      first.set(key, index);
      return [];
    }
    return [{ path: [list, index, field], message: `${list}.${earlier} says the same: name each once` }];
  });
}
