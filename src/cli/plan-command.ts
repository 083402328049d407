import { dirname, resolve } from 'node:path';
import { groupsForApp } from '../domain/webhook-event.ts';
import type { Transaction } from '../infra/postgres.ts';
import { inSnapshot, lossPercent, previewChange } from '../membership/plan.ts';
import type { PlanCounts, PlannedMember, Touched } from '../membership/plan-types.ts';
import type { Stores } from '../stores.ts';
import { placed, reportOf, textOf } from './apply-command.ts';
import { type ApplyDeps, type Change, prepareConnections, writeDeclaration } from './declarative-apply.ts';
import { readDeclaration } from './declarative-file.ts';
import type { Declaration } from './declarative-schema.ts';
import { type Cell, paintFor, renderTable, type Screen } from './text-table.ts';

interface ShownMember extends PlannedMember {
  readonly email: string | null;
  readonly workspaceSlug: string;
}

/**
 * What a declarative file would change, and for whom, by the groups last seen; takes everything back.
 * @throws DeclarationError, BrokerError
 */
export async function planFile(
  options: { readonly file: string; readonly limit: number; readonly json: boolean },
  deps: {
    readonly stores: Stores;
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly allowHttp: boolean;
    readonly now: () => Date;
    readonly terminal: Screen;
  },
): Promise<void> {
  const { file, limit, json } = options;
  const { stores, env, allowHttp, now, terminal } = deps;
  const read = readDeclaration({ text: await textOf(file), fileName: file, folder: dirname(resolve(file)), env, allowHttp });
  const applyDeps: ApplyDeps = { ...stores, roles: stores.ladder, now };
  const printer = json ? createJsonPrinter(terminal.out) : createTablePrinter(terminal, limit);
  try {
    const prepared = await prepareConnections(read.declaration, applyDeps);
    await inSnapshot(stores.db, async (tx) => {
      const write = async (trial: Transaction) => {
        const changes = await writeDeclaration(trial, read.declaration, prepared, applyDeps);
        printer.changes(changes);
        return touchedBy(trial, read.declaration);
      };
      const sink = async (members: readonly PlannedMember[]) => printer.members(await withNames(tx, members));
      const { counts } = await previewChange(tx, write, { ladder: stores.ladder, sink });
      printer.summary(counts);
    });
  } catch (error) {
    throw placed(error, read, file);
  }
}

/** Everything that the file names; what stays as it is has no effect. */
async function touchedBy(trial: Transaction, declaration: Declaration): Promise<Touched> {
  const slugs = declaration.workspaces.flatMap(({ slug, app_groups: groups }) => (groups.length > 0 ? [slug] : []));
  const workspaceIds = await trial('workspaces').whereIn('slug', slugs).pluck<string[]>('workspace_id');
  const names = declaration.connections.map(({ display_name: displayName }) => displayName);
  const connectionIds = await trial('connections').whereIn('display_name', names).pluck<string[]>('connection_id');
  return { connectionIds, workspaceIds, deletedGroupIds: [] };
}

async function withNames(tx: Transaction, members: readonly PlannedMember[]): Promise<readonly ShownMember[]> {
  if (members.length === 0) return [];
  const users = await tx('users')
    .whereIn(
      'user_id',
      members.map(({ userId }) => userId),
    )
    .select<{ user_id: string; email: string | null }[]>('user_id', 'email');
  const workspaces = await tx('workspaces')
    .whereIn('workspace_id', [...new Set(members.map(({ workspaceId }) => workspaceId))])
    .select<{ workspace_id: string; slug: string }[]>('workspace_id', 'slug');
  const emails = new Map(users.map((user) => [user.user_id, user.email]));
  const slugs = new Map(workspaces.map((workspace) => [workspace.workspace_id, workspace.slug]));
  return members.map((member) => ({
    ...member,
    email: emails.get(member.userId) ?? null,
    workspaceSlug: slugs.get(member.workspaceId) ?? member.workspaceId,
  }));
}

interface Printer {
  changes(changes: readonly Change[]): void;
  members(members: readonly ShownMember[]): void;
  summary(counts: PlanCounts): void;
}

/** One object, written as it comes: its size does not count against memory. */
function createJsonPrinter(out: (text: string) => void): Printer {
  let separator = '';
  return {
    changes(changes) {
      const shown = changes.map(({ subject, action, detail }) => ({
        subject,
        action,
        ...(detail === undefined ? {} : { detail }),
      }));
      out(`{"changes":${JSON.stringify(shown)},"members":[`);
    },
    members(members) {
      for (const member of members) {
        out(`${separator}${JSON.stringify(memberDocument(member))}`);
        separator = ',\n';
      }
    },
    summary(counts) {
      out(`],"summary":${JSON.stringify({ ...counts, loss_percent: lossPercent(counts) })}}\n`);
    },
  };
}

function memberDocument(member: ShownMember) {
  return {
    workspace: member.workspaceSlug,
    user: { id: member.userId, email: member.email },
    type: member.type,
    role: { before: member.roleBefore, after: member.roleAfter },
    added: groupsForApp(member.added),
    removed: groupsForApp(member.removed),
    admin: member.admin,
  };
}

function createTablePrinter(terminal: Screen, limit: number): Printer {
  const paint = paintFor(terminal);
  const shown: ShownMember[] = [];
  const names = (groups: PlannedMember['added']) =>
    groupsForApp(groups)
      .map(({ name }) => name)
      .join(', ');
  const row = (member: ShownMember): Cell[] => {
    const { roleBefore, roleAfter, admin } = member;
    const role = roleBefore === roleAfter ? (roleAfter ?? '') : `${roleBefore ?? 'none'} -> ${roleAfter ?? 'none'}`;
    const mark = admin === null ? '' : admin === 'kept' ? ' (last admin, kept)' : '';
    const losesRole = member.loses && roleBefore !== roleAfter && !(member.gains && member.removed.length > 0);
    return [
      member.workspaceSlug,
      member.email ?? member.userId,
      roleBefore === roleAfter ? `${role}${mark}` : { text: role, paint: losesRole ? paint.loss : paint.gain },
      { text: names(member.added), paint: paint.gain },
      { text: names(member.removed), paint: paint.loss },
    ];
  };
  return {
    changes(changes) {
      terminal.out(reportOf(changes, true));
    },
    members(members) {
      shown.push(...members.slice(0, Math.max(0, limit - shown.length)));
    },
    summary(counts) {
      const { examined, changed, gaining, losing, created, removed, unknown, admins } = counts;
      if (shown.length > 0)
        terminal.out(`\n${renderTable(['workspace', 'user', 'role', 'gains', 'loses'], shown.map(row), paint)}`);
      if (changed > shown.length) terminal.out(`… and ${changed - shown.length} more; --limit or --json shows them.\n`);
      const lines = [
        `${examined} examined, ${changed} would change: ${paint.gain(`${gaining} gain`)}, ${paint.loss(`${losing} lose`)} (${lossPercent(counts)} % of the members).`,
        `Access: ${created} would get it, ${removed} would lose it. Admins: ${admins.before} now, ${admins.after} then${admins.kept > 0 ? `, ${admins.kept} kept as the last` : ''}.`,
        ...(unknown > 0 ? [`${unknown} stay as they are: their groups are not known.`] : []),
        'Nothing was changed.',
      ];
      terminal.out(`\n${lines.join('\n')}\n`);
    },
  };
}
