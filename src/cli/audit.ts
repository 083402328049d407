import type { AuditStore, AuditSubject } from '../http/audit-store.ts';
import type { Database } from '../infra/postgres.ts';
import type { Change } from './declarative-change.ts';

/** The audit log of the command line: who is logged in at the terminal, and which command. */
export function createCommandAudit(deps: {
  readonly audit: Pick<AuditStore, 'record'>;
  readonly env: Readonly<Record<string, string | undefined>>;
}) {
  const { audit, env } = deps;
  const subject = (action: string, resource: string, resourceId: string | null, workspaceId: string | null): AuditSubject => ({
    actor: { kind: 'command_line', id: env.USER ?? env.LOGNAME ?? null },
    action,
    resource,
    resourceId,
    workspaceId,
    requestId: null,
  });

  return {
    /** One change of a command, after it was made. */
    record(change: {
      readonly action: string;
      readonly resource: string;
      readonly resourceId?: string | null;
      readonly workspaceId?: string | null;
      readonly before?: unknown;
      readonly after?: unknown;
    }): Promise<void> {
      const { action, resource, resourceId = null, workspaceId = null, before, after } = change;
      return audit.record(subject(action, resource, resourceId, workspaceId), { outcome: 'done', before, after });
    },

    /** A change of a declarative file, in its transaction. */
    async recordDeclared({ audit: about }: Change, tx: Database): Promise<void> {
      if (about === undefined) return;
      const { resource, resourceId, workspaceId, before, after } = about;
      const done = { outcome: 'done', before, after } as const;
      await audit.record(subject('rollcall apply', resource, resourceId, workspaceId), done, tx);
    },
  };
}
