import request from 'supertest';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { type ApiKeyStore, createApiKeyStore } from '../../src/http/api-key-store.ts';
import { apiOn, bootstrapApiKey } from './api-stores.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';
import { aServer, type TestServer } from './http-server.ts';

/** Paths of the fields that an answer names. */
export function paths(answer: { readonly body: { readonly errors?: readonly { readonly path: string }[] } }): string[] {
  return (answer.body.errors ?? []).map(({ path }) => path).sort();
}

/** The API on a real database with two workspaces; anew for each test of the file that calls it. */
export function useApi() {
  let database: TestDatabase;
  let server: TestServer;
  let acme = '';
  let globex = '';
  let keys = { acme: '', globex: '', readOnly: '' };

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());
  beforeEach(async () => {
    await database.db.raw(
      'TRUNCATE workspaces, events, outbox, event_log, endpoints, oidc_clients, login_traces, audit_log, idempotency_keys CASCADE',
    );
    server = aServer({ api: apiOn(database.db) });
    acme = (await post('/v1/workspaces', { slug: 'acme', display_name: 'Acme' })).body.workspace_id;
    globex = (await post('/v1/workspaces', { slug: 'globex' })).body.workspace_id;
    keys = {
      acme: await aKey({ workspaceId: acme }),
      globex: await aKey({ workspaceId: globex }),
      readOnly: await aKey({ readOnly: true }),
    };
  });

  const apiKeys = (): ApiKeyStore => createApiKeyStore({ db: database.db, now: () => new Date(), bootstrapApiKey });
  async function aKey(given: { workspaceId?: string | null; readOnly?: boolean; expiresAt?: Date | null }): Promise<string> {
    const { key } = await apiKeys().create({ name: 'test', workspaceId: null, readOnly: false, expiresAt: null, ...given });
    return key;
  }
  const authorized = (call: request.Test, key: string) => call.set('Authorization', `Bearer ${key}`);
  const get = (path: string, key = bootstrapApiKey) => authorized(request(server.app).get(path), key);
  const post = (path: string, body: object, key = bootstrapApiKey) => authorized(request(server.app).post(path), key).send(body);
  const put = (path: string, body: object, key = bootstrapApiKey) => authorized(request(server.app).put(path), key).send(body);
  const patch = (path: string, body: object, key = bootstrapApiKey) =>
    authorized(request(server.app).patch(path), key).send(body);
  const remove = (path: string, key = bootstrapApiKey) => authorized(request(server.app).delete(path), key);

  return {
    get,
    post,
    put,
    patch,
    remove,
    aKey,
    apiKeys,
    get database() {
      return database;
    },
    get server() {
      return server;
    },
    /** Ids of the two workspaces. */
    get acme() {
      return acme;
    },
    get globex() {
      return globex;
    },
    /** Keys of one workspace each, and one of the instance that reads only. */
    get keys() {
      return keys;
    },
    /** Puts another server in front of the same database. */
    serve(next: TestServer) {
      server = next;
    },
  };
}
