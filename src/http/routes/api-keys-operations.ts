import { z } from 'zod';
import { declareOperations, describes, pageSchema } from '../api-schema.ts';
import { apiKeyInputSchema, apiKeyListQuery, apiKeySchema, type apiKeyView, rotationInputSchema } from './api-keys.ts';

describes<ReturnType<typeof apiKeyView>>()(apiKeySchema);
const withKey = apiKeySchema.extend({ key: z.string().describe('Shown this once.') }).meta({ id: 'ApiKeyWithSecret' });

export const apiKeyOperations = declareOperations('API keys', [
  {
    method: 'get',
    path: '/api-keys',
    summary: 'List API keys',
    description: 'A key of one workspace sees the keys of its workspace only.',
    query: apiKeyListQuery,
    answers: { 200: pageSchema(apiKeySchema) },
  },
  {
    method: 'post',
    path: '/api-keys',
    summary: 'Create an API key',
    description: 'A key of one workspace makes keys of its workspace only, and a key that ends makes none that lasts longer.',
    body: apiKeyInputSchema,
    answers: { 201: withKey },
  },
  { method: 'get', path: '/api-keys/{key_id}', summary: 'Read an API key', answers: { 200: apiKeySchema } },
  {
    method: 'post',
    path: '/api-keys/{key_id}/rotate',
    summary: 'Give an API key a new secret',
    description:
      'Without downtime: the secret in force until now stays valid for the overlap. A secret from an earlier rotation ends at once.',
    body: rotationInputSchema,
    answers: { 200: withKey },
  },
  {
    method: 'delete',
    path: '/api-keys/{key_id}',
    summary: 'Revoke an API key',
    description: 'It is worth nothing at once, on every replica. It stays to be read.',
    answers: { 204: null },
  },
]);
