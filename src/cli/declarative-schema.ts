import { z } from 'zod';
import { endpointInput } from '../delivery/endpoint-input.ts';
import { appGroupSchema } from '../http/routes/app-groups.ts';
import { clientInputSchema } from '../http/routes/clients.ts';
import { domainInput } from '../http/routes/domains.ts';
import { slugSchema } from '../http/routes/workspaces.ts';
import { inSnakeCase, snakeCase } from '../http/snake-case.ts';
import { connectionInputSchema, displayNameSchema } from '../login/connection-input.ts';

export type Declaration = z.output<ReturnType<typeof declarationSchema>>;
export type DeclaredWorkspace = Declaration['workspaces'][number];
export type DeclaredConnection = Declaration['connections'][number];
export type DeclaredEndpoint = Declaration['endpoints'][number];

/**
 * The declarative file: what it names is made or brought in line, what it does not name stays. Workspaces go by slug, connections by
 * workspace and display name, clients by client id, endpoints by address.
 */
export function declarationSchema(options: { readonly allowHttp: boolean }) {
  return z
    .strictObject({
      workspaces: z.array(workspace).default([]),
      connections: z.array(connection).default([]),
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
  /** Left out: the app pushes them, and they are none of the file's business. */
  app_groups: z.array(appGroup).max(10_000).optional(),
});

/** A domain alone is one that the connection may speak for; that it was verified by DNS is not taken back. */
const emailDomain = z
  .preprocess((value) => (typeof value === 'string' ? { domain: value } : value), domainInput)
  .meta({ description: 'The domain alone, or with its status.', 'x-text-form': true });

const connection = connectionInputSchema.safeExtend({
  /** Left out: as they were set through the API or the command line. */
  email_domains: z
    .array(emailDomain)
    .max(1_000)
    .superRefine((domains, context) => {
      for (const { path, message } of doubled(domains, 'email_domains', 'domain', ({ domain }) => domain)) {
        context.addIssue({ code: 'custom', path: path.slice(1), message });
      }
    })
    .optional(),
});

/** An endpoint names its workspaces by slug. */
function endpoint(options: { readonly allowHttp: boolean }) {
  const input = endpointInput(options);
  const fields = Object.keys(input.shape).filter((field) => field !== 'workspaceIds');
  const rest = inSnakeCase(input, fields.map(snakeCase));
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
