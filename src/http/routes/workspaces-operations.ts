import { z } from 'zod';
import { declareOperations, describes, idSchema, momentSchema, pageSchema } from '../api-schema.ts';
import { removalQuery } from './sync-list.ts';
import { workspaceInputSchema, workspaceListQuery, workspacePatchSchema, type workspaceView } from './workspaces.ts';

const workspaceSchema = describes<ReturnType<typeof workspaceView>>()(
  z
    .strictObject({
      workspace_id: idSchema,
      slug: z.string(),
      display_name: z.string(),
      status: z.enum(['active', 'archived']),
      catalogue_version: z.int().describe('Grows with each change of the app groups.'),
      created_at: momentSchema,
      updated_at: momentSchema,
    })
    .meta({ id: 'Workspace', description: 'A tenant of the app.' }),
);

export const workspaceOperations = declareOperations('Workspaces', [
  {
    method: 'get',
    path: '/workspaces',
    summary: 'List workspaces',
    description: 'A key of one workspace sees its own only.',
    query: workspaceListQuery,
    answers: { 200: pageSchema(workspaceSchema) },
  },
  {
    method: 'post',
    path: '/workspaces',
    summary: 'Create a workspace',
    scope: 'instance',
    body: workspaceInputSchema,
    answers: { 201: workspaceSchema },
  },
  {
    method: 'get',
    path: '/workspaces/{workspace_id}',
    summary: 'Read a workspace',
    answers: { 200: workspaceSchema },
    etag: true,
  },
  {
    method: 'patch',
    path: '/workspaces/{workspace_id}',
    summary: 'Rename a workspace',
    body: workspacePatchSchema,
    answers: { 200: workspaceSchema },
    etag: true,
  },
  {
    method: 'delete',
    path: '/workspaces/{workspace_id}',
    summary: 'Archive a workspace',
    description:
      'In two steps: the first answer is a 409 that tells what would go, with the token that `confirm` takes. Its memberships end with events.',
    scope: 'instance',
    query: removalQuery,
    answers: { 204: null },
    errors: ['conflict'],
  },
]);
