import { groupsForApp } from '../domain/webhook-event.ts';
import { lossPercent } from '../membership/plan.ts';
import type { PlanCounts, PlannedMember } from '../membership/plan-types.ts';
import { type Change, isDone } from './declarative-change.ts';
import { type Cell, paintFor, printable, renderTable, type Screen } from './text-table.ts';

/** A membership that would change, with names for people. */
export interface ShownMember extends PlannedMember {
  readonly email: string | null;
  readonly workspaceSlug: string;
}

/** How a command ends that plans first. */
export type PlanOutcome = 'no_change' | 'planned' | 'applied' | 'failed';

export interface PlanPrinter {
  changes(changes: readonly Change[]): void;
  members(members: readonly ShownMember[]): void;
  summary(counts: PlanCounts): void;
  /** @param done what was done, if it was: with ids, and secrets that are shown this once */
  end(outcome: PlanOutcome, done?: { readonly changes: readonly Change[]; readonly membersChanged: number }): void;
}

/** One object, written as it comes: its size does not count against memory. */
export function createJsonPrinter(out: (text: string) => void): PlanPrinter {
  let separator = '';
  return {
    changes(changes) {
      out(`{"changes":${JSON.stringify(changes.map(changeDocument))},"members":[`);
    },
    members(members) {
      for (const member of members) {
        out(`${separator}${JSON.stringify(memberDocument(member))}`);
        separator = ',\n';
      }
    },
    summary(counts) {
      out(`],"summary":${JSON.stringify({ ...counts, loss_percent: lossPercent(counts) })}`);
    },
    end(outcome, done) {
      const result = done && {
        members_changed: done.membersChanged,
        created: done.changes.flatMap(({ subject, id }) => (id === undefined ? [] : [{ subject, id }])),
        secrets: done.changes.flatMap(({ subject, secret }) => (secret === undefined ? [] : [{ subject, secret }])),
      };
      out(`,"outcome":${JSON.stringify(outcome)}${result ? `,"result":${JSON.stringify(result)}` : ''}}\n`);
    },
  };
}

function changeDocument({ subject, action, detail }: Change) {
  return { subject, action, ...(detail === undefined ? {} : { detail }) };
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

const words = { created: 'created', changed: 'changed', removed: 'removed', none: 'no change' } as const;

/**
 * For people: gains green and losses red.
 * @param limit how many members are shown
 */
export function createTablePrinter(terminal: Screen, limit: number): PlanPrinter {
  const paint = paintFor(terminal);
  const paints = { created: paint.gain, changed: paint.strong, removed: paint.loss, none: (text: string) => text };
  const shown: ShownMember[] = [];
  let count = 0;

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
      count = changes.filter(isDone).length;
      for (const { subject, action, detail } of changes) {
        const text = `${words[action]}${detail === undefined ? '' : ` (${printable(detail)})`}`;
        terminal.out(`${printable(subject)}: ${paints[action](text)}\n`);
      }
    },
    members(members) {
      shown.push(...members.slice(0, Math.max(0, limit - shown.length)));
    },
    summary(counts) {
      const { examined, changed, gaining, losing, created, removed, unknown, admins } = counts;
      if (shown.length > 0) {
        terminal.out(`\n${renderTable(['workspace', 'user', 'role', 'gains', 'loses'], shown.map(row), paint)}`);
      }
      if (changed > shown.length) terminal.out(`… and ${changed - shown.length} more; --limit or --json shows them.\n`);
      if (examined === 0) return;
      const lines = [
        `${examined} examined, ${changed} would change: ${paint.gain(`${gaining} gain`)}, ${paint.loss(`${losing} lose`)} (${lossPercent(counts)} % of the members).`,
        `Access: ${created} would get it, ${removed} would lose it. Admins: ${admins.before} now, ${admins.after} then${admins.kept > 0 ? `, ${admins.kept} kept as the last` : ''}.`,
        ...(unknown > 0 ? [`${unknown} stay as they are: their groups are not known.`] : []),
      ];
      terminal.out(`\n${lines.join('\n')}\n`);
    },
    end(outcome, done) {
      if (outcome === 'no_change') terminal.out('No change.\n');
      else if (outcome === 'planned') terminal.out(`${counted(count)} would be made. Nothing was changed.\n`);
      if (!done) return;
      for (const { subject, id } of done.changes) if (id !== undefined) terminal.out(`${printable(subject)} has the id ${id}\n`);
      for (const { subject, secret } of done.changes) {
        if (secret !== undefined) terminal.out(`Secret of ${printable(subject)}, shown this once: ${secret}\n`);
      }
      const members = done.membersChanged === 0 ? '' : ` Members changed: ${done.membersChanged}.`;
      terminal.out(`${counted(count)} made.${members}\n`);
    },
  };
}

function names(groups: PlannedMember['added']): string {
  return groupsForApp(groups)
    .map(({ name }) => name)
    .join(', ');
}

function counted(count: number): string {
  return `${count} ${count === 1 ? 'change' : 'changes'}`;
}
