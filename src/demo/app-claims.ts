import { z } from 'zod';

/** What the app keeps of a sign-in: the person and what they may do in each workspace. */
export interface SignedIn {
  readonly userId: string;
  readonly name: string | null;
  readonly email: string | null;
  readonly memberships: readonly AppMembership[];
  readonly at: Date;
}

export interface AppMembership {
  readonly workspaceId: string;
  readonly workspace: string;
  readonly role: string;
  readonly groups: readonly string[];
  readonly version: number;
}

const groupNames = z.array(z.union([z.string(), z.object({ name: z.string() }).transform(({ name }) => name)]));

const membership = z
  .object({
    workspace_id: z.string(),
    workspace: z.string().optional(),
    role: z.string(),
    groups: groupNames.default([]),
    membership_version: z.coerce.number(),
  })
  .transform(
    (claim): AppMembership => ({
      workspaceId: claim.workspace_id,
      workspace: claim.workspace ?? claim.workspace_id,
      role: claim.role,
      groups: claim.groups,
      version: claim.membership_version,
    }),
  );

const text = z.string().nullable().catch(null);

/**
 * Reads the claims of a verified ID token or of userinfo (R29). An app that learns nothing about a workspace grants nothing in it, so
 * entries in another shape are left out.
 */
export function readClaims(claims: Readonly<Record<string, unknown>>, at: Date): SignedIn {
  const list = z.array(z.unknown()).catch([]).parse(claims.memberships);
  return {
    userId: z.string().parse(claims.sub),
    name: text.parse(claims.name),
    email: text.parse(claims.email),
    memberships: list.flatMap((entry) => membership.safeParse(entry).data ?? []),
    at,
  };
}
