import { type AppGroup, fallbackRole, type RoleLadder } from '../domain/group-sync.ts';
import type { Entitlements, GroupRef, MappingWarning, Reason } from '../domain/membership.ts';
import type { CompiledCatalogue } from './catalogue.ts';
import type { CompiledMapping, CompiledRule } from './compile.ts';
import { createMatchingBudget } from './matching-budget.ts';
import { createNearMissIndex, differencesBetween } from './near-miss.ts';

export { type CompiledMapping, compileMapping } from './compile.ts';

interface ResolveInput {
  readonly mapping: CompiledMapping;
  readonly catalogue: CompiledCatalogue;
  readonly ladder: RoleLadder;
  /** As the IdP sent them. */
  readonly groups: readonly string[];
}

/** An app group that was given, with the IdP groups that gave it. */
interface JoinedGroup {
  readonly group: AppGroup;
  readonly grant: Reason['grant'];
  readonly reasons: Reason[];
  readonly idpGroups: string[];
}

/**
 * What a person with these IdP groups gets in one workspace, and why (R16-R23). Pure: the result depends on nothing but its
 * arguments, and neither on the order of the groups nor on repetitions.
 *
 * A group that any rule names, exactly or by a pattern, goes only where its rules say, even if their targets are missing; the
 * others go by their own name where `oneToOne` is on. A name is a role if the ladder has it, else an app group. The highest role
 * wins, and each joined group raises it to what the group requires; only the reasons of the role that won are given. A required
 * role that the ladder does not have asks for nothing.
 *
 * `missingTargets` are the names that rules give, captures filled in, and that neither ladder nor catalogue has: what R23 may
 * create. Names that only the 1:1 rule would give are never among them, or every group of an IdP would become one of the app.
 *
 * Cost: linear; see test/bench/mapping.ts.
 *
 * @throws BrokerError `upstream_misconfigured`, reason `mapping_too_costly`, where patterns and groups multiply beyond the budget
 */
export function resolveEntitlements({ mapping, catalogue, ladder, groups }: ResolveInput): Entitlements {
  const budget = createMatchingBudget();
  const roleReasons = new Map<string, Reason[]>(ladder.map((role) => [role, []]));
  const joined = new Map<string, JoinedGroup>();
  const missingTargets = new Set<string>();
  const warnings: MappingWarning[] = [];
  const nearRoles = createNearMissIndex(() => ladder);

  // Each name once, in code unit order, whatever the order in which the IdP sent them.
  const sorted = [...groups].sort();
  for (let at = 0, next = 0; at < sorted.length; at = next) {
    const idpGroup = sorted[at] as string;
    while (sorted[next] === idpGroup) next += 1;
    if (next - at > 1) warnings.push({ kind: 'duplicate-group', idpGroup, times: next - at });
    const rules = mapping.rulesFor(idpGroup, budget);
    for (const rule of rules) followRule(idpGroup, rule);
    if (rules.length === 0) followName(idpGroup);
  }
  return { ...conclude(ladder, roleReasons, joined), warnings, missingTargets: [...missingTargets].sort() };

  function followRule(idpGroup: string, rule: CompiledRule): void {
    budget.spendMatch();
    const target = rule.targetFor(idpGroup);
    if (target !== null && grant(idpGroup, target, rule.via)) return;
    warnings.push({ kind: 'target-missing', idpGroup, target: target ?? rule.via.to, ruleIndex: rule.ruleIndex });
    if (target === null || target === '') return;
    warnNearMisses(idpGroup, target, [...nearRoles(target), ...catalogue.nearMisses(target)]);
    missingTargets.add(target);
  }

  function followName(idpGroup: string): void {
    if (mapping.oneToOne && grant(idpGroup, idpGroup, oneToOne)) return;
    warnings.push({ kind: 'unmatched', idpGroup });
    const inApp = mapping.oneToOne ? [...nearRoles(idpGroup), ...catalogue.nearMisses(idpGroup)] : [];
    warnNearMisses(idpGroup, idpGroup, [...inApp, ...mapping.nearMisses(idpGroup)]);
  }

  /** @returns false if there is neither role nor app group of that name */
  function grant(idpGroup: string, name: string, via: Reason['via']): boolean {
    const reasons = roleReasons.get(name);
    if (reasons) {
      reasons.push({ grant: { kind: 'role', role: name }, idpGroup, via });
      return true;
    }
    const group = catalogue.find(name);
    if (!group) return false;
    join(joined, group, idpGroup, via);
    return true;
  }

  /** R16: reported, never applied. */
  function warnNearMisses(idpGroup: string, wanted: string, neighbours: readonly string[]): void {
    for (const name of new Set(neighbours)) {
      for (const difference of differencesBetween(wanted, name)) warnings.push({ kind: 'near-miss', idpGroup, name, difference });
    }
  }
}

const oneToOne: Reason['via'] = { kind: 'one-to-one' };

/** IdP groups come one after the other, so the last one tells whether this one gave the group before, by another rule. */
function join(joined: Map<string, JoinedGroup>, group: AppGroup, idpGroup: string, via: Reason['via']): void {
  const { groupId, name } = group;
  let known = joined.get(groupId);
  if (!known) {
    known = { group, grant: { kind: 'group', groupId, name }, reasons: [], idpGroups: [] };
    joined.set(groupId, known);
  }
  known.reasons.push({ grant: known.grant, idpGroup, via });
  if (known.idpGroups.at(-1) !== idpGroup) known.idpGroups.push(idpGroup);
}

/** R18-R22: the highest of the roles given and required; without any grant the fallback. */
function conclude(
  ladder: RoleLadder,
  roleReasons: ReadonlyMap<string, readonly Reason[]>,
  joined: ReadonlyMap<string, JoinedGroup>,
): Pick<Entitlements, 'matched' | 'role' | 'groups' | 'reasons'> {
  const fallback = fallbackRole(ladder);
  const groups = [...joined.values()].sort(byNameThenId);
  const required = ({ group }: JoinedGroup) =>
    group.requiresRole !== null && roleReasons.has(group.requiresRole) ? group.requiresRole : fallback;
  const requiredRoles = new Set(groups.map(required));
  const role = ladder.find((candidate) => requiredRoles.has(candidate) || (roleReasons.get(candidate) ?? []).length > 0);
  if (role === undefined) {
    const reason: Reason = { grant: { kind: 'role', role: fallback }, idpGroup: null, via: { kind: 'fallback' } };
    return { matched: false, role: fallback, groups: [], reasons: [reason] };
  }
  const raised = groups.filter((group) => required(group) === role).map((group) => requirementReasons(group, role));
  return {
    matched: true,
    role,
    groups: groups.map(({ group: { groupId, name } }): GroupRef => ({ groupId, name })),
    reasons: [roleReasons.get(role) ?? [], ...raised, ...groups.map(({ reasons }) => reasons)].flat(),
  };
}

function requirementReasons({ group, idpGroups }: JoinedGroup, role: string): Reason[] {
  const { groupId, name, requiresRole } = group;
  const grant: Reason['grant'] = { kind: 'role', role };
  const via: Reason['via'] = { kind: 'group-requires', groupId, name, requiresRole };
  return idpGroups.map((idpGroup) => ({ grant, idpGroup, via }));
}

function byNameThenId({ group: left }: JoinedGroup, { group: right }: JoinedGroup): number {
  if (left.name !== right.name) return left.name < right.name ? -1 : 1;
  return left.groupId < right.groupId ? -1 : 1;
}
