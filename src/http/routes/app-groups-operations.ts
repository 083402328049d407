import { z } from 'zod';
import { declareOperations, describes, idSchema, pageSchema } from '../api-schema.ts';
import {
  appGroupListQuery,
  appGroupPatchSchema,
  type appGroupView,
  applyQuery,
  catalogueSchema,
  groupRemovalQuery,
  type reevaluatedView,
} from './app-groups.ts';

const appGroupSchema = describes<ReturnType<typeof appGroupView>>()(
  z
    .strictObject({
      group_id: idSchema,
      name: z.string(),
      requires_role: z.string().nullable().describe('The lowest role that the permissions of the group require.'),
    })
    .meta({ id: 'AppGroup', description: 'A named group of the app in one workspace.' }),
);

const reevaluatedSchema = describes<ReturnType<typeof reevaluatedView>>()(
  z.strictObject({
    examined: z.int(),
    changed: z.int(),
    unknown: z.int().describe('Left as they are: their groups are not known.'),
  }),
);

export const appGroupOperations = declareOperations('App groups', [
  {
    method: 'get',
    path: '/workspaces/{workspace_id}/app-groups',
    summary: 'List the app groups of a workspace',
    query: appGroupListQuery,
    answers: { 200: pageSchema(appGroupSchema) },
    etag: true,
  },
  {
    method: 'put',
    path: '/workspaces/{workspace_id}/app-groups',
    summary: 'Create and change app groups',
    description: 'Groups that are not named stay. A group given with its id is renamed and keeps its members.',
    query: applyQuery,
    body: catalogueSchema,
    answers: {
      200: z.strictObject({
        data: z.array(appGroupSchema).describe('In the order of the request.'),
        created: z.int(),
        updated: z.int(),
      }),
    },
    errors: ['conflict'],
    etag: true,
  },
  {
    method: 'get',
    path: '/workspaces/{workspace_id}/app-groups/{group_id}',
    summary: 'Read an app group',
    answers: { 200: appGroupSchema },
    etag: true,
  },
  {
    method: 'patch',
    path: '/workspaces/{workspace_id}/app-groups/{group_id}',
    summary: 'Rename an app group, or change what it requires',
    query: applyQuery,
    body: appGroupPatchSchema,
    answers: { 200: appGroupSchema.extend({ reevaluated: reevaluatedSchema.nullable() }).meta({ id: 'ChangedAppGroup' }) },
    errors: ['conflict'],
    etag: true,
  },
  {
    method: 'delete',
    path: '/workspaces/{workspace_id}/app-groups/{group_id}',
    summary: 'Delete an app group',
    description: 'With members in two steps: the first answer is a 409 that tells who, with the token that `confirm` takes.',
    query: groupRemovalQuery,
    answers: { 204: null },
    errors: ['conflict'],
  },
]);
