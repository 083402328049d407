import { BrokerError, type FieldError } from '../domain/broker-error.ts';
import type { GroupMapping, MappingRule } from '../domain/group-sync.ts';
import type { Reason } from '../domain/membership.ts';
import type { MatchingBudget } from './matching-budget.ts';
import { createNearMissIndex, type NearMissIndex } from './near-miss.ts';
import type { Pattern } from './pattern.ts';
import { createPatternIndex } from './pattern-index.ts';
import { createRuleReader, mappingLimits, problemsOf } from './rule.ts';
import { expandTarget, type TargetTemplate } from './target-template.ts';

export interface CompiledMapping {
  readonly oneToOne: boolean;
  /** Every rule that names the group, in the order of the rules. */
  readonly rulesFor: (idpGroup: string, budget: MatchingBudget) => readonly CompiledRule[];
  /** Over the exact names of the rules. */
  readonly nearMisses: NearMissIndex;
  /** Rules that repeat an earlier one; they count once (R17). */
  readonly warnings: readonly DuplicateRule[];
}

export interface CompiledRule {
  readonly ruleIndex: number;
  /** What the reasons of its grants say. */
  readonly via: Extract<Reason['via'], { kind: 'rule' }>;
  /** The name that the rule gives to a group that it names; null: captures make it longer than any name may be. */
  readonly targetFor: (idpGroup: string) => string | null;
}

/** For the administrator, where rules are written: never changes the result. */
export interface DuplicateRule {
  readonly kind: 'duplicate-rule';
  readonly ruleIndex: number;
  readonly firstRuleIndex: number;
}

/**
 * Makes a mapping ready for `resolveEntitlements`. To be kept with the connection that it belongs to.
 *
 * Cost: about 0.5 µs for an exact name, 3 µs for a glob, 40 µs for an expression.
 *
 * @throws BrokerError `validation_failed` with a field for each rule that is not valid
 */
export function compileMapping(mapping: GroupMapping): CompiledMapping {
  const exact = new Map<string, CompiledRule[]>();
  const patterns: { pattern: Pattern; value: CompiledRule }[] = [];
  const firstIndexes = new Map<string, number>();
  const warnings: DuplicateRule[] = [];
  const readNext = createRuleReader();

  for (const [ruleIndex, rule] of mapping.rules.entries()) {
    const read = readNext(rule);
    if (Array.isArray(read)) throw invalidRules(mapping.rules);
    const firstRuleIndex = firstIndexes.get(identityOf(rule));
    if (firstRuleIndex !== undefined) {
      warnings.push({ kind: 'duplicate-rule', ruleIndex, firstRuleIndex });
      continue;
    }
    firstIndexes.set(identityOf(rule), ruleIndex);
    const compiled = compileRule(rule, ruleIndex, read.pattern, read.target);
    if (read.pattern) patterns.push({ pattern: read.pattern, value: compiled });
    else addTo(exact, rule.from, compiled);
  }

  const matchPatterns = patterns.length > 0 ? createPatternIndex(patterns) : null;
  return {
    oneToOne: mapping.oneToOne,
    rulesFor(idpGroup, budget) {
      const named = exact.get(idpGroup) ?? [];
      if (!matchPatterns) return named;
      const all = [...named];
      matchPatterns(idpGroup, budget, (rule) => all.push(rule));
      return all.sort((left, right) => left.ruleIndex - right.ruleIndex);
    },
    nearMisses: createNearMissIndex(() => exact.keys()),
    warnings,
  };
}

function compileRule(rule: MappingRule, ruleIndex: number, pattern: Pattern | null, template: TargetTemplate): CompiledRule {
  const { from, match, to } = rule;
  const via = { kind: 'rule', ruleIndex, from, match, to } as const;
  if (!pattern || template.every((part) => typeof part === 'string')) {
    const target = expandTarget(template, []);
    return { ruleIndex, via, targetFor: () => target };
  }
  const targetFor = (idpGroup: string) => {
    const target = expandTarget(template, pattern.captures(idpGroup) ?? []);
    return target.length <= mappingLimits.nameCharacters ? target : null;
  };
  return { ruleIndex, via, targetFor };
}

/** NUL is in no name, so two rules have one identity only if they are equal. */
function identityOf({ from, match, to }: MappingRule): string {
  return `${match}\0${from}\0${to}`;
}

function addTo(rulesByName: Map<string, CompiledRule[]>, name: string, rule: CompiledRule): void {
  const others = rulesByName.get(name);
  if (others) others.push(rule);
  else rulesByName.set(name, [rule]);
}

function invalidRules(rules: readonly MappingRule[]): BrokerError {
  const fields: FieldError[] = problemsOf(rules).map(({ ruleIndex, field, message }) => ({
    path: `rules[${ruleIndex}].${field}`,
    message,
  }));
  const [first] = fields;
  const detail = first ? `${first.path}: ${first.message}` : 'the mapping is not valid';
  return new BrokerError('validation_failed', `group mapping, ${detail}`, { reason: 'mapping_invalid', fields });
}
