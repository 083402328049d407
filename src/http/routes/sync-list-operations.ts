import { z } from 'zod';
import { declareOperations, describes, idSchema, momentSchema, pageSchema } from '../api-schema.ts';
import {
  listQuery,
  removalQuery,
  resetSchema,
  syncListInputSchema,
  syncListPatchSchema,
  type syncListView,
} from './sync-list.ts';

function field<Value extends z.ZodType>(value: Value) {
  return z.strictObject({
    value,
    source: z.enum(['inherited', 'overridden']),
    instance_value: value,
    drift: z.boolean().describe('Overridden, and no longer what the instance says.'),
  });
}

const mapping = z.strictObject({
  rules: z.array(z.strictObject({ from: z.string(), match: z.enum(['exact', 'glob', 'regex']), to: z.string() })),
  one_to_one: z.boolean(),
  text: z.string(),
});

const listedWorkspaceSchema = describes<ReturnType<typeof syncListView>>()(
  z
    .strictObject({
      workspace_id: idSchema,
      workspace_slug: z.string(),
      is_default: z.boolean(),
      enabled: z.boolean(),
      claim_name: field(z.string()),
      mapping: field(mapping),
      created_at: momentSchema,
      updated_at: momentSchema,
    })
    .meta({ id: 'ListedWorkspace', description: 'A workspace that an instance-level connection serves.' }),
);

const path = '/connections/{connection_id}/workspaces';

export const syncListOperations = declareOperations('Sync lists', [
  {
    method: 'get',
    path,
    summary: 'List the workspaces that a connection serves',
    query: listQuery,
    answers: { 200: pageSchema(listedWorkspaceSchema) },
  },
  { method: 'post', path, summary: 'Add a workspace', body: syncListInputSchema, answers: { 201: listedWorkspaceSchema } },
  {
    method: 'get',
    path: `${path}/{workspace_id}`,
    summary: 'Read a listed workspace',
    answers: { 200: listedWorkspaceSchema },
    etag: true,
  },
  {
    method: 'patch',
    path: `${path}/{workspace_id}`,
    summary: 'Override, enable, disable, or make the default',
    body: syncListPatchSchema,
    answers: { 200: listedWorkspaceSchema },
    errors: ['conflict'],
    etag: true,
  },
  {
    method: 'post',
    path: `${path}/{workspace_id}/reset`,
    summary: 'Go back to inherited values',
    body: resetSchema,
    answers: { 200: listedWorkspaceSchema },
    etag: true,
  },
  {
    method: 'delete',
    path: `${path}/{workspace_id}`,
    summary: 'Remove a workspace from the list',
    description: 'In two steps: the first answer is a 409 that tells who would lose what, with the token that `confirm` takes.',
    query: removalQuery,
    answers: { 204: null },
    errors: ['conflict'],
    etag: true,
  },
]);
