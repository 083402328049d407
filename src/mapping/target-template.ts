/** A rule's target: text, and numbers of captures (1 to 9). */
export type TargetTemplate = readonly (string | number)[];

/**
 * Takes the target of a regex rule apart: `$1`…`$9` are captures (`$10` is `$1` and a zero), `$$` is a dollar sign, and `$`
 * before anything else stands for itself. The targets of other rules are literal.
 *
 * @returns the template, or what is wrong with it and what to do
 */
export function parseTarget(target: string, captureCount: number): TargetTemplate | { readonly problem: string } {
  const template: (string | number)[] = [];
  for (const token of target.match(/\$[0-9$]|[^$]+|\$/g) ?? []) {
    const digit = /^\$[0-9]$/.test(token) ? Number(token[1]) : null;
    if (digit === 0)
      return { problem: '$0 is not a capture; put the part that you want in ( ) and write $1, or $$0 for the text "$0"' };
    if (digit !== null && digit > captureCount) {
      const has = captureCount === 0 ? 'no captures' : `${captureCount} capture${captureCount > 1 ? 's' : ''}`;
      return { problem: `the target uses $${digit}, but the expression has ${has}; put the part that you want in ( )` };
    }
    template.push(digit ?? (token === '$$' ? '$' : token));
  }
  return template;
}

export function expandTarget(template: TargetTemplate, captures: readonly string[]): string {
  return template.map((part) => (typeof part === 'number' ? (captures[part - 1] ?? '') : part)).join('');
}
