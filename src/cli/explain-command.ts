import { BrokerError } from '../domain/broker-error.ts';
import { explanationView, whyNotView } from '../http/routes/members.ts';
import type { Explanation } from '../membership/store.ts';
import type { WhyNot } from '../membership/why-not.ts';
import { createExplainWhyNot } from '../membership/why-not-store.ts';
import type { Stores } from '../stores.ts';
import { userIdOf } from './member-reference.ts';
import { reasonText } from './reason-text.ts';
import { paintFor, printable, renderTable, type Screen } from './text-table.ts';

export interface ExplainOptions {
  readonly workspace: string;
  readonly user: string;
  readonly group?: string;
  readonly json?: boolean;
}

/** R37 on a terminal. Throws `not_found`. */
export async function explainMember(
  options: ExplainOptions,
  { stores, terminal }: { readonly stores: Stores; readonly terminal: Screen },
): Promise<void> {
  const { db, ladder } = stores;
  const workspace = await stores.workspaces.find(options.workspace);
  if (!workspace) throw new BrokerError('not_found', `there is no workspace ${options.workspace}`);
  const { workspaceId } = workspace;
  const userId = await userIdOf(db, options.user);
  const explanation = await stores.memberships.explain(workspaceId, userId);
  const whyNot =
    options.group === undefined ? null : await createExplainWhyNot({ db, ladder })(workspaceId, userId, options.group);
  if (options.json) {
    const document = { ...explanationView(explanation), ...(whyNot ? { why_not: whyNotView(whyNot) } : {}) };
    terminal.out(`${JSON.stringify(document, null, 2)}\n`);
  } else {
    terminal.out(whyNot ? whyNotText(whyNot) : explanationText(explanation, terminal));
  }
}

function explanationText({ member, reasons, warnings, login }: Explanation, terminal: Screen): string {
  const paint = paintFor(terminal);
  const held = [member.role, ...member.groups.map(({ name }) => name)].join(', ');
  const lines = [
    `${paint.strong(printable(member.email ?? member.userId))}: ${member.status === 'active' ? printable(held) : 'no access'} (version ${member.version})`,
    `  by ${login.connection === null ? 'a change by hand' : `connection ${printable(login.connection)}`}, ${login.at.toISOString()}${login.loginId === null ? '' : `, login ${login.loginId}`}`,
  ];
  const table = reasons.length > 0 ? renderTable(['has', 'IdP group', 'because'], reasons.map(reasonText), paint) : '';
  const notes = warnings.map(({ kind, idpGroup }) => `note: ${kind} ${printable(JSON.stringify(idpGroup))}\n`);
  return `${lines.join('\n')}\n${table}${notes.join('')}`;
}

function whyNotText({ asked, kind, held, causes }: WhyNot): string {
  const named = printable(asked);
  if (held) return `The member has the ${kind} ${named}.\n`;
  return `Why not ${named}:\n${causes.map(({ message }) => `  - ${printable(message)}\n`).join('')}`;
}
