import type { ChildProcess } from 'node:child_process';
import { Agent } from 'node:http';
import { createLog } from '../../src/infra/log.ts';
import { configFolder, openStores } from '../../src/main.ts';
import { loadSettings } from '../../src/settings/load.ts';
import { startOidcIdp } from '../support/oidc-idp.ts';
import { createTestKey } from '../support/saml-keys.ts';
import { createSamlSigner } from '../support/saml-response-builder.ts';
import { freePort } from '../support/servers.ts';
import { logInAs, samlIssuer, serverEnvironment, setUp, startServer } from './login-world.ts';
import { countRoundTrips } from './postgres-round-trips.ts';
import { figuresOf, type ProcessFigures } from './process-figures.ts';

export interface WorkspacesWorld {
  /** A complete login by SAML of one person at the workspace of this number; always the same groups. */
  logIn(workspace: number): Promise<void>;
  /** Every connection once, as caches see it. */
  touchAll(): Promise<void>;
  /** Round trips to Postgres since the last call. */
  roundTrips(): number;
  /** Look-ups of connections and catalogues so far, by the level that answered. */
  lookups(): Promise<Readonly<Record<string, number>>>;
  server(): ProcessFigures;
  /** A new process: nothing in its memory, everything in Redis and Postgres. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const groups = Array.from({ length: 10 }, (_, n) => `group-${n}`);

/** A Rollcall process over as many workspaces as are asked for, each with a connection and a catalogue of its own. */
export async function createWorkspacesWorld(options: {
  readonly databaseUrl: string;
  readonly redisUrl: string | null;
  readonly serverCore: string;
  readonly workspaces: number;
  readonly groupsPerCatalogue: number;
}): Promise<WorkspacesWorld> {
  const port = await freePort();
  const publicUrl = `http://localhost:${port}`;
  const counter = await countRoundTrips(options.databaseUrl);
  const env = serverEnvironment({ databaseUrl: counter.url, redisUrl: options.redisUrl, port, publicUrl });
  // LISTEN is not what a login waits for.
  env.ROLLCALL_POSTGRES_DIRECT_URL = options.databaseUrl;
  // On a machine that others use too Redis may be slow for a moment; logins that fall back to Postgres would be another figure.
  env.ROLLCALL_REDIS_COMMAND_TIMEOUT_MILLISECONDS = '10000';
  const oidcIdp = await startOidcIdp();
  const samlKey = await createTestKey();
  const saml = createSamlSigner({ ...samlKey, entityId: samlIssuer });
  const settings = loadSettings({ env: { ...env, DATABASE_URL: options.databaseUrl }, folder: configFolder });
  const { stores, close } = await openStores({ settings, log: createLog({ level: 'warn' }), now: () => new Date() });
  const first = await setUp(stores, { oidcIdp, samlCertificate: samlKey.certificate });
  const connectionIds = await multiply(stores.db, first.saml, options);
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  let server = await startServer(env, publicUrl, options.serverCore);
  let figures = figuresOf(server.pid as number);

  return {
    server: () => figures,
    roundTrips: counter.count,

    async logIn(workspace) {
      const connectionId = connectionIds[workspace % connectionIds.length] as string;
      const login = { protocol: 'saml', user: workspace, groups, publicUrl, connectionId, agent, saml, oidcIdp } as const;
      const { memberships } = await logInAs(login);
      if (memberships[0]?.groups.length !== groups.length) throw new Error(`unexpected: ${JSON.stringify(memberships)}`);
    },

    async touchAll() {
      for (const id of connectionIds) await (await fetch(`${publicUrl}/saml/${id}/metadata`)).text();
    },

    async lookups() {
      const text = await (await fetch(`${publicUrl}/metrics`)).text();
      const sums: Record<string, number> = {};
      for (const [, level, n] of text.matchAll(
        /^rollcall_cache_lookups_total\{cache="(?:connection|catalogue)",level="(\w+)"\} (\d+)$/gm,
      )) {
        sums[level as string] = (sums[level as string] ?? 0) + Number(n);
      }
      return sums;
    },

    async restart() {
      await end(server);
      server = await startServer(env, publicUrl, options.serverCore);
      figures = figuresOf(server.pid as number);
    },

    async stop() {
      agent.destroy();
      await end(server);
      await close();
      await counter.close();
      await oidcIdp.stop();
    },
  };
}

async function end(server: ChildProcess): Promise<void> {
  server.kill('SIGTERM');
  await new Promise((resolve) => server.once('exit', resolve));
}

type Db = Awaited<ReturnType<typeof openStores>>['stores']['db'];

/** Copies the first workspace with its connection and catalogue. @returns the ids of the connections */
async function multiply(
  db: Db,
  connectionId: string,
  { workspaces, groupsPerCatalogue }: { readonly workspaces: number; readonly groupsPerCatalogue: number },
): Promise<readonly string[]> {
  await db.raw(
    `INSERT INTO workspaces (workspace_id, slug, display_name)
     SELECT gen_random_uuid(), 'bench-' || n, 'Bench ' || n FROM generate_series(2, ?::int) AS n`,
    [workspaces],
  );
  await db.raw(
    `INSERT INTO connections (connection_id, workspace_id, display_name, protocol, group_sync)
     SELECT gen_random_uuid(), w.workspace_id, c.display_name, c.protocol, c.group_sync
     FROM connections c, workspaces w WHERE c.connection_id = ? AND w.workspace_id <> c.workspace_id`,
    [connectionId],
  );
  await db.raw(
    `INSERT INTO app_groups (workspace_id, group_id, name)
     SELECT w.workspace_id, gen_random_uuid(), 'group-' || n FROM workspaces w, generate_series(0, ?::int - 1) AS n ON CONFLICT DO NOTHING`,
    [groupsPerCatalogue],
  );
  await db.raw('UPDATE workspaces SET catalogue_version = catalogue_version + 1');
  await db.raw('ANALYZE');
  const { rows } = await db.raw<{ rows: { connection_id: string }[] }>(
    `SELECT connection_id FROM connections WHERE protocol->>'type' = 'saml' ORDER BY connection_id`,
  );
  return rows.map(({ connection_id }) => connection_id);
}
