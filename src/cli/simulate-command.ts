import { BrokerError } from '../domain/broker-error.ts';
import { simulationView } from '../http/routes/simulate.ts';
import { createSimulate, type Simulation } from '../membership/simulate.ts';
import type { Stores } from '../stores.ts';
import { findConnection } from './connection-reference.ts';
import { userIdOf } from './member-reference.ts';
import { reasonText } from './reason-text.ts';
import { paintFor, printable, renderTable, type Screen } from './text-table.ts';

export interface SimulateOptions {
  readonly connection: string;
  readonly workspace?: string;
  readonly groups?: readonly string[];
  readonly user?: string;
  readonly json?: boolean;
}

/** R38 on a terminal. Throws `not_found`, `validation_failed`. */
export async function simulateLogin(
  options: SimulateOptions,
  { stores, terminal }: { readonly stores: Stores; readonly terminal: Screen },
): Promise<void> {
  if ((options.groups === undefined) === (options.user === undefined)) {
    throw new BrokerError('validation_failed', 'give either --groups or --user');
  }
  const { db, ladder } = stores;
  const connection = await findConnection(stores, options.connection);
  const served =
    connection.workspaceId === null ? connection.syncList.map(({ workspaceId }) => workspaceId) : [connection.workspaceId];
  const wanted = options.workspace === undefined ? null : await stores.workspaces.find(options.workspace);
  const workspaceIds = options.workspace === undefined ? served : served.filter((id) => id === wanted?.workspaceId);
  if (workspaceIds.length === 0) throw new BrokerError('not_found', 'the connection serves no such workspace');
  const given = options.user === undefined ? { groups: options.groups ?? [] } : { userId: await userIdOf(db, options.user) };
  const simulations = await createSimulate({ db, ladder })({ connectionId: connection.connectionId, workspaceIds, given });
  if (options.json) terminal.out(`${JSON.stringify({ data: simulations.map(simulationView) }, null, 2)}\n`);
  else terminal.out(simulations.map((simulation) => textOf(simulation, terminal)).join('\n'));
}

const outcomes = {
  mapping: 'by the mapping',
  no_matching_group: 'no group matches',
  groups_unknown: 'the groups are not known',
  group_sync_off: 'group sync is off',
  last_admin: 'the last admin keeps the role',
} as const;
const decisions = { grant: 'gets', hold: 'keeps', deny: 'is refused' } as const;

function textOf(simulation: Simulation, terminal: Screen): string {
  const { workspaceSlug, decision, because, role, groups, reasons, warnings, current } = simulation;
  const paint = paintFor(terminal);
  const access = (held: { role: string | null; groups: readonly { name: string }[] }) =>
    printable([held.role ?? 'no access', ...held.groups.map(({ name }) => name)].join(', '));
  const lines = [
    `${paint.strong(workspaceSlug)}: ${decisions[decision]} ${decision === 'deny' ? '' : access({ role, groups })} (${outcomes[because]})`,
    ...(current ? [`  now: ${access(current)}`] : []),
  ];
  const rows = reasons.map((reason) => ['', ...reasonText(reason)]);
  const table = rows.length > 0 ? renderTable(['', 'has', 'IdP group', 'because'], rows, paint) : '';
  const notes = warnings.map((warning) => `  note: ${warning.kind} ${printable(JSON.stringify(warning.idpGroup))}\n`);
  return `${lines.join('\n')}\n${table}${notes.join('')}`;
}
