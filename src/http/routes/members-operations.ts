import { z } from 'zod';
import { whyNotCauses } from '../../membership/why-not.ts';
import { declareOperations, describes, idSchema, momentSchema, pageSchema } from '../api-schema.ts';
import { memberEditSchema } from './member-edits.ts';
import { explainQuery, type explanationView, memberListQuery, type memberView, type whyNotView } from './members.ts';

const namedSchema = z.strictObject({ id: idSchema, name: z.string() });

const memberFields = {
  user: z.strictObject({
    id: idSchema,
    email: z.string().nullable(),
    name: z.string().nullable(),
    status: z.enum(['active', 'archived']),
  }),
  role: z.string(),
  groups: z.array(namedSchema).describe('In the order of their names.'),
  status: z.enum(['active', 'removed']),
  version: z.int().describe('Grows by one with each change of the membership.'),
  updated_at: momentSchema,
};

const memberSchema = describes<ReturnType<typeof memberView>>()(
  z.strictObject(memberFields).meta({ id: 'Member', description: 'A user in a workspace.' }),
);

export const reasonSchema = z
  .strictObject({
    grant: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('role'), role: z.string() }),
      z.strictObject({ kind: z.literal('group'), id: idSchema, name: z.string() }),
    ]),
    idp_group: z.string().nullable().describe('As the identity provider sent it; null: no group gave this.'),
    via: z.discriminatedUnion('kind', [
      z.strictObject({
        kind: z.literal('rule'),
        rule_index: z.int(),
        from: z.string(),
        match: z.enum(['exact', 'glob', 'regex']),
        to: z.string(),
      }),
      z.strictObject({ kind: z.literal('group-requires'), group: namedSchema, requires_role: z.string().nullable() }),
      z.strictObject({ kind: z.literal('one-to-one') }),
      z.strictObject({ kind: z.literal('fallback') }),
      z.strictObject({
        kind: z.literal('kept'),
        because: z.enum(['last-admin', 'unknown-groups', 'no-match-keep', 'manual']),
      }),
    ]),
  })
  .meta({ id: 'Reason', description: 'Why one role or group is held.' });

export const warningSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('near-miss'),
      idp_group: z.string(),
      name: z.string(),
      difference: z.enum(['case', 'unicode-form', 'edge-space']),
    }),
    z.strictObject({ kind: z.literal('target-missing'), idp_group: z.string(), target: z.string(), rule_index: z.int() }),
    z.strictObject({ kind: z.literal('duplicate-group'), idp_group: z.string(), times: z.int() }),
    z.strictObject({ kind: z.literal('unmatched'), idp_group: z.string() }),
  ])
  .meta({ id: 'MappingWarning' });

const whyNotSchema = z.strictObject({
  asked: z.string(),
  kind: z.enum(['role', 'group', 'unknown']),
  held: z.boolean(),
  causes: z.array(
    z.strictObject({
      cause: z.enum(whyNotCauses),
      message: z.string(),
      idp_group: z.string().optional(),
      name: z.string().optional(),
      difference: z.enum(['case', 'unicode-form', 'edge-space']).optional(),
      rule_index: z.int().optional(),
    }),
  ),
});
describes<ReturnType<typeof whyNotView>>()(whyNotSchema);

const explanationSchema = z
  .strictObject({
    ...memberFields,
    reasons: z.array(reasonSchema),
    warnings: z.array(warningSchema),
    login: z
      .strictObject({
        login_id: idSchema.nullable(),
        connection_id: idSchema.nullable(),
        connection: z.string().nullable(),
        at: momentSchema,
      })
      .describe('The login that gave the present state; nulls after a change by hand.'),
    why_not: whyNotSchema.optional().describe('Where a group or role was asked about.'),
  })
  .meta({ id: 'Explanation' });
describes<Omit<ReturnType<typeof explanationView>, 'warnings'>>()(explanationSchema.omit({ warnings: true }));

export const memberOperations = declareOperations('Members', [
  {
    method: 'get',
    path: '/workspaces/{workspace_id}/members',
    summary: 'List the members of a workspace',
    query: memberListQuery,
    answers: { 200: pageSchema(memberSchema) },
  },
  {
    method: 'get',
    path: '/workspaces/{workspace_id}/members/{user_id}',
    summary: 'Read a member',
    answers: { 200: memberSchema },
    etag: true,
  },
  {
    method: 'get',
    path: '/workspaces/{workspace_id}/members/{user_id}/explain',
    summary: 'Explain what a member has, and does not have',
    query: explainQuery,
    description: 'For each role and group: connection, claim, raw value and rule that gave it.',
    answers: { 200: explanationSchema },
  },
  {
    method: 'put',
    path: '/workspaces/{workspace_id}/members/{user_id}',
    summary: 'Edit a member by hand',
    description:
      'The next login overwrites it, unless the connection leaves edits alone. A key of instance scope may add any user.',
    body: memberEditSchema,
    answers: { 200: memberSchema },
    errors: ['conflict'],
    etag: true,
  },
  {
    method: 'delete',
    path: '/workspaces/{workspace_id}/members/{user_id}',
    summary: 'Remove a member',
    answers: { 204: null },
    errors: ['conflict'],
    etag: true,
  },
]);
