import { z } from 'zod';
import { clientIdPattern } from '../../provider/client-metadata.ts';
import { tokenSigningAlgorithms } from '../../provider/signing-keys.ts';
import { declareOperations, describes } from '../api-schema.ts';
import { clientInputSchema, type clientView } from './clients.ts';

const clientSchema = describes<ReturnType<typeof clientView>>()(
  z
    .strictObject({
      client_id: z.string(),
      name: z.string(),
      redirect_uris: z.array(z.string()),
      post_logout_redirect_uris: z.array(z.string()),
      token_endpoint_auth_method: z.enum(['client_secret_basic', 'client_secret_post', 'none']),
      id_token_signed_response_alg: z.enum(tokenSigningAlgorithms).nullable(),
    })
    .meta({ id: 'Client', description: 'A client of the OpenID Provider: the app.' }),
);

const params = { client_id: z.string().regex(clientIdPattern) };

export const clientOperations = declareOperations('OpenID Connect clients', [
  {
    method: 'get',
    path: '/clients',
    summary: 'List clients',
    scope: 'instance',
    answers: { 200: z.strictObject({ data: z.array(clientSchema), next_cursor: z.null() }) },
  },
  {
    method: 'get',
    path: '/clients/{client_id}',
    summary: 'Read a client',
    scope: 'instance',
    params,
    answers: { 200: clientSchema },
    etag: true,
  },
  {
    method: 'put',
    path: '/clients/{client_id}',
    summary: 'Create or replace a client',
    description: 'A secret that is left out stays. `client_id` may be left out of the body.',
    scope: 'instance',
    params,
    body: clientInputSchema,
    answers: { 200: clientSchema, 201: clientSchema },
    etag: true,
  },
]);
