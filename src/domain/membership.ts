/** User x workspace. `version` grows by one with each change; the app applies only newer ones. */
export interface Membership {
  readonly workspaceId: string;
  readonly userId: string;
  readonly role: string;
  readonly groups: readonly GroupRef[];
  /** `removed`: by the no-match policy `deny`, by hand, or with its workspace; a later login may grant it again. */
  readonly status: 'active' | 'removed';
  readonly version: number;
}

export interface GroupRef {
  readonly groupId: string;
  readonly name: string;
}

/** Why one role or group is held: enough to answer "why did she get that?" (R37). */
export interface Reason {
  readonly grant: { readonly kind: 'role'; readonly role: string } | ({ readonly kind: 'group' } & GroupRef);
  /** The IdP group as sent; null for the fallback role, which no group gave. */
  readonly idpGroup: string | null;
  readonly via:
    | {
        readonly kind: 'rule';
        readonly ruleIndex: number;
        readonly from: string;
        readonly match: 'exact' | 'glob' | 'regex';
        readonly to: string;
      }
    | { readonly kind: 'one-to-one' }
    /** The role that a joined app group requires (R19, R21). */
    | { readonly kind: 'group-requires'; readonly groupId: string; readonly name: string; readonly requiresRole: string | null }
    | { readonly kind: 'fallback' }
    /** A grant that stayed although this login did not give it. */
    | { readonly kind: 'kept'; readonly because: 'last-admin' | 'unknown-groups' | 'no-match-keep' | 'manual' };
}

/** Something an administrator should know about a mapping; never changes the result. */
export type MappingWarning =
  | {
      readonly kind: 'near-miss';
      readonly idpGroup: string;
      readonly name: string;
      readonly difference: 'case' | 'unicode-form' | 'edge-space';
    }
  | { readonly kind: 'target-missing'; readonly idpGroup: string; readonly target: string; readonly ruleIndex: number }
  | { readonly kind: 'duplicate-group'; readonly idpGroup: string; readonly times: number }
  | { readonly kind: 'unmatched'; readonly idpGroup: string };

/** What the mapping grants for one workspace, with the reason of every part. */
export interface Entitlements {
  /** `matched` false: no group gave anything, and the no-match policy decides (R22). */
  readonly matched: boolean;
  readonly role: string;
  readonly groups: readonly GroupRef[];
  readonly reasons: readonly Reason[];
  readonly warnings: readonly MappingWarning[];
  /** Names that rules give and that neither ladder nor catalogue has (R23), each once: what `createMissingGroups` may create. */
  readonly missingTargets: readonly string[];
}
