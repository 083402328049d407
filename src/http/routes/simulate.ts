import { type Request, Router } from 'express';
import { z } from 'zod';
import { BrokerError } from '../../domain/broker-error.ts';
import { groupsForApp } from '../../domain/webhook-event.ts';
import { isUniqueId } from '../../infra/unique-id.ts';
import type { StoredConnection } from '../../login/connection-rows.ts';
import type { Simulate, Simulation } from '../../membership/simulate.ts';
import { holderOf } from '../admin-auth.ts';
import { parseBody } from '../request-input.ts';
import { reasonView, warningView } from './members.ts';

export interface SimulationRouteDeps {
  readonly simulate: Simulate;
  readonly getConnection: (connectionId: string) => Promise<StoredConnection | null>;
}

/** R38: what would these groups, or this user's last ones, give? A workspace's key sees its own workspace only (R13). */
export function createSimulationRoutes({ simulate, getConnection }: SimulationRouteDeps): Router {
  const router = Router();

  router.post('/', async (req, res) => {
    const input = parseBody(simulationInputSchema, req);
    const connection = await getConnection(input.connection_id);
    if (!connection) throw new BrokerError('not_found', 'there is no such connection');
    const workspaceIds = workspacesOf(req, connection, input.workspace_id);
    const given = input.user_id === undefined ? { groups: input.groups ?? null } : { userId: input.user_id };
    const simulations = await simulate({ connectionId: connection.connectionId, workspaceIds, given });
    res.json({ data: simulations.map(simulationView) });
  });

  return router;
}

/** The workspaces of the connection that the key may see, or the one asked for. */
function workspacesOf(req: Request, connection: StoredConnection, wanted: string | undefined): readonly string[] {
  const own = holderOf(req).workspaceId;
  const served =
    connection.workspaceId === null ? connection.syncList.map((entry) => entry.workspaceId) : [connection.workspaceId];
  const visible = own === null ? served : served.filter((workspaceId) => workspaceId === own);
  const chosen = wanted === undefined ? visible : visible.filter((workspaceId) => workspaceId === wanted);
  if (chosen.length === 0) throw new BrokerError('not_found', 'the connection serves no such workspace');
  return chosen;
}

const id = z.string().refine(isUniqueId, 'give an id in lower-case UUID form');

export const simulationInputSchema = z
  .strictObject({
    connection_id: id,
    /** All workspaces of the connection unless given. */
    workspace_id: id.optional(),
    /** As the identity provider would send them; null: an answer without the claim. */
    groups: z.array(z.string().max(1_024)).max(10_000).nullable().optional(),
    /** Instead of groups: by those last seen. */
    user_id: id.optional(),
  })
  .refine((input) => (input.groups === undefined) !== (input.user_id === undefined), {
    path: ['groups'],
    message: 'give either groups or user_id',
  });

export function simulationView(simulation: Simulation) {
  const { current } = simulation;
  return {
    workspace: { id: simulation.workspaceId, slug: simulation.workspaceSlug },
    decision: simulation.decision,
    because: simulation.because,
    claim: simulation.claim,
    idp_groups: simulation.idpGroups,
    role: simulation.role,
    groups: groupsForApp(simulation.groups),
    reasons: simulation.reasons.map(reasonView),
    warnings: simulation.warnings.map(warningView),
    current: current && { role: current.role, groups: groupsForApp(current.groups) },
  };
}
