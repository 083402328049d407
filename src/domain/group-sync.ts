/** Settings of group sync and the words of the mapping (REQUIREMENTS B). Types only; the rules live in `mapping/`. */

/** Roles of the app, highest first; the last one is the fallback (R22). Role names are reserved: no app group may have one. */
export type RoleLadder = readonly [string, ...string[]];

export function fallbackRole(ladder: RoleLadder): string {
  return ladder[ladder.length - 1] as string;
}

/** An app group as the app pushed it. */
export interface AppGroup {
  readonly groupId: string;
  readonly name: string;
  /** The lowest role that the group's permissions require; null: none. */
  readonly requiresRole: string | null;
}

/** The catalogue finds groups by an index on their names, and an entry of a Postgres index holds some 2,700 bytes. */
const maxAppGroupNameBytes = 2_600;

/** Whether an app group can have this name. */
export function fitsAppGroup(name: string): boolean {
  return Buffer.byteLength(name) <= maxAppGroupNameBytes;
}

/** One rule, in its canonical JSON form: `{ "from": "Marketing Team", "to": "marketing" }`. */
export interface MappingRule {
  /** Exact IdP group name, glob (`eng-*`) or anchored RE2 expression, as `match` says. */
  readonly from: string;
  readonly match: 'exact' | 'glob' | 'regex';
  /** Role or app group name; with `regex`, `$1`…`$9` stand for the captures. */
  readonly to: string;
}

export interface GroupMapping {
  readonly rules: readonly MappingRule[];
  /** R17: groups that no rule names map to the app group or role of exactly their name. */
  readonly oneToOne: boolean;
}

/** Where the groups stand in the IdP's answer and in which shape (R14, R24). */
export interface GroupClaim {
  /** Claim or attribute name; for OIDC also a path with dots (`realm_access.roles`), the whole name being tried first. */
  readonly name: string;
  /** Splits a single string; null: the string is one group. */
  readonly delimiter: string | null;
  /** Property that holds the name when the claim is an array of objects. */
  readonly nameProperty: string | null;
  /** A list of this length or more counts as cut off by the IdP (R25); null: never. */
  readonly truncationLimit: number | null;
}

export interface GroupSyncSettings {
  /** Off by default (R12); settings are kept while it is off. */
  readonly enabled: boolean;
  readonly groupClaim: GroupClaim;
  readonly mapping: GroupMapping;
  /** R22: what a login whose groups are known, but match nothing, gets. */
  readonly noMatch: 'fallback' | 'deny' | 'keep';
  /** R25. */
  readonly unknownGroups: 'hold' | 'treat-as-empty' | 'deny';
  /** R27. */
  readonly mode: 'authoritative' | 'managed-only';
  /** R23. */
  readonly createMissingGroups: boolean;
  /** R30. */
  readonly keepLastAdmin: boolean;
}

/** What one workspace overrides of an instance-level connection's settings, each field by itself; null inherits (R8, R9). */
export interface SyncOverrides {
  readonly claimName: string | null;
  readonly mapping: GroupMapping | null;
}

/** The settings in force for a workspace: inherited ones and its overrides. */
export function settingsInForce(inherited: GroupSyncSettings, { claimName, mapping }: SyncOverrides): GroupSyncSettings {
  if (claimName === null && mapping === null) return inherited;
  return {
    ...inherited,
    groupClaim: claimName === null ? inherited.groupClaim : { ...inherited.groupClaim, name: claimName },
    mapping: mapping ?? inherited.mapping,
  };
}
