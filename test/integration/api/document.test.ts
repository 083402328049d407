import request from 'supertest';
import { describe, expect, it } from 'vitest';
import { parametersOf } from '../../../src/http/api-schema.ts';
import { apiOperations } from '../../../src/http/openapi-operations.ts';
import { aServer } from '../../support/http-server.ts';

/** What Express keeps of a mounted handler. */
interface Layer {
  readonly rawPath: string;
  readonly route?: { readonly methods: Readonly<Record<string, boolean>>; readonly path: string };
  readonly handle: { readonly stack?: readonly Layer[] };
}

const server = aServer();

/** Every route below a router, as the document writes it. */
function mounted(layers: readonly Layer[], at = ''): string[] {
  return layers.flatMap(({ route, handle, rawPath }) => {
    const below = (path: string) => `${at}${path === '/' ? '' : path}`;
    if (!route) return handle.stack ? mounted(handle.stack, below(rawPath)) : [];
    return Object.keys(route.methods).map((method) => `${method} ${below(route.path).replace(/:(\w+)/g, '{$1}')}`);
  });
}

describe('the description of the API', () => {
  it('has every route that is mounted, and no other', () => {
    const { stack } = server.app.router as unknown as { readonly stack: readonly Layer[] };
    const routes = mounted(stack).flatMap((name) => (/^\w+ \/v1\//.test(name) ? [name.replace('/v1', '')] : []));
    const documented = apiOperations.map(({ method, path }) => `${method} ${path}`);
    expect(documented.filter((name) => !routes.includes(name))).toEqual([]);
    expect(routes.filter((name) => !documented.includes(name))).toEqual([]);
    expect(new Set(documented).size).toBe(documented.length);
  });

  it('is OpenAPI 3.1, public, and whole: every reference leads somewhere', async () => {
    const { status, body, text, headers } = await request(server.app).get('/v1/openapi.json');
    expect([status, body.openapi]).toEqual([200, '3.1.0']);
    expect(headers['content-type']).toContain('application/json');
    const references = [...text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name as string);
    expect(references.length).toBeGreaterThan(20);
    expect(references.filter((name) => body.components.schemas[name] === undefined)).toEqual([]);
    expect(text).not.toContain('$defs');
    expect(body.servers).toEqual([{ url: 'https://login.example.com/v1' }]);
  });

  it('describes each operation: summary, answers, refusals, parameters', async () => {
    const { body } = await request(server.app).get('/v1/openapi.json');
    const ids = new Set<string>();
    for (const { method, path, scope } of apiOperations) {
      const item = body.paths[path];
      const operation = item[method];
      expect(operation.summary, `${method} ${path}`).toMatch(/^[A-Z]/);
      expect(Object.keys(operation.responses).some((status) => status.startsWith('2'))).toBe(true);
      expect(operation.responses['401'] === undefined, `${method} ${path}`).toBe(scope === 'public');
      expect((item.parameters ?? []).map(({ name }: { name: string }) => name)).toEqual(parametersOf(path));
      ids.add(operation.operationId);
    }
    expect(ids.size).toBe(apiOperations.length);
  });

  it('says what bodies look like: in snake_case, with text where text is read, a patch without required fields', async () => {
    const { body } = await request(server.app).get('/v1/openapi.json');
    const schemaOf = (path: string, method: string) => body.paths[path][method].requestBody.content['application/json'].schema;
    expect(schemaOf('/endpoints', 'post')).toMatchObject({
      required: ['url'],
      additionalProperties: false,
      properties: { url: { type: 'string' }, event_types: { default: null } },
    });
    const create = schemaOf('/connections', 'post');
    expect(create.required).toEqual(['display_name', 'protocol']);
    expect(create.properties.group_sync.properties.mapping.anyOf[0]).toEqual({ type: 'string' });
    const patch = JSON.stringify(schemaOf('/connections/{connection_id}', 'patch'));
    expect(patch).not.toContain('"required"');
    expect(patch).not.toContain('"default"');
    expect(body.paths['/workspaces'].get.parameters).toEqual([
      { name: 'limit', in: 'query', required: false, schema: { default: 50, type: 'integer', minimum: 1, maximum: 200 } },
      expect.objectContaining({ name: 'after', in: 'query', required: false }),
    ]);
  });
});
