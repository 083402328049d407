import { z } from 'zod';
import { type Html, html } from '../http/html.ts';

/** Why a member has a role and groups, ready to show. */
export interface Explanation {
  readonly grants: readonly Grant[];
  readonly warnings: readonly Html[];
  readonly decidedBy: { readonly connection: string | null; readonly at: Date | null } | null;
}

/** One role or group with every reason for it. */
export interface Grant {
  readonly kind: 'role' | 'group';
  readonly name: string;
  readonly because: readonly Html[];
}

const text = z.string().nullable().catch(null);
const named = z.object({ name: z.string() }).nullable().catch(null);
const index = z.number().nullable().catch(null);

const reasonSchema = z.object({
  grant: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('role'), role: z.string() }).transform(({ role }) => ({ kind: 'role' as const, name: role })),
    z.object({ kind: z.literal('group'), name: z.string() }),
  ]),
  idp_group: text,
  via: z.object({ kind: z.string(), rule_index: index, from: text, to: text, match: text, group: named, because: text }),
});
type Reason = z.infer<typeof reasonSchema>;

const warningSchema = z.object({
  kind: z.string(),
  idp_group: text,
  name: text,
  difference: text,
  target: text,
  rule_index: index,
  times: index,
});
type Warning = z.infer<typeof warningSchema>;

const explanationSchema = z.object({
  reasons: z.array(z.unknown()).catch([]),
  warnings: z.array(z.unknown()).catch([]),
  login: z
    .object({ connection: text, at: z.coerce.date().nullable().catch(null) })
    .nullable()
    .catch(null),
});

/** Reads the answer of `GET /v1/workspaces/{id}/members/{id}/explain` (R37); what it does not know is left out, never an error. */
export function readExplanation(answer: unknown): Explanation {
  const { reasons, warnings, login } = explanationSchema.catch({ reasons: [], warnings: [], login: null }).parse(answer);
  const grants = new Map<string, Grant & { because: Html[] }>();
  for (const reason of reasons.flatMap((entry) => reasonSchema.safeParse(entry).data ?? [])) {
    const { kind, name } = reason.grant;
    const grant = grants.get(`${kind} ${name}`) ?? { kind, name, because: [] };
    grant.because.push(because(reason));
    grants.set(`${kind} ${name}`, grant);
  }
  return {
    grants: [...grants.values()].sort((a, b) => Number(b.kind === 'role') - Number(a.kind === 'role')),
    warnings: readWarnings(warnings).map(warn),
    decidedBy: login,
  };
}

/** Where a near miss is known, "no rule names it" adds nothing. */
function readWarnings(entries: readonly unknown[]): Warning[] {
  const warnings = entries.flatMap((entry) => warningSchema.safeParse(entry).data ?? []);
  const nearMisses = new Set(warnings.filter(({ kind }) => kind === 'near-miss').map(({ idp_group: idpGroup }) => idpGroup));
  return warnings.filter(({ kind, idp_group: idpGroup }) => kind !== 'unmatched' || !nearMisses.has(idpGroup));
}

function because({ grant, idp_group: idpGroup, via }: Reason): Html {
  const group = html`the IdP group <q>${idpGroup}</q>`;
  switch (via.kind) {
    case 'rule':
      return html`Rule ${ruleNumber(via.rule_index)} <q>${via.from} → ${via.to}</q> ${via.match === 'exact' ? 'names' : 'fits'} ${group}.`;
    case 'one-to-one':
      return grant.kind === 'role'
        ? html`The name of ${group} is the name of this role.`
        : html`The name of ${group} is the name of this group.`;
    case 'group-requires':
      return html`Being in <q>${via.group?.name}</q> requires at least this role${idpGroup !== null && html`; ${group} led there`}.`;
    case 'fallback':
      return html`No group gave a role, so the lowest one applies.`;
    case 'kept':
      return keptBecause(via.because);
    default:
      return html`Rollcall gave a reason that this demo does not know: <q>${via.kind}</q>.`;
  }
}

function keptBecause(cause: string | null): Html {
  switch (cause) {
    case 'last-admin':
      return html`Kept: nobody else is an admin of this workspace.`;
    case 'unknown-groups':
      return html`Kept as it was: the identity provider did not say which groups the person is in.`;
    case 'no-match-keep':
      return html`Kept as it was: no group matched, and this connection then keeps what people had.`;
    case 'manual':
      return html`Kept: it was granted by hand.`;
    default:
      return html`Kept as it was.`;
  }
}

const differences: Readonly<Record<string, string>> = {
  case: 'in upper and lower case',
  'unicode-form': 'in how a letter is encoded',
  'edge-space': 'in a space at the edge',
};

function warn({ kind, idp_group: idpGroup, name, difference, target, rule_index: ruleIndex, times }: Warning): Html {
  switch (kind) {
    case 'near-miss':
      return html`<q>${idpGroup}</q> gave nothing. It differs from <q>${name}</q> only ${differences[difference ?? ''] ?? 'a little'}.`;
    case 'target-missing':
      return html`<q>${idpGroup}</q> gave nothing by rule ${ruleNumber(ruleIndex)}: the app has no group <q>${target}</q>.`;
    case 'duplicate-group':
      return html`<q>${idpGroup}</q> came ${times} times and counts once.`;
    case 'unmatched':
      return html`<q>${idpGroup}</q> gave nothing: no rule names it, and the app has no role or group of that name.`;
    default:
      return html`Rollcall gave a warning that this demo does not know: <q>${kind}</q>.`;
  }
}

// People count from one.
function ruleNumber(ruleIndex: number | null): string {
  return ruleIndex === null ? '' : String(ruleIndex + 1);
}
