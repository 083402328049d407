import type { Reason } from '../domain/membership.ts';

/** One reason as cells: what is held, the IdP group that gave it, and how. */
export function reasonText({ grant, idpGroup, via }: Reason): readonly [string, string, string] {
  const held = grant.kind === 'role' ? `role ${grant.role}` : `group ${grant.name}`;
  return [held, idpGroup ?? '-', viaText(via)];
}

function viaText(via: Reason['via']): string {
  switch (via.kind) {
    case 'rule':
      return `rule ${via.ruleIndex + 1}: ${via.from} -> ${via.to}`;
    case 'one-to-one':
      return 'the same name (1:1)';
    case 'group-requires':
      return `group ${via.name} requires it`;
    case 'fallback':
      return 'the lowest role, as no group gave another';
    case 'kept':
      return `kept: ${via.because}`;
    default:
      return via satisfies never;
  }
}
