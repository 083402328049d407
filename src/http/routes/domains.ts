import { type Request, Router } from 'express';
import { z } from 'zod';
import { BrokerError } from '../../domain/broker-error.ts';
import { normalDomain } from '../../domain/email-domain.ts';
import type { ConnectionStore } from '../../login/connection-store.ts';
import type { ConnectionDomain, DomainStore } from '../../login/domains.ts';
import { checkVisible, holderOf } from '../admin-auth.ts';
import { pageOf, pageQuery, parseBody, parseQuery, pathId } from '../request-input.ts';

export interface DomainRouteDeps {
  readonly domains: DomainStore;
  readonly connections: Pick<ConnectionStore, 'get'>;
  /** Called after a change, so that this process forgets what it cached. */
  readonly onConnectionChange: (connectionId: string) => void;
}

/**
 * Allowed e-mail domains of one connection (R33), mounted below it. A workspace's key proves a domain by DNS; to allow one without
 * proof, and to take back what was allowed so, needs instance scope.
 */
export function createDomainRoutes({ domains, connections, onConnectionChange }: DomainRouteDeps): Router {
  const router = Router({ mergeParams: true });

  router.get('/', async (req, res) => {
    const connectionId = await visibleConnection(req);
    const { limit, after } = parseQuery(domainListQuery, req);
    const rows = await domains.list(connectionId, { after: after ?? null, limit: limit + 1 });
    res.json(pageOf(rows, limit, { cursor: ({ domain }) => domain, view: domainView }));
  });

  router.post('/', async (req, res) => {
    const connectionId = await visibleConnection(req);
    const { domain, status } = parseBody(domainInput, req);
    const ofWorkspace = holderOf(req).workspaceId !== null;
    if (ofWorkspace && status !== undefined && status !== 'pending') throw instanceScopeRequired();
    const added = await domains.put(connectionId, domain, status ?? (ofWorkspace ? 'pending' : 'allowed'));
    onConnectionChange(connectionId);
    res.status(201).json(domainView(added));
  });

  router.get('/:domain', async (req, res) => {
    res.json(domainView(await domains.get(await visibleConnection(req), String(req.params.domain))));
  });

  router.post('/:domain/verify', async (req, res) => {
    const connectionId = await visibleConnection(req);
    const verified = await domains.verify(connectionId, String(req.params.domain));
    onConnectionChange(connectionId);
    res.json(domainView(verified));
  });

  router.delete('/:domain', async (req, res) => {
    const connectionId = await visibleConnection(req);
    const { status, verifiedBy, domain } = await domains.get(connectionId, String(req.params.domain));
    const byAdmin = status === 'allowed' || verifiedBy === 'admin';
    if (byAdmin && holderOf(req).workspaceId !== null) throw instanceScopeRequired();
    await domains.remove(connectionId, domain);
    onConnectionChange(connectionId);
    res.status(204).end();
  });

  return router;

  async function visibleConnection(req: Request): Promise<string> {
    const connection = await connections.get(pathId(req, 'connection_id'));
    if (!connection) throw new BrokerError('not_found', 'there is no such connection');
    checkVisible(req, connection.workspaceId);
    return connection.connectionId;
  }
}

export const domainListQuery = z.strictObject(pageQuery);
export const domainInput = z.strictObject({
  domain: z
    .string()
    .max(253)
    .transform((text, context) => {
      const domain = normalDomain(text);
      if (domain !== null) return domain;
      context.addIssue({ code: 'custom', message: 'give a domain name, such as example.com' });
      return z.NEVER;
    }),
  status: z.enum(['pending', 'allowed', 'verified']).optional(),
});

function instanceScopeRequired(): BrokerError {
  return new BrokerError('forbidden', 'to allow a domain without a DNS record needs a key of instance scope', {
    reason: 'instance_scope_required',
  });
}

export function domainView({ domain, status, verifiedBy, verifiedAt, record, createdAt }: ConnectionDomain) {
  return {
    domain,
    status,
    verified_by: verifiedBy,
    verified_at: verifiedAt?.toISOString() ?? null,
    txt_record: { name: domain, value: record },
    created_at: createdAt.toISOString(),
  };
}
