import { digestOf, digestPart } from './app-digest.ts';

/** A member of a workspace, as the app last heard. */
export interface CopiedMember {
  readonly userId: string;
  readonly email: string | null;
  readonly name: string | null;
  readonly role: string;
  readonly groups: readonly { readonly id: string; readonly name: string }[];
  /** False: removed. The row stays, so that its version turns away what is older. */
  readonly active: boolean;
  readonly version: number;
}

export interface CopyDigest {
  readonly count: number;
  readonly digest: string;
}

/** A copy in the making, which takes the place of the present one when it is complete. */
export interface Replacement {
  apply(member: CopiedMember): void;
  commit(): void;
  abandon(): void;
}

export type MemberCopy = ReturnType<typeof createMemberCopy>;

/**
 * The app's own copy of the members of its workspaces, as a table in its database would be:
 * a row is replaced by a newer version only, and the digest follows each change at the cost of that change.
 */
export function createMemberCopy() {
  const workspaces = new Map<string, Rows>();
  const replacements = new Map<string, Rows>();

  function rowsOf(workspaceId: string): Rows {
    const known = workspaces.get(workspaceId) ?? createRows();
    workspaces.set(workspaceId, known);
    return known;
  }

  return {
    /** False: what is known is as new, and stays. */
    apply(workspaceId: string, member: CopiedMember): boolean {
      // What comes while a copy is in the making concerns both.
      replacements.get(workspaceId)?.apply(member);
      return rowsOf(workspaceId).apply(member);
    },

    member: (workspaceId: string, userId: string): CopiedMember | null => workspaces.get(workspaceId)?.get(userId) ?? null,

    members: (workspaceId: string): readonly CopiedMember[] => workspaces.get(workspaceId)?.all() ?? [],

    digest: (workspaceId: string): CopyDigest => rowsOf(workspaceId).digest(),

    /** `user.deleted`: address and name go; ids, versions and what was removed stay. */
    forgetUser(userId: string): void {
      for (const rows of [...workspaces.values(), ...replacements.values()]) {
        const row = rows.get(userId);
        if (row !== null) rows.put({ ...row, email: null, name: null });
      }
    },

    /** A new copy beside the present one; a second one for the same workspace takes the place of the first. */
    replace(workspaceId: string): Replacement {
      const fresh = createRows();
      replacements.set(workspaceId, fresh);
      const isLatest = () => replacements.get(workspaceId) === fresh;
      return {
        apply: (member) => void fresh.apply(member),
        commit() {
          if (!isLatest()) return;
          workspaces.set(workspaceId, fresh);
          replacements.delete(workspaceId);
        },
        abandon() {
          if (isLatest()) replacements.delete(workspaceId);
        },
      };
    },

    /** Only for the demo: spoils a row, as a mistake of the app would. */
    spoil(workspaceId: string): CopiedMember | null {
      const row = rowsOf(workspaceId)
        .all()
        .find(({ active }) => active);
      if (row === undefined) return null;
      rowsOf(workspaceId).put({ ...row, groups: [], role: `not ${row.role}` });
      return row;
    },
  };
}

type Rows = ReturnType<typeof createRows>;

function createRows() {
  const byUser = new Map<string, CopiedMember>();
  let sum = 0n;
  let count = 0;

  function put(member: CopiedMember): void {
    const before = byUser.get(member.userId);
    if (before?.active) {
      sum -= digestPart(before);
      count -= 1;
    }
    if (member.active) {
      sum += digestPart(member);
      count += 1;
    }
    byUser.set(member.userId, member);
  }

  return {
    put,
    apply(member: CopiedMember): boolean {
      if ((byUser.get(member.userId)?.version ?? 0) >= member.version) return false;
      put(member);
      return true;
    },
    get: (userId: string): CopiedMember | null => byUser.get(userId) ?? null,
    all: (): readonly CopiedMember[] => [...byUser.values()],
    digest: (): CopyDigest => ({ count, digest: digestOf(sum) }),
  };
}
