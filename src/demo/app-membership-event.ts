import { z } from 'zod';
import type { CopiedMember } from './app-member-copy.ts';

const group = z.object({ id: z.string(), name: z.string() });
const text = z.string().nullish().catch(null);

/** What the copy takes from `membership.created`, `.updated`, `.removed` and `.snapshot`: all of them carry the whole state. */
const membershipEventSchema = z
  .object({
    type: z.string().startsWith('membership.'),
    data: z.object({
      workspace: z.object({ id: z.string() }),
      user: z.object({ id: z.string(), email: text, name: text }),
      role: z.string(),
      groups: z.array(group),
      // Only snapshot events say it; they may be about somebody who left.
      status: z.enum(['active', 'removed']).optional(),
      version: z.number().int(),
    }),
  })
  .transform(({ type, data: { workspace, user, role, groups, status, version } }) => ({
    workspaceId: workspace.id,
    member: {
      userId: user.id,
      email: user.email ?? null,
      name: user.name ?? null,
      role,
      groups,
      active: type !== 'membership.removed' && status !== 'removed',
      version,
    } satisfies CopiedMember,
  }));

/** A verified event, or one of the event log, as a row of the copy; null: it says nothing about a member's state. */
export function readMembershipEvent(event: unknown): { readonly workspaceId: string; readonly member: CopiedMember } | null {
  return membershipEventSchema.safeParse(event).data ?? null;
}

const snapshotMemberSchema = z
  .object({
    user: z.object({ id: z.string(), email: text, name: text }),
    role: z.string(),
    groups: z.array(group),
    status: z.enum(['active', 'removed']),
    version: z.number().int(),
  })
  .transform(
    ({ user, role, groups, status, version }): CopiedMember => ({
      userId: user.id,
      email: user.email ?? null,
      name: user.name ?? null,
      role,
      groups,
      active: status === 'active',
      version,
    }),
  );

const headSchema = z.object({ format: z.literal(1), cursor: z.string() });
const endSchema = z.object({ end: z.literal(true), members: z.number(), count: z.number(), digest: z.string() });

/** A line of a snapshot. @throws for anything else */
export function readSnapshotLine(line: string) {
  const value: unknown = JSON.parse(line);
  const head = headSchema.safeParse(value).data;
  if (head) return { kind: 'head' as const, ...head };
  const end = endSchema.safeParse(value).data;
  if (end) return { kind: 'end' as const, ...end };
  return { kind: 'member' as const, member: snapshotMemberSchema.parse(value) };
}
