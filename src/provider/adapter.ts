import { hash } from 'node:crypto';
import Provider, { type Adapter, type AdapterPayload, errors } from 'oidc-provider';
import type { ExpiringStore } from '../infra/expiring-store.ts';
import type { ClientMetadata } from './client-metadata.ts';
import { parseGrantId } from './login-grant.ts';
import { translated } from './provider-error.ts';
import type { Revocation } from './revocation.ts';

export interface AdapterDeps {
  readonly store: ExpiringStore;
  readonly revocation: Revocation;
  readonly findClient: (clientId: string) => Promise<ClientMetadata | null>;
  /** False: nobody stays signed in, whatever the library does. */
  readonly keepsSessions: boolean;
}

/**
 * What oidc-provider stores, on an `ExpiringStore`. Operations of one login without sessions, as the library asks for them:
 *
 *     authorization request   interaction set                                              1
 *     interaction page        interaction get                                              1
 *     result                  interaction get (unless this request already did), set       2
 *     resume                  interaction get, take; code set                              3
 *     token                   code get; grant record add; access token set                 3
 *     userinfo                access token get, grant record get, user tombstone get       3
 *
 * The tombstone is the only one that is usually missing. Grants themselves are never stored (`login-grant.ts`), sessions only where
 * an operator set a lifetime, and during a logout.
 */
export function createAdapter(deps: AdapterDeps): (model: string) => Adapter {
  const adapters: Readonly<Record<string, () => Partial<Adapter>>> = {
    Client: () => clientAdapter(deps),
    Grant: () => grantAdapter(deps),
    Interaction: () => interactionAdapter(deps),
    Session: () => sessionAdapter(deps),
    AuthorizationCode: () => codeAdapter(deps),
    AccessToken: () => accessTokenAdapter(deps),
  };
  return (model) => {
    const adapter = Object.hasOwn(adapters, model) ? adapters[model] : undefined;
    if (!adapter) throw new TypeError(`oidc-provider stores ${model}, which belongs to a feature that is off`);
    return translated({ ...unsupported(model), ...adapter() });
  };
}

function clientAdapter({ findClient }: AdapterDeps): Partial<Adapter> {
  return {
    async find(clientId) {
      const client = await findClient(clientId);
      return client ? libraryMetadata(client) : undefined;
    },
  };
}

function libraryMetadata(client: ClientMetadata): AdapterPayload {
  return {
    client_id: client.clientId,
    client_name: client.name,
    ...(client.clientSecret !== null && { client_secret: client.clientSecret }),
    redirect_uris: client.redirectUris,
    post_logout_redirect_uris: client.postLogoutRedirectUris,
    token_endpoint_auth_method: client.tokenEndpointAuthMethod,
    ...(client.idTokenSignedResponseAlg !== null && { id_token_signed_response_alg: client.idTokenSignedResponseAlg }),
    grant_types: ['authorization_code'],
    response_types: ['code'],
  };
}

/** Reads the grant out of its own id. */
function grantAdapter({ revocation }: AdapterDeps): Partial<Adapter> {
  return {
    async find(grantId) {
      const grant = parseGrantId(grantId);
      if (!grant) return undefined;
      const { userId: accountId, clientId, scope, expiresAt: exp } = grant;
      return { jti: grantId, accountId, clientId, openid: { scope }, exp };
    },
    destroy: (grantId) => revocation.revokeGrant(grantId),
  };
}

function interactionAdapter({ store }: AdapterDeps): Partial<Adapter> {
  const key = (uid: string) => `op:interaction:${uid}`;
  return {
    upsert: (uid, payload, ttlSeconds) => store.set(key(uid), JSON.stringify(payload), atLeastOne(ttlSeconds)),
    find: async (uid) => parse(await store.get(key(uid))),
    // The library destroys an interaction when it resumes: of two requests that resume the same one, only the first gets on.
    async destroy(uid) {
      if ((await store.take(key(uid))) === null) throw new errors.SessionNotFound('interaction session already resumed');
    },
  };
}

