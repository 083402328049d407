import { z } from 'zod';
import { declareOperations, describes, momentSchema, pageSchema } from '../api-schema.ts';
import { domainInput, domainListQuery, type domainView } from './domains.ts';

const domainSchema = describes<ReturnType<typeof domainView>>()(
  z
    .strictObject({
      domain: z.string(),
      status: z
        .enum(['pending', 'allowed', 'verified'])
        .describe("`pending` is not in force. `allowed`: set by a super admin. `verified`: the domain is this connection's own."),
      verified_by: z.enum(['dns', 'admin']).nullable(),
      verified_at: momentSchema.nullable(),
      txt_record: z.strictObject({ name: z.string(), value: z.string() }).describe('What DNS has to say.'),
      created_at: momentSchema,
    })
    .meta({ id: 'ConnectionDomain', description: 'An e-mail domain that a connection speaks for.' }),
);
const params = { domain: z.string() };

export const domainOperations = declareOperations('Connections', [
  {
    method: 'get',
    path: '/connections/{connection_id}/domains',
    summary: "List a connection's e-mail domains",
    query: domainListQuery,
    answers: { 200: pageSchema(domainSchema) },
  },
  {
    method: 'post',
    path: '/connections/{connection_id}/domains',
    summary: 'Add an e-mail domain',
    description: 'Another status than `pending` needs instance scope, for which `allowed` is the default.',
    body: domainInput,
    answers: { 201: domainSchema },
    errors: ['forbidden'],
  },
  {
    method: 'get',
    path: '/connections/{connection_id}/domains/{domain}',
    summary: 'Read an e-mail domain',
    params,
    answers: { 200: domainSchema },
  },
  {
    method: 'post',
    path: '/connections/{connection_id}/domains/{domain}/verify',
    summary: 'Verify an e-mail domain by its TXT record',
    params,
    answers: { 200: domainSchema },
    errors: ['conflict', 'upstream_unavailable'],
  },
  {
    method: 'delete',
    path: '/connections/{connection_id}/domains/{domain}',
    summary: 'Remove an e-mail domain',
    description: 'What a super admin set needs instance scope.',
    params,
    answers: { 204: null },
    errors: ['forbidden'],
  },
]);
