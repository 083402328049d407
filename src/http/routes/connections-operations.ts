import { z } from 'zod';
import type { connectionView } from '../../login/connection-document.ts';
import { connectionInputSchema } from '../../login/connection-input.ts';
import { declareOperations, describes, idSchema, momentSchema, pageSchema } from '../api-schema.ts';
import { connectionListQuery } from './connections.ts';

const mappingSchema = z
  .strictObject({
    rules: z.array(z.strictObject({ from: z.string(), match: z.enum(['exact', 'glob', 'regex']), to: z.string() })),
    one_to_one: z.boolean(),
  })
  .meta({ id: 'GroupMapping', description: 'Rules from groups of the identity provider to roles and app groups.' });

const text = z.string().nullable();

const samlSchema = z.strictObject({
  type: z.literal('saml'),
  metadata_xml: z.string(),
  metadata_url: z.string().optional(),
  sign_authn_requests: z.boolean(),
  authn_request_binding: z.enum(['redirect', 'post']),
  name_id_format: text,
  email_attribute: text,
  name_attribute: text,
  given_name_attribute: text,
  family_name_attribute: text,
  clock_skew_seconds: z.int(),
});

const oidcSchema = z.strictObject({
  type: z.literal('oidc'),
  discovery_url: z.string(),
  client_id: z.string(),
  scopes: z.array(z.string()),
  clock_skew_seconds: z.int(),
  has_client_secret: z.boolean().describe('The secret itself is never shown.'),
});

const connectionSchema = z
  .strictObject({
    connection_id: idSchema,
    workspace: idSchema.nullable().describe('Null: instance level.'),
    workspace_slug: text,
    display_name: z.string(),
    enabled: z.boolean(),
    is_default: z.boolean(),
    just_in_time_provisioning: z.boolean(),
    linking: z.enum(['none', 'verified-email']),
    protocol: z.discriminatedUnion('type', [samlSchema, oidcSchema]),
    group_sync: z.strictObject({
      enabled: z.boolean(),
      group_claim: z.strictObject({
        name: z.string(),
        delimiter: text,
        name_property: text,
        truncation_limit: z.int().nullable(),
      }),
      mapping: mappingSchema,
      no_match: z.enum(['fallback', 'deny', 'keep']),
      unknown_groups: z.enum(['hold', 'treat-as-empty', 'deny']),
      mode: z.enum(['authoritative', 'managed-only']),
      create_missing_groups: z.boolean(),
      keep_last_admin: z.boolean(),
    }),
    mapping_text: z.string().describe('The rules of the mapping in their text form.'),
    sync_list: z.array(
      z.strictObject({
        workspace: idSchema,
        workspace_slug: text,
        is_default: z.boolean(),
        enabled: z.boolean(),
        claim_name: text.describe('Null inherits.'),
        mapping: mappingSchema.nullable().describe('Null inherits.'),
      }),
    ),
    identity_provider_setup: z
      .union([
        z.strictObject({ entity_id: z.string(), metadata_url: z.string(), acs_url: z.string() }),
        z.strictObject({ redirect_uri: z.string() }),
      ])
      .describe("What the identity provider's administrator has to enter there."),
    version: z.int(),
    created_at: momentSchema,
    updated_at: momentSchema,
  })
  .meta({ id: 'Connection', description: 'Trust in one identity provider.' });
// The protocol's fields are put together at run time.
describes<Omit<ReturnType<typeof connectionView>, 'protocol'>>()(connectionSchema.omit({ protocol: true }));

export const connectionOperations = declareOperations('Connections', [
  {
    method: 'get',
    path: '/connections',
    summary: 'List connections',
    description: 'A key of one workspace sees its own ones only.',
    query: connectionListQuery,
    answers: { 200: pageSchema(connectionSchema) },
  },
  {
    method: 'post',
    path: '/connections',
    summary: 'Create a connection',
    body: connectionInputSchema,
    answers: { 201: connectionSchema },
    errors: ['upstream_misconfigured', 'upstream_unavailable'],
  },
  {
    method: 'get',
    path: '/connections/{connection_id}',
    summary: 'Read a connection',
    answers: { 200: connectionSchema },
    etag: true,
  },
  {
    method: 'patch',
    path: '/connections/{connection_id}',
    summary: 'Change a connection',
    description: 'A JSON Merge Patch (RFC 7396).',
    body: connectionInputSchema,
    answers: { 200: connectionSchema },
    errors: ['conflict', 'upstream_misconfigured', 'upstream_unavailable'],
    etag: true,
  },
  {
    method: 'delete',
    path: '/connections/{connection_id}',
    summary: 'Switch a connection off',
    description: 'Users, memberships and events refer to it: its settings are kept.',
    answers: { 200: connectionSchema },
    etag: true,
  },
]);
