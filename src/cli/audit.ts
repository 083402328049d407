import type { AuditStore, AuditSubject } from '../http/audit-store.ts';
import type { Database } from '../infra/postgres.ts';
import type { Change } from './declarative-apply.ts';

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
    recordDeclared({ subject: named, action, detail }: Change, tx: Database): Promise<void> {
      const after = { subject: named, action, ...(detail !== undefined && { detail }) };
      return audit.record(subject('rollcall apply', resourceOf(named), null, null), { outcome: 'done', after }, tx);
    },
  };
}

const resources: Readonly<Record<string, string>> = {
  workspace: 'workspaces',
  app: 'app-groups',
  connection: 'connections',
  client: 'clients',
  endpoint: 'endpoints',
};

/** A subject begins with what it is: `workspace acme`. */
function resourceOf(subject: string): string {
  const [word = ''] = subject.split(' ', 1);
  return resources[word] ?? word;
}
