import { Router } from 'express';
import { z } from 'zod';
import { checkVisible, holderOf } from '../admin-auth.ts';
import { idInputSchema, idSchema, momentSchema } from '../api-schema.ts';
import type { AuditEntry, AuditStore } from '../audit-store.ts';
import { idPageQuery, pageOf, parseQuery } from '../request-input.ts';

/** Who changed what, newest first. A workspace's key reads its workspace's entries only (R13). */
export function createAuditLogRoutes({ audit }: { readonly audit: Pick<AuditStore, 'list'> }): Router {
  const router = Router();

  router.get('/', async (req, res) => {
    const query = parseQuery(auditQuery, req);
    if (query.workspace !== undefined) checkVisible(req, query.workspace);
    const rows = await audit.list({
      workspaceId: query.workspace ?? holderOf(req).workspaceId,
      resource: query.resource,
      resourceId: query.resource_id,
      actorId: query.actor,
      outcome: query.outcome,
      requestId: query.request_id,
      since: query.since,
      until: query.until,
      after: query.after,
      limit: query.limit + 1,
    });
    res.json(pageOf(rows, query.limit, { cursor: ({ entryId }) => entryId, view: auditEntryView }));
  });

  return router;
}

const momentInput = z.iso
  .datetime({ offset: true, error: 'give a moment, such as 2030-01-31T12:00:00Z' })
  .transform((text) => new Date(text));
const word = z.string().min(1).max(200);

export const auditQuery = z.strictObject({
  ...idPageQuery,
  workspace: idInputSchema.optional(),
  resource: word.optional().describe('Plural noun of the API, such as `connections`.'),
  resource_id: word.optional(),
  actor: word.optional().describe('Id of an API key, or name of a user at the command line.'),
  outcome: z.enum(['started', 'done', 'refused', 'failed']).optional(),
  request_id: word.optional(),
  since: momentInput.optional(),
  until: momentInput.optional(),
});

export function auditEntryView(entry: AuditEntry) {
  return {
    entry_id: entry.entryId,
    at: entry.at.toISOString(),
    actor: entry.actor,
    action: entry.action,
    resource: entry.resource,
    resource_id: entry.resourceId,
    workspace_id: entry.workspaceId,
    outcome: entry.outcome,
    status: entry.status,
    code: entry.code,
    before: entry.before,
    after: entry.after,
    request_id: entry.requestId,
  };
}

export const auditEntrySchema = z
  .strictObject({
    entry_id: idSchema,
    at: momentSchema,
    actor: z.strictObject({ kind: z.enum(['api_key', 'command_line']), id: z.string().nullable() }),
    action: z.string(),
    resource: z.string(),
    resource_id: z.string().nullable(),
    workspace_id: idSchema.nullable().describe('Null: the instance.'),
    outcome: z
      .enum(['started', 'done', 'refused', 'failed'])
      .describe('`started` long ago: the process died during the change, which may or may not have been made.'),
    status: z.int().nullable(),
    code: z.string().nullable(),
    before: z.unknown().describe('Without secrets and personal data.'),
    after: z.unknown(),
    request_id: z.string().nullable(),
  })
  .meta({ id: 'AuditEntry' });
