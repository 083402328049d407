import type { ClaimSource, Groups, UnknownGroupsReason } from './federated-identity.ts';
import type { GroupClaim } from './group-sync.ts';

/**
 * Reads the groups out of an IdP's answer (R14, R24, R25). Never throws: what cannot be read is `unknown` with its reason.
 *
 * The sources are asked in their order, and the first one that speaks of the claim decides. Decided here, where the requirements
 * are silent:
 * - JSON `null` is absent (OIDC Core 5.3.2: a claim that is not returned should be left out rather than sent as null).
 * - An empty string is present and means none, as does `[]`: a joined list of nothing is empty. Empty names in a list are
 *   dropped.
 * - A delimiter splits exactly, without trimming (R16); in SAML, whose values are always lists, it splits each value.
 *
 * @param sources in lookup order: for OIDC ID token, userinfo, access token
 * @returns the names exactly as sent, duplicates included, or why they are not known; `detail` carries no value of the claim
 */
export function readGroups(sources: readonly ClaimSource[], claim: GroupClaim): Groups {
  for (const source of sources) {
    if (isLeftOut(source, claim.name)) {
      return unknown(
        'overage',
        `the IdP left "${claim.name}" out of the ${words[source.source]} because the user has too many groups`,
      );
    }
    const value = claimValue(source.claims, claim.name);
    if (value !== undefined) return groupsIn(value, source.source, claim);
  }
  const places = sources.map(({ source }) => words[source]).join(', ');
  return unknown(
    'absent',
    `there is no claim "${claim.name}" in: ${places || 'no source'}; check its name and the scopes or attributes that the IdP sends`,
  );
}

/** True if a lookup of the claim ends at this source: the claim is there, or the source says that it was left out (R25). */
export function hasClaim(source: ClaimSource, name: string): boolean {
  return isLeftOut(source, name) || claimValue(source.claims, name) !== undefined;
}

const words: Record<ClaimSource['source'], string> = {
  saml_attributes: 'SAML attributes',
  id_token: 'ID token',
  userinfo: 'userinfo',
  access_token: 'access token',
};

type Claims = Readonly<Record<string, unknown>>;

/** R14: the whole name first, so that `https://example.com/groups` works, then the path. Undefined: absent. */
function claimValue(claims: Claims, name: string): unknown {
  return own(claims, name) ?? valueAt(claims, name.split('.')) ?? undefined;
}

function valueAt(claims: Claims, path: readonly string[]): unknown {
  let value: unknown = claims;
  for (const segment of path) {
    if (!isObject(value)) return undefined;
    value = own(value, segment);
  }
  return value;
}

/** Own properties only: `__proto__` and `constructor` are names like any other. */
function own(object: Claims, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function isObject(value: unknown): value is Claims {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Entra ID's SAML form of the overage claim; it stands where the groups attribute would. */
const entraSamlOverage = 'http://schemas.microsoft.com/claims/groups.link';
const entraSamlGroups = 'http://schemas.microsoft.com/ws/2008/06/identity/claims/groups';

/**
 * R25: overage markers of Entra ID. `_claim_names` (OIDC Core 5.6.2) names top-level claims that stand elsewhere. `hasgroups` and
 * `groups.link` speak of the groups claim alone: another claim that is there, such as app roles, is complete without it.
 */
function isLeftOut({ claims }: ClaimSource, name: string): boolean {
  const elsewhere = own(claims, '_claim_names');
  if (isObject(elsewhere) && (Object.hasOwn(elsewhere, name) || Object.hasOwn(elsewhere, name.split('.', 1)[0] ?? name)))
    return true;
  const hasGroups = own(claims, 'hasgroups');
  if (hasGroups !== true && hasGroups !== 'true' && !Object.hasOwn(claims, entraSamlOverage)) return false;
  return name === 'groups' || name === entraSamlGroups || claimValue(claims, name) === undefined;
}

function groupsIn(value: unknown, source: ClaimSource['source'], claim: GroupClaim): Groups {
  const listed = listIn(value, source, claim);
  if (!Array.isArray(listed)) return unknown('malformed', `"${claim.name}" in the ${words[source]} is ${listed.problem}`);
  const { truncationLimit } = claim;
  if (truncationLimit !== null && listed.length > 0 && listed.length >= truncationLimit) {
    const detail = `"${claim.name}" in the ${words[source]} has ${listed.length} entries; the IdP cuts the list off at ${truncationLimit}`;
    return unknown('truncated', detail);
  }
  return { state: 'known', names: listed.filter((name) => name !== ''), source };
}

/** The four shapes of R24, as the list that the IdP sent. */
function listIn(
  value: unknown,
  source: ClaimSource['source'],
  { delimiter, nameProperty }: GroupClaim,
): string[] | { problem: string } {
  const split = (text: string) => (delimiter ? text.split(delimiter) : [text]);
  if (value === '') return [];
  if (typeof value === 'string') return split(value);
  if (!Array.isArray(value)) return { problem: `${kindOf(value)}; expected a list of strings or a string` };
  if (value.every((entry) => typeof entry === 'string')) return source === 'saml_attributes' ? value.flatMap(split) : value;
  if (nameProperty === null || !value.every(isObject)) {
    const odd = value.find((entry) => typeof entry !== 'string');
    const advice = isObject(odd) ? '; if its entries are objects, configure the property that holds the name' : '';
    return { problem: `a list with ${kindOf(odd)} in it; expected strings only${advice}` };
  }
  const names = value.map((entry) => own(entry, nameProperty));
  if (names.every((name) => typeof name === 'string')) return names;
  return { problem: `a list of objects, but not each has a string as "${nameProperty}"` };
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function unknown(reason: UnknownGroupsReason, detail: string): Groups {
  return { state: 'unknown', reason, detail };
}
