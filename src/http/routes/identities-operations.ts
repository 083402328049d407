import { z } from 'zod';
import { declareOperations, describes, idSchema, momentSchema } from '../api-schema.ts';
import { identityName, type identityView, linkInput, rebindInput } from './identities.ts';

const identitySchema = describes<ReturnType<typeof identityView>>()(
  z
    .strictObject({
      connection_id: idSchema,
      connection: z.string().describe('Its display name.'),
      subject: z.string().describe('What the IdP calls the person: SAML NameID, or `sub`.'),
      issuer: z.string().describe('SAML entityID, or OpenID Connect issuer.'),
      last_login_at: momentSchema.nullable(),
      created_at: momentSchema,
    })
    .meta({ id: 'Identity', description: 'A way in which a person signs in.' }),
);

export const identityOperations = declareOperations('Users', [
  {
    method: 'get',
    path: '/users/{user_id}/identities',
    summary: 'List how a person signs in',
    scope: 'instance',
    answers: { 200: z.strictObject({ data: z.array(identitySchema), next_cursor: z.null() }) },
  },
  {
    method: 'post',
    path: '/users/{user_id}/identities',
    summary: "Link a connection's subject to a person",
    scope: 'instance',
    body: linkInput,
    answers: { 201: identitySchema },
    errors: ['conflict'],
  },
  {
    method: 'post',
    path: '/users/{user_id}/identities/rebind',
    summary: 'Follow a subject that changed at the IdP',
    scope: 'instance',
    body: rebindInput,
    answers: { 200: identitySchema },
    errors: ['conflict'],
  },
  {
    method: 'delete',
    path: '/users/{user_id}/identities',
    summary: 'Unlink a subject from a person',
    scope: 'instance',
    query: identityName,
    answers: { 204: null },
  },
]);
