import type { UnknownGroupsReason } from '../domain/federated-identity.ts';
import type { AppGroup, GroupSyncSettings, MappingRule, RoleLadder } from '../domain/group-sync.ts';
import { compileCatalogue } from '../mapping/catalogue.ts';
import { compileMapping } from '../mapping/compile.ts';
import { createNearMissIndex, type Difference, differencesBetween } from '../mapping/near-miss.ts';
import { resolveEntitlements } from '../mapping/resolve.ts';

/** What is known about one member when somebody asks why they do not have a group or role. */
export interface WhyNotInput {
  /** Exact name of an app group or role. */
  readonly asked: string;
  readonly ladder: RoleLadder;
  readonly catalogue: readonly AppGroup[];
  readonly membership: { readonly status: 'active' | 'removed'; readonly role: string; readonly groups: readonly string[] };
  readonly userArchived: boolean;
  /** The connection that the member last came by, with the settings in force; null: none that serves the workspace knows the user. */
  readonly source: {
    readonly settings: GroupSyncSettings;
    readonly groups: Readonly<Record<string, readonly string[]>> | null;
    /** The groups of the newest login, if they were unknown and the membership was held for it (R25). */
    readonly held: { readonly reason: UnknownGroupsReason | string; readonly detail: string } | null;
  } | null;
}

export const whyNotCauses = [
  'user_archived',
  'membership_removed',
  'not_in_catalogue',
  'no_connection',
  'group_sync_off',
  'groups_unknown',
  'held',
  'no_rule',
  'idp_group_not_sent',
  'near_miss',
  'named_elsewhere',
  'one_to_one_off',
  'higher_role',
  'not_synced_since',
] as const;

/** One cause; `message` says it in words, with what to do. */
export interface WhyNotCause {
  readonly cause: (typeof whyNotCauses)[number];
  readonly message: string;
  readonly idpGroup?: string;
  readonly name?: string;
  readonly difference?: Difference;
  readonly ruleIndex?: number;
}

export interface WhyNot {
  readonly asked: string;
  readonly kind: 'role' | 'group' | 'unknown';
  readonly held: boolean;
  /** Empty if they have it. */
  readonly causes: readonly WhyNotCause[];
}

/** R37: every reason why a member does not have what is asked about, the most decisive first. Pure. */
export function whyNot(input: WhyNotInput): WhyNot {
  const { asked, ladder, catalogue, membership } = input;
  const kind = ladder.includes(asked) ? 'role' : catalogue.some(({ name }) => name === asked) ? 'group' : 'unknown';
  const active = membership.status === 'active';
  const held = active && (kind === 'role' ? membership.role === asked : membership.groups.includes(asked));
  return { asked, kind, held, causes: held ? [] : [...causesOf(input, kind)] };
}

function* causesOf(input: WhyNotInput, kind: WhyNot['kind']): Generator<WhyNotCause> {
  const { asked, membership, userArchived, source } = input;
  if (userArchived) yield { cause: 'user_archived', message: 'the user is archived and cannot log in' };
  if (membership.status === 'removed')
    yield { cause: 'membership_removed', message: 'the membership has ended; a login may grant it again' };
  if (kind === 'unknown') yield* notInCatalogue(input);
  if (!source) {
    yield { cause: 'no_connection', message: 'no connection that is enabled for this workspace knows the user' };
    return;
  }
  const { settings, groups, held } = source;
  const claim = settings.groupClaim.name;
  if (!settings.enabled) yield { cause: 'group_sync_off', message: 'group sync is off, and nothing is applied while it is' };
  if (held) {
    yield {
      cause: 'held',
      message: `the newest login did not tell the groups (${held.reason}), so access stayed as it was: ${held.detail}`,
    };
  }
  const sent = groups && Object.hasOwn(groups, claim) ? (groups[claim] ?? null) : null;
  if (sent === null) yield { cause: 'groups_unknown', message: `no login so far told the groups in the claim "${claim}"` };
  yield* mappingCauses(input, settings, sent ?? []);
  if (sent !== null && settings.enabled && kind !== 'unknown' && grants(input, settings, sent)) {
    const message = `the mapping gives "${asked}" by the groups last seen, but nothing was synced since it, or an edit by hand, changed: plan and apply, or the next login, will`;
    yield { cause: 'not_synced_since', message };
  }
}

function* notInCatalogue({ asked, ladder, catalogue }: WhyNotInput): Generator<WhyNotCause> {
  yield { cause: 'not_in_catalogue', message: `there is neither a role nor an app group of exactly the name "${asked}"` };
  const neighbours = createNearMissIndex(() => [...ladder, ...catalogue.map(({ name }) => name)])(asked);
  for (const name of neighbours) {
    for (const difference of differencesBetween(asked, name)) {
      yield { cause: 'near_miss', message: `"${name}" differs only in ${words[difference]}`, name, difference };
    }
  }
}

