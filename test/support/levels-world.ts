import { expect } from 'vitest';
import {
  type ApiAnswer,
  type BrokerApi,
  createBrokerApi,
  type EventBody,
  type ProblemBody,
  type TestWorkspace,
} from './broker-api.ts';
import type { AppTokens } from './broker-app.ts';
import { type ConnectionOptions, connectSaml } from './broker-connections.ts';
import { logInBySaml, type SamlConnection } from './broker-login.ts';
import { createSamlIdp, type SamlIdp } from './broker-saml-idp.ts';
import { type BrokerWorld, bootstrapApiKey, startBrokerWorld } from './broker-world.ts';

/** The warning that comes before a removal. */
export interface WarningBody extends ProblemBody {
  readonly confirmation: {
    readonly token: string;
    readonly impact: {
      readonly members: number;
      readonly by_role?: Readonly<Record<string, number>>;
      readonly first_members: readonly { readonly user_id: string }[];
      readonly [field: string]: unknown;
    };
  };
}

export interface SyncListBody {
  readonly workspace_id: string;
  readonly is_default: boolean;
  readonly enabled: boolean;
  readonly claim_name: {
    readonly value: string;
    readonly source: string;
    readonly instance_value: string;
    readonly drift: boolean;
  };
  readonly mapping: {
    readonly value: { readonly text: string };
    readonly source: string;
    readonly instance_value: { readonly text: string };
    readonly drift: boolean;
  };
}

export type LevelsWorld = Awaited<ReturnType<typeof startLevelsWorld>>;

let count = 0;

/** A whole broker with one IdP, and what tests of workspaces, sync lists and members do again and again. */
export async function startLevelsWorld() {
  const world = await startBrokerWorld();
  const idp = await createSamlIdp({ entityId: 'https://idp.example.com', origin: 'http://127.0.0.1:1' });

  async function events(workspace?: TestWorkspace): Promise<readonly EventBody[]> {
    const rows = await world.stores
      .db('events')
      .where(workspace ? { workspace_id: workspace.id } : {})
      .orderBy('position')
      .select('event_id as id', 'payload');
    return rows.map(({ id, payload }) => ({ id, ...payload }));
  }

  return {
    world,
    idp,
    stop: () => world.stop(),
    /** Headers of an instance key, for requests with others beside it. */
    authorization: { authorization: `Bearer ${bootstrapApiKey}`, 'content-type': 'application/json' },

    /** A workspace with a slug of its own. */
    workspace(groups: Readonly<Record<string, string | null>> = {}): Promise<TestWorkspace> {
      count += 1;
      return world.api.workspace(`workspace-${count}`, groups);
    },

    connect: (options: ConnectionOptions = {}): Promise<SamlConnection> => connectSaml(world, idp, options),

    /** An instance-level connection over these workspaces; the first one is the default. */
    instanceConnection(workspaces: readonly TestWorkspace[], options: ConnectionOptions = {}): Promise<SamlConnection> {
      const sync_list = workspaces.map(({ id }, index) => ({ workspace: id, is_default: index === 0 }));
      return connectSaml(world, idp, { ...options, fields: { sync_list, ...options.fields } });
    },

    /** A login with these groups; null: the attribute is not there. */
    logIn(connection: SamlConnection, nameId: string, groups: readonly string[] | null): Promise<AppTokens> {
      const person = { nameId, email: `${nameId}@example.com`, name: nameId, ...(groups && { groups }) };
      return logInBySaml(world, connection, person);
    },

    /** The API with a key of that workspace only (R13). */
    async apiOf({ id }: TestWorkspace): Promise<BrokerApi> {
      const { key } = await world.stores.apiKeys.create({ name: 'test', workspaceId: id, readOnly: false, expiresAt: null });
      return createBrokerApi({ publicUrl: world.publicUrl, send: world.send, apiKey: key });
    },

    /** The first of the two requests of a removal: it must be refused with a warning. */
    async warning(path: string): Promise<WarningBody> {
      const answer = await world.api.call<WarningBody>('DELETE', path);
      expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: 409, body: { reason: 'confirmation_required' } });
      return answer.body;
    },

    /** Both requests of a removal. */
    async confirmed(path: string): Promise<WarningBody> {
      const warning = await this.warning(path);
      const second = `${path}${path.includes('?') ? '&' : '?'}confirm=${warning.confirmation.token}`;
      const { status, body } = await world.api.call('DELETE', second);
      expect(status, JSON.stringify(body)).toBe(204);
      return warning;
    },

    /** The event log as it is stored: the API holds back what is younger than any transaction still open. */
    events,

    /** What happened to one user (in one workspace), as `type version`. */
    async eventsOf(userId: string, workspace?: TestWorkspace): Promise<readonly string[]> {
      const found = (await events(workspace)).filter(({ data }) => data.user?.id === userId);
      return found.map(({ type, data }) => `${type} ${data.version ?? ''}`.trim());
    },
  };
}

/** What tokens say about each workspace, by slug. */
export function rolesIn({ memberships }: AppTokens): Readonly<Record<string, string>> {
  return Object.fromEntries(memberships.map(({ workspace, role }) => [workspace, role]));
}

export function refusal({ status, body }: ApiAnswer<ProblemBody>): readonly unknown[] {
  return [status, body.reason ?? null, ...(body.errors ?? []).map(({ path }) => path)];
}

export type { BrokerWorld, SamlConnection, SamlIdp };
