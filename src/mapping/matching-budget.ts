import { BrokerError } from '../domain/broker-error.ts';

/** What one resolution has used up. */
export interface MatchingBudget {
  /** @throws BrokerError `upstream_misconfigured`, reason `mapping_too_costly` */
  readonly spendInstructions: (instructions: number, name: string) => void;
  /** @throws BrokerError `upstream_misconfigured`, reason `mapping_too_costly` */
  readonly spendMatch: () => void;
}

/**
 * RE2 instructions x characters. RE2 takes 5-10 ns for each character once its automaton is warm, whatever the expression, but
 * up to 50 ns for each instruction and character when an expression is made to defeat it: this is half a second at the very worst,
 * and twenty plain expressions (300 instructions) still resolve 1,000 groups of 30 characters.
 */
const maxInstructionSteps = 10_000_000;

/** Pairs of group and rule, each of which leaves one or two reasons. Exact rules alone never get there. */
const maxMatches = 50_000;

export function createMatchingBudget(): MatchingBudget {
  let steps = 0;
  let matches = 0;
  return {
    spendInstructions(instructions, name) {
      steps += instructions * name.length;
      if (steps > maxInstructionSteps) {
        throw tooCostly(
          'matching the patterns of this mapping against so many groups takes too long; start the patterns with literal text',
        );
      }
    },
    spendMatch() {
      matches += 1;
      if (matches > maxMatches)
        throw tooCostly('the patterns of this mapping match too many groups too often; make them narrower');
    },
  };
}

function tooCostly(detail: string): BrokerError {
  return new BrokerError('upstream_misconfigured', detail, { reason: 'mapping_too_costly' });
}