/** What the rules and the 1:1 rule ask for, against what was sent. */
function* mappingCauses(
  { asked, ladder, membership }: WhyNotInput,
  settings: GroupSyncSettings,
  sent: readonly string[],
): Generator<WhyNotCause> {
  const { rules, oneToOne } = settings.mapping;
  const leading = rules.flatMap((rule, ruleIndex) => (mayLeadTo(rule, asked) ? [{ rule, ruleIndex }] : []));
  const names = new Set(sent);
  const named = rulesNaming(settings, asked);
  for (const { rule, ruleIndex } of leading) {
    if (rule.match === 'exact' ? names.has(rule.from) : false) continue;
    const { from } = rule;
    const message =
      rule.match === 'exact'
        ? `rule ${ruleIndex + 1} gives it to "${from}", which the identity provider did not send`
        : `rule ${ruleIndex + 1} gives it to groups like "${from}", of which the identity provider sent none that leads here`;
    yield { cause: 'idp_group_not_sent', message, idpGroup: from, ruleIndex };
    if (rule.match === 'exact') yield* nearMisses(from, sent);
  }
  if (names.has(asked) && named.length > 0 && leading.length === 0) {
    const [ruleIndex] = named;
    const message = `the identity provider sent "${asked}", but rule ${(ruleIndex ?? 0) + 1} names it, and so it goes only where rules say`;
    yield { cause: 'named_elsewhere', message, idpGroup: asked, ...(ruleIndex === undefined ? {} : { ruleIndex }) };
  } else if (names.has(asked) && !oneToOne && leading.length === 0) {
    const message = `the identity provider sent "${asked}", but the 1:1 rule is off and no rule names it`;
    yield { cause: 'one_to_one_off', message, idpGroup: asked };
  } else if (leading.length === 0 && !names.has(asked)) {
    yield { cause: 'no_rule', message: `no rule leads to "${asked}"` };
  }
  if (oneToOne && named.length === 0 && !names.has(asked)) {
    const message = `the 1:1 rule would give it for an IdP group of exactly this name, which was not sent`;
    yield { cause: 'idp_group_not_sent', message, idpGroup: asked };
    yield* nearMisses(asked, sent);
  }
  if (membership.status === 'active' && isBelow(ladder, asked, membership.role)) {
    yield { cause: 'higher_role', message: `the member has the higher role "${membership.role}"; the highest one wins` };
  }
}

function* nearMisses(wanted: string, sent: readonly string[]): Generator<WhyNotCause> {
  for (const idpGroup of createNearMissIndex(() => sent)(wanted)) {
    for (const difference of differencesBetween(idpGroup, wanted)) {
      const message = `the identity provider sent ${JSON.stringify(idpGroup)}, which differs from ${JSON.stringify(wanted)} only in ${words[difference]}`;
      yield { cause: 'near_miss', message, idpGroup, name: wanted, difference };
    }
  }
}

const words = { case: 'case', 'unicode-form': 'its Unicode form', 'edge-space': 'spaces at its edges' } as const;

/** With captures the target is known only for a group that matches: any text may stand in their place. */
function mayLeadTo({ match, to }: MappingRule, asked: string): boolean {
  if (match !== 'regex' || !/\$[1-9]/.test(to)) return to === asked;
  let at = 0;
  const parts = to.split(/\$[1-9]/);
  return parts.every((part, index) => {
    const found = index === parts.length - 1 ? asked.length - part.length : asked.indexOf(part, at);
    if (found < at || !asked.startsWith(part, found) || (index === 0 && found !== 0)) return false;
    at = found + part.length;
    return true;
  });
}

/** Indexes of the rules that name an IdP group of the asked name. */
function rulesNaming({ mapping }: GroupSyncSettings, idpGroup: string): number[] {
  const { reasons, warnings } = resolveEntitlements({
    mapping: compileMapping(mapping),
    catalogue: compileCatalogue(mapping.rules.map(({ to }, index) => ({ groupId: String(index), name: to, requiresRole: null }))),
    ladder: [' '],
    groups: [idpGroup],
  });
  const matched = reasons.flatMap(({ via }) => (via.kind === 'rule' ? [via.ruleIndex] : []));
  const missing = warnings.flatMap((warning) => (warning.kind === 'target-missing' ? [warning.ruleIndex] : []));
  return [...new Set([...matched, ...missing])].sort((left, right) => left - right);
}

function grants({ asked, ladder, catalogue }: WhyNotInput, { mapping }: GroupSyncSettings, sent: readonly string[]): boolean {
  const given = { mapping: compileMapping(mapping), catalogue: compileCatalogue(catalogue), ladder, groups: sent };
  const { role, groups, matched } = resolveEntitlements(given);
  return groups.some(({ name }) => name === asked) || (matched && role === asked);
}

function isBelow(ladder: RoleLadder, role: string, held: string): boolean {
  const rank = ladder.indexOf(role);
  return rank !== -1 && ladder.indexOf(held) !== -1 && ladder.indexOf(held) < rank;
}
