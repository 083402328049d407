import { type Request, Router } from 'express';
import { z } from 'zod';
import { BrokerError } from '../../domain/broker-error.ts';
import { connectionDocument, connectionView } from '../../login/connection-document.ts';
import { connectionInputSchema } from '../../login/connection-input.ts';
import type { StoredConnection } from '../../login/connection-rows.ts';
import type { ConnectionStore } from '../../login/connection-store.ts';
import { checkVisible, holderOf } from '../admin-auth.ts';
import { checkIfMatch, hasPrecondition, sendTagged } from '../etag.ts';
import { mergePatch } from '../merge-patch.ts';
import { idPageQuery, invalidInput, jsonBody, pageOf, parseInput, parseQuery, pathId } from '../request-input.ts';

export interface ConnectionRouteDeps {
  readonly publicUrl: string;
  readonly connections: ConnectionStore;
  /** Called after a change, so that this process forgets what it cached. */
  readonly onConnectionChange: (connectionId: string) => void;
}

/** Connections, their sync lists and mappings. A workspace's key sees and makes its own ones only (R13). */
export function createConnectionRoutes({ publicUrl, connections, onConnectionChange }: ConnectionRouteDeps): Router {
  const router = Router();
  const view = (connection: StoredConnection) => connectionView(connection, publicUrl);

  router.post('/', async (req, res) => {
    const input = parseInput(connectionInputSchema, withHolderWorkspace(req, jsonBody(req)));
    checkLinking(req, input.linking, 'none');
    const created = await connections.create(input);
    // A login may have looked for it a moment ago, and remember that there was none.
    onConnectionChange(created.connectionId);
    res.status(201).location(`/v1/connections/${created.connectionId}`).json(view(created));
  });

  router.get('/', async (req, res) => {
    const { limit, after } = parseQuery(connectionListQuery, req);
    const rows = await connections.list({ workspaceId: holderOf(req).workspaceId, after, limit: limit + 1 });
    res.json(pageOf(rows, limit, { cursor: ({ connectionId }) => connectionId, view }));
  });

  router.get('/:connection_id', async (req, res) => {
    sendTagged(req, res, view(await visibleConnection(req)));
  });

  router.patch('/:connection_id', async (req, res) => {
    const { connectionId } = await visibleConnection(req);
    const updated = await connections.update(connectionId, (stored) => {
      checkIfMatch(req, view(stored));
      const input = parseInput(connectionInputSchema, withHolderWorkspace(req, patched(stored, jsonBody(req))));
      checkLinking(req, input.linking, stored.linking);
      return input;
    });
    onConnectionChange(connectionId);
    sendTagged(req, res, view(updated));
  });

  // Users, memberships and events refer to a connection: it is switched off, and its settings are kept.
  router.delete('/:connection_id', async (req, res) => {
    const { connectionId } = await visibleConnection(req);
    const disabled = await disable(req, connectionId);
    onConnectionChange(connectionId);
    sendTagged(req, res, disabled && view(disabled));
  });

  return router;

  async function disable(req: Request, connectionId: string): Promise<StoredConnection | null> {
    if (!hasPrecondition(req)) return connections.setEnabled(connectionId, false);
    return connections.update(connectionId, (stored) => {
      checkIfMatch(req, view(stored));
      return parseInput(connectionInputSchema, { ...connectionDocument(stored), enabled: false });
    });
  }

  async function visibleConnection(req: Request): Promise<StoredConnection> {
    const connection = await connections.get(pathId(req, 'connection_id'));
    if (!connection) throw new BrokerError('not_found', 'there is no such connection');
    checkVisible(req, connection.workspaceId);
    return connection;
  }
}

export const connectionListQuery = z.strictObject(idPageQuery);

/** A workspace's key writes within its workspace: it may leave it out or name it by id, and everything else does not exist for it. */
function withHolderWorkspace(req: Request, body: unknown): unknown {
  const { workspaceId } = holderOf(req);
  if (workspaceId === null || typeof body !== 'object' || body === null || Array.isArray(body)) return body;
  const named = 'workspace' in body ? body.workspace : workspaceId;
  if (named === null) {
    throw new BrokerError('forbidden', 'instance-level connections need a key of instance scope', {
      reason: 'instance_scope_required',
    });
  }
  if (named !== workspaceId)
    throw invalidInput([{ path: 'workspace', message: 'there is no such workspace; give the id of your own' }]);
  return { ...body, workspace: workspaceId };
}

/** R33: people are linked across connections only where the operator allows it. */
function checkLinking(req: Request, wanted: StoredConnection['linking'], stored: StoredConnection['linking']): void {
  if (wanted === stored || wanted === 'none' || holderOf(req).workspaceId === null) return;
  throw new BrokerError('forbidden', 'linking by e-mail needs a key of instance scope', { reason: 'instance_scope_required' });
}

/** The document after a merge patch. Metadata comes as text or by address: a new one displaces the other. */
function patched(stored: StoredConnection, patch: unknown): unknown {
  const document = connectionDocument(stored);
  const protocol = fieldOf(patch, 'protocol');
  const replaces = (field: string) => typeof fieldOf(protocol, field) === 'string';
  const displaced = replaces('metadata_xml') ? 'metadata_url' : replaces('metadata_url') ? 'metadata_xml' : null;
  const kept = Object.entries(document.protocol).filter(([field]) => field !== displaced);
  const merged = mergePatch({ ...document, protocol: Object.fromEntries(kept) }, patch);
  // Null is a value of the secret ("public client"), which a merge patch cannot carry.
  if (fieldOf(protocol, 'client_secret') !== null) return merged;
  return { ...(merged as object), protocol: { ...(fieldOf(merged, 'protocol') as object), client_secret: null } };
}

function fieldOf(value: unknown, field: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, field)
    ? (value as Record<string, unknown>)[field]
    : undefined;
}