function sessionAdapter({ store, keepsSessions }: AdapterDeps): Partial<Adapter> {
  const key = (id: string) => `op:session:${id}`;
  const uidKey = (uid: string) => `op:session-uid:${uid}`;
  const find = async (id: string) => parse(await store.get(key(id)));
  return {
    async upsert(id, payload, ttlSeconds) {
      if (payload.accountId && !keepsSessions) return;
      const ttl = atLeastOne(ttlSeconds);
      await store.set(key(id), JSON.stringify(payload), ttl);
      // Looked up by uid only while somebody is signed in (an interaction remembers whom it started with).
      if (payload.accountId && payload.uid) await store.set(uidKey(payload.uid), id, ttl);
    },
    find,
    async findByUid(uid) {
      const id = await store.get(uidKey(uid));
      return id === null ? undefined : find(id);
    },
    destroy: (id) => store.delete(key(id)),
  };
}

function codeAdapter({ store, revocation }: AdapterDeps): Partial<Adapter> {
  const codes = secretValues(store, 'op:code');
  // The library looks a code up before it consumes it, in the same request.
  const grantIds = new WeakMap<object, string>();

  async function find(code: string): Promise<AdapterPayload | undefined> {
    const payload = await codes.find(code);
    if (Provider.ctx && payload?.grantId !== undefined) grantIds.set(Provider.ctx, payload.grantId);
    return payload;
  }

  return {
    upsert: codes.upsert,
    find,
    /** Of any number of simultaneous exchanges exactly one passes, and every other one revokes the grant (RFC 6749 4.1.2). */
    async consume(code) {
      const grantId = (Provider.ctx && grantIds.get(Provider.ctx)) ?? (await find(code))?.grantId;
      if (grantId === undefined) throw new errors.InvalidGrant('authorization code not found');
      if (await revocation.useGrant(grantId)) return;
      await revocation.revokeGrant(grantId);
      throw new errors.InvalidGrant('authorization code already consumed');
    },
    destroy: codes.destroy,
    revokeByGrantId: (grantId) => revocation.revokeGrant(grantId),
  };
}

function accessTokenAdapter({ store, revocation }: AdapterDeps): Partial<Adapter> {
  const tokens = secretValues(store, 'op:access-token');
  return {
    upsert: tokens.upsert,
    async find(token) {
      const payload = await tokens.find(token);
      return payload?.grantId !== undefined && (await revocation.isGrantInUse(payload.grantId)) ? payload : undefined;
    },
    destroy: tokens.destroy,
    revokeByGrantId: (grantId) => revocation.revokeGrant(grantId),
  };
}

/** Codes and access tokens lie under their hash and without themselves: who reads the store holds no usable one. */
function secretValues(store: ExpiringStore, prefix: string) {
  const key = (id: string) => `${prefix}:${digest(id)}`;
  return {
    upsert(id: string, { jti: _, ...payload }: AdapterPayload, ttlSeconds?: number) {
      return store.set(key(id), JSON.stringify(payload), atLeastOne(ttlSeconds));
    },
    async find(id: string): Promise<AdapterPayload | undefined> {
      const payload = parse(await store.get(key(id)));
      return payload && { ...payload, jti: id };
    },
    destroy: (id: string) => store.delete(key(id)),
  };
}

function digest(id: string): string {
  return hash('sha256', id, 'base64url');
}

function parse(value: string | null): AdapterPayload | undefined {
  return value === null ? undefined : JSON.parse(value);
}

/** The store takes whole seconds, at least 1; the library may ask for 0 in the last moment of a session. */
function atLeastOne(ttlSeconds: number | undefined): number {
  return Math.max(1, Math.floor(ttlSeconds ?? 1));
}

function unsupported(model: string): Adapter {
  const refuse = async (): Promise<never> => {
    throw new TypeError(`oidc-provider asks for an operation on ${model} that belongs to a feature which is off`);
  };
  return {
    upsert: refuse,
    find: refuse,
    findByUserCode: refuse,
    findByUid: refuse,
    consume: refuse,
    destroy: refuse,
    revokeByGrantId: refuse,
  };
}
