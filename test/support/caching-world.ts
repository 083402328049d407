import type { TestWorkspace } from './broker-api.ts';
import { connectSaml } from './broker-connections.ts';
import { errorPageIn } from './broker-evidence.ts';
import { beginLogin, logInBySaml, type SamlConnection } from './broker-login.ts';
import { createSamlIdp, type SamlIdp } from './broker-saml-idp.ts';
import { type BrokerWorld, type Replica, startBrokerWorld } from './broker-world.ts';
import { createTestDatabase } from './database.ts';
import { redisUrl, testKeyPrefix } from './redis.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

/** How the second replica hears of what the first one changed. */
export interface Ways {
  /** Both have Redis; without, each keeps the logins under way in its own process. */
  readonly redis: boolean;
  /** NOTIFY reaches the second replica. */
  readonly notify: boolean;
  /** What the first one publishes reaches Redis. */
  readonly publish: boolean;
  readonly maxStaleSeconds: number;
}

export type CachingWorld = Awaited<ReturnType<typeof startCachingWorld>>;

let count = 0;

/** Two replicas on one Postgres, and on one Redis where the test wants it, with a network between that can fail. */
export async function startCachingWorld(ways: Ways) {
  const database = await createTestDatabase({ poolSize: 1 });
  const notifyProxy = await proxyTo(database.url);
  const redisProxy = ways.redis ? await proxyTo(redisUrl ?? '') : null;
  const keyPrefix = testKeyPrefix();
  const world = await startBrokerWorld({
    databaseUrl: database.url,
    ...(redisProxy && { redis: { url: atProxy(redisUrl ?? '', redisProxy), keyPrefix } }),
  });
  const one = world.first;
  const two = await world.addReplica({
    cache: { maxStaleSeconds: ways.maxStaleSeconds },
    postgres: { directUrl: atProxy(database.url, notifyProxy) },
    ...(ways.redis && { redis: { url: redisUrl ?? '', keyPrefix } }),
  });
  if (!ways.notify) await notifyProxy.cut();
  if (redisProxy && !ways.publish) await redisProxy.cut();
  const idp = await createSamlIdp({ entityId: 'https://idp.example.com', origin: 'http://127.0.0.1:1' });

  return {
    world,
    one,
    two,
    idp,
    keyPrefix,
    /** At the first replica. */
    api: world.api,
    workspace: (groups: Readonly<Record<string, string | null>> = {}): Promise<TestWorkspace> => {
      count += 1;
      return world.api.workspace(`caching-${count}`, groups);
    },
    connect: (workspace: TestWorkspace): Promise<SamlConnection> => connectSaml(world, idp, { workspace: workspace.id }),
    instanceConnection: (workspaces: readonly TestWorkspace[]): Promise<SamlConnection> =>
      connectSaml(world, idp, {
        fields: { sync_list: workspaces.map(({ id }, index) => ({ workspace: id, is_default: index === 0 })) },
      }),

    /** What a login at the replica gives: `slug: role groups`. */
    async logInAt(replica: Replica, connection: SamlConnection, groups: readonly string[]): Promise<readonly string[]> {
      return at(world, replica, one, async () => {
        const { memberships } = await logInBySaml(world, connection, { nameId: 'ada', email: 'ada@customer.example', groups });
        return memberships.map(({ workspace, role, groups: given }) => `${workspace}: ${[role, ...given].join(' ')}`).sort();
      });
    },

    /** The title of the page that a login meets at the replica before it leaves for the IdP; null: it leaves. */
    async startAt(replica: Replica, parameters: Readonly<Record<string, string>>): Promise<string | null> {
      return at(world, replica, one, async () => {
        const { visit } = await beginLogin(world, { parameters });
        return visit.leadsTo === null ? errorPageIn(visit).title : null;
      });
    },

    /** Look-ups of a cache by the level that answered, so far. */
    async lookups(replica: Replica, cache: string): Promise<Readonly<Record<string, number>>> {
      const text = await (await fetch(`${replica.origin}/metrics`)).text();
      const lines = text.matchAll(/^rollcall_cache_lookups_total\{cache="(\w+)",level="(\w+)"\} (\d+)$/gm);
      return Object.fromEntries([...lines].flatMap(([, name, level, n]) => (name === cache ? [[level, Number(n)]] : [])));
    },

    restoreNotify: () => notifyProxy.restore(),

    async stop(): Promise<void> {
      await world.stop();
      await Promise.all([notifyProxy.close(), redisProxy?.close()]);
      await database.drop();
    },
  };
}

async function at<T>(world: BrokerWorld, replica: Replica, after: Replica, act: () => Promise<T>): Promise<T> {
  world.routeTo(replica);
  try {
    return await act();
  } finally {
    world.routeTo(after);
  }
}

function proxyTo(url: string): Promise<TcpProxy> {
  const { hostname: host, port } = new URL(url);
  return startTcpProxy({ host, port: Number(port) });
}

function atProxy(url: string, { port }: TcpProxy): string {
  const address = new URL(url);
  address.host = `127.0.0.1:${port}`;
  return address.href;
}

const ofLogins = /\b(connections|connection_\w+|workspaces|app_groups|identities|users|memberships|used_answers|login_traces)\b/;

/** The statements that a replica sends while `act` runs, without those that it sends by the clock. */
export async function statementsOf<Result>(
  replica: Replica,
  act: () => Promise<Result>,
): Promise<{ readonly statements: readonly string[]; readonly result: Result }> {
  const seen: string[] = [];
  const note = ({ sql }: { sql: string }) => {
    if (ofLogins.test(sql) && !sql.includes('pg_snapshot_xmin')) seen.push(sql.replace(/\s+/g, ' ').trim());
  };
  replica.stores.db.on('query', note);
  try {
    const result = await act();
    return { statements: seen, result };
  } finally {
    replica.stores.db.off('query', note);
  }
}

export type { SamlConnection, SamlIdp };
