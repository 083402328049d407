import { z } from 'zod';
import { declareOperations, describes, idSchema, momentSchema, pageSchema } from '../api-schema.ts';
import { type userDetailView, userListQuery, type userView } from './users.ts';

const text = z.string().nullable();

const userFields = {
  user_id: idSchema,
  email: text,
  email_verified: z.boolean(),
  name: text,
  given_name: text,
  family_name: text,
  status: z.enum(['active', 'archived']),
  created_at: momentSchema,
  updated_at: momentSchema,
};
const userSchema = describes<ReturnType<typeof userView>>()(z.strictObject(userFields).meta({ id: 'User' }));

const userDetailSchema = describes<ReturnType<typeof userDetailView>>()(
  z
    .strictObject({
      ...userFields,
      identities: z.array(
        z.strictObject({
          connection_id: idSchema,
          subject: z.string(),
          issuer: z.string(),
          last_login_at: momentSchema.nullable(),
        }),
      ),
      memberships: z.array(
        z.strictObject({
          workspace: z.strictObject({ id: idSchema, slug: z.string() }),
          role: z.string(),
          groups: z.array(z.strictObject({ id: idSchema, name: z.string() })),
          status: z.enum(['active', 'removed']),
          version: z.int(),
        }),
      ),
    })
    .meta({ id: 'UserDetail', description: 'A person, with every identity and membership.' }),
);

export const userOperations = declareOperations('Users', [
  {
    method: 'get',
    path: '/users',
    summary: 'List and search users',
    scope: 'instance',
    query: userListQuery,
    answers: { 200: pageSchema(userSchema) },
  },
  {
    method: 'get',
    path: '/users/{user_id}',
    summary: 'Read a user',
    scope: 'instance',
    answers: { 200: userDetailSchema },
    etag: true,
  },
  {
    method: 'post',
    path: '/users/{user_id}/archive',
    summary: 'Archive a user',
    description: 'Archived users cannot log in. May be repeated.',
    scope: 'instance',
    answers: { 200: userDetailSchema },
  },
  {
    method: 'post',
    path: '/users/{user_id}/restore',
    summary: 'Restore an archived user',
    description: 'May be repeated.',
    scope: 'instance',
    answers: { 200: userDetailSchema },
  },
  {
    method: 'delete',
    path: '/users/{user_id}',
    summary: 'Erase a user',
    description: 'Removes the personal data; the ids in events stay.',
    scope: 'instance',
    answers: { 204: null },
  },
]);
