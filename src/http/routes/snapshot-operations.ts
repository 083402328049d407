import { z } from 'zod';
import { digestAlgorithm } from '../../membership/digest.ts';
import { declareOperations, describes, idSchema, momentSchema } from '../api-schema.ts';
import { type digestView, type endView, type headView, snapshotMediaType, type snapshotMemberView } from './snapshot.ts';

const workspace = z.strictObject({ id: idSchema, slug: z.string() });
const cursor = z.string().describe('Read the event log `after` it to bring a copy up to date.');
const count = z.int().min(0).describe('Active members, over which the digest is.');
const algorithm = z.literal(digestAlgorithm);
const digest = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .describe('Over id, version, role and groups of the active members, in any order: `docs/webhooks.md` says how.');

/** The kinds of lines of a snapshot, in their order. */
export const snapshotLineSchemas = {
  head: describes<ReturnType<typeof headView>>()(
    z
      .strictObject({ workspace, cursor, taken_at: momentSchema, format: z.literal(1) })
      .meta({ id: 'SnapshotHead', description: 'The first line.' }),
  ),
  member: describes<ReturnType<typeof snapshotMemberView>>()(
    z
      .strictObject({
        user: z.strictObject({
          id: idSchema,
          email: z.string().nullable(),
          name: z.string().nullable(),
          status: z.enum(['active', 'archived']),
        }),
        role: z.string(),
        groups: z.array(z.strictObject({ id: idSchema, name: z.string() })).describe('In the order of their names.'),
        status: z.enum(['active', 'removed']).describe('`removed`: no longer a member; the version turns away older events.'),
        version: z.int().min(1),
      })
      .meta({ id: 'SnapshotMember', description: 'One line for each member.' }),
  ),
  end: describes<ReturnType<typeof endView>>()(
    z
      .strictObject({
        end: z.literal(true),
        members: z.int().min(0).describe('Lines of members, those who left too.'),
        count,
        algorithm,
        digest,
      })
      .meta({ id: 'SnapshotEnd', description: 'The last line. Without it the snapshot was cut off: throw it away.' }),
  ),
};

const digestSchema = describes<ReturnType<typeof digestView>>()(
  z
    .strictObject({ workspace, cursor, taken_at: momentSchema, count, algorithm, digest })
    .meta({ id: 'WorkspaceDigest', description: 'What a copy of the members is compared with.' }),
);

export const snapshotOperations = declareOperations('Members', [
  {
    method: 'get',
    path: '/workspaces/{workspace_id}/snapshot',
    summary: 'Read all members of a workspace as of one moment',
    description: 'Newline-delimited JSON: a head, a line for each member, an end. Compressed where `Accept-Encoding` has gzip.',
    answers: { 200: z.union([snapshotLineSchemas.head, snapshotLineSchemas.member, snapshotLineSchemas.end]) },
    mediaType: snapshotMediaType,
    errors: ['validation_failed', 'rate_limited'],
  },
  {
    method: 'get',
    path: '/workspaces/{workspace_id}/digest',
    summary: 'Read the digest of the members of a workspace',
    answers: { 200: digestSchema },
    errors: ['validation_failed', 'rate_limited'],
  },
]);
