import { z } from 'zod';
import type { GroupMapping, MappingRule } from '../domain/group-sync.ts';
import { compilePattern, isUnindexed, type Pattern } from './pattern.ts';
import { parseTarget, type TargetTemplate } from './target-template.ts';

/**
 * What one mapping may hold. Exact names cost next to nothing; expressions are bounded so that neither storing a mapping nor a
 * login with it can hold the process (see `matching-budget.ts`).
 */
export const mappingLimits = {
  rules: 10_000,
  nameCharacters: 1_000,
  /** RE2 instructions of all expressions together: room for some 1,000 ordinary ones. */
  totalInstructions: 30_000,
  /** The same for patterns without literal text at start or end, which no index narrows down: room for some 150. */
  unindexedInstructions: 2_000,
} as const;

/** What is wrong with a rule, and what to do. */
export interface RuleProblem {
  readonly field: 'from' | 'to';
  readonly message: string;
  /** The mapping as a whole is too large from this rule on. */
  readonly ofMapping?: true;
}

export interface ReadRule {
  /** Null for an exact name. */
  readonly pattern: Pattern | null;
  readonly target: TargetTemplate;
}

const ruleShape = z.strictObject({
  from: z.string(),
  match: z.enum(['exact', 'glob', 'regex']).default('exact'),
  to: z.string(),
});

/** One rule in its canonical JSON form. Use `mappingRulesSchema` for a list, which also bounds the whole. */
export const mappingRuleSchema = ruleShape.superRefine((rule, context) => {
  const read = readRule(rule);
  if (Array.isArray(read)) for (const { field, message } of read) context.addIssue({ code: 'custom', path: [field], message });
});

/** Enough to mend a mapping by; reading on would only cost time. */
const maxReportedProblems = 20;

export const mappingRulesSchema = z
  .array(ruleShape)
  .max(mappingLimits.rules, `give at most ${mappingLimits.rules} rules`)
  .superRefine((rules, context) => {
    if (rules.length > mappingLimits.rules) return;
    for (const { ruleIndex, field, message } of problemsOf(rules)) {
      context.addIssue({ code: 'custom', path: [ruleIndex, field], message });
    }
  });

/** R15: the canonical form of a mapping. */
export const groupMappingSchema: z.ZodType<GroupMapping> = z.strictObject({
  rules: mappingRulesSchema.default([]),
  oneToOne: z.boolean().default(true),
});

/** @returns the problems of a list of rules, in its order: the first 20 */
export function problemsOf(rules: readonly MappingRule[]): (RuleProblem & { readonly ruleIndex: number })[] {
  const check = createRuleReader();
  const problems: (RuleProblem & { readonly ruleIndex: number })[] = [];
  for (const [ruleIndex, rule] of rules.entries()) {
    const read = check(rule);
    if (Array.isArray(read)) problems.push(...read.map((problem) => ({ ...problem, ruleIndex })));
    if (problems.length >= maxReportedProblems || problems.at(-1)?.ofMapping) break;
  }
  return problems.slice(0, maxReportedProblems);
}

/** Reads the rules of one mapping one after the other, and counts what they cost together. */
export function createRuleReader() {
  let rules = 0;
  let totalInstructions = 0;
  let unindexedInstructions = 0;

  return (rule: MappingRule): ReadRule | RuleProblem[] => {
    rules += 1;
    if (rules > mappingLimits.rules)
      return [ofMapping(`there are too many rules; a mapping holds at most ${mappingLimits.rules}`)];
    const read = readRule(rule);
    if (Array.isArray(read) || !read.pattern) return read;
    const { instructions } = read.pattern;
    totalInstructions += instructions;
    if (isUnindexed(read.pattern)) unindexedInstructions += instructions;
    if (totalInstructions > mappingLimits.totalInstructions) {
      return [
        ofMapping('from here on the expressions are too many or too long together; use fewer or shorter ones, or exact names'),
      ];
    }
    if (unindexedInstructions > mappingLimits.unindexedInstructions) {
      return [ofMapping('from here on too many patterns begin and end with a wildcard; start them with literal text')];
    }
    return read;
  };
}

function readRule({ from, match, to }: MappingRule): ReadRule | RuleProblem[] {
  const problems: RuleProblem[] = [];
  for (const [field, name] of [
    ['from', from],
    ['to', to],
  ] as const) {
    const message = problemOfName(name);
    if (message) problems.push({ field, message });
  }
  if (problems.length > 0) return problems;
  if (match === 'exact') return { pattern: null, target: [to] };

  const pattern = compilePattern(from, match);
  if ('problem' in pattern) return [fromProblem(pattern.problem)];
  const target = match === 'regex' ? parseTarget(to, pattern.captureCount) : [to];
  return 'problem' in target ? [{ field: 'to', message: target.problem }] : { pattern, target };
}

/** Postgres stores neither NUL nor lone surrogates, so no IdP group that is read can have such a name either. */
function problemOfName(name: string): string | null {
  if (name === '') return 'the name is empty; give at least one character';
  if (name.length > mappingLimits.nameCharacters)
    return `the name is too long; use at most ${mappingLimits.nameCharacters} characters`;
  if (!name.isWellFormed() || name.includes('\0')) return 'the name is not valid text; leave out NUL and half surrogate pairs';
  return null;
}

function ofMapping(message: string): RuleProblem {
  return { field: 'from', message, ofMapping: true };
}

function fromProblem(message: string): RuleProblem {
  return { field: 'from', message };
}
