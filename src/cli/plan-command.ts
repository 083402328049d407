import type { Transaction } from '../infra/postgres.ts';
import { inSnapshot, previewChange } from '../membership/plan.ts';
import type { PlannedMember } from '../membership/plan-types.ts';
import type { Stores } from '../stores.ts';
import { placed, readPrepared } from './apply-command.ts';
import { writeDeclaration } from './declarative-apply.ts';
import { isDone } from './declarative-change.ts';
import { createJsonPrinter, createTablePrinter, type ShownMember } from './plan-printer.ts';
import type { Screen } from './text-table.ts';

/**
 * What a declarative file would change, and for whom, by the groups last seen; takes everything back.
 * @throws DeclarationError, BrokerError
 */
export async function planFile(
  options: { readonly file: string; readonly limit: number; readonly json: boolean; readonly prune: boolean },
  deps: {
    readonly stores: Stores;
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly allowHttp: boolean;
    readonly now: () => Date;
    readonly terminal: Screen;
  },
): Promise<void> {
  const { file, limit, json } = options;
  const { stores, terminal } = deps;
  const { read, prepared, applyDeps } = await readPrepared(options, deps);
  const printer = json ? createJsonPrinter(terminal.out) : createTablePrinter(terminal, limit);
  try {
    await inSnapshot(stores.db, async (tx) => {
      let nothing = true;
      const write = async (trial: Transaction) => {
        const { changes, touched } = await writeDeclaration(trial, prepared, applyDeps);
        nothing = !changes.some(isDone);
        printer.changes(changes);
        return touched;
      };
      const sink = async (members: readonly PlannedMember[]) => printer.members(await withNames(tx, members));
      const { counts } = await previewChange(tx, write, { ladder: stores.ladder, sink });
      printer.summary(counts);
      printer.end(nothing ? 'no_change' : 'planned');
    });
  } catch (error) {
    throw placed(error, read, file);
  }
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
