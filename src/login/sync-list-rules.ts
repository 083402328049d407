import { BrokerError } from '../domain/broker-error.ts';

/** What the rules of a sync list look at. */
export interface ListedWorkspace {
  readonly workspaceId: string;
  readonly workspaceSlug: string;
  readonly isDefault: boolean;
  readonly enabled: boolean;
  /** No override of its own. */
  readonly inherits: boolean;
}

/**
 * R6, R11: a workspace may leave the sync while another one stays enabled.
 * @throws BrokerError `conflict`
 */
export function checkNotLast(list: readonly ListedWorkspace[], workspaceId: string, path: string): void {
  const leaving = list.find((entry) => entry.workspaceId === workspaceId);
  if (leaving && !leaving.enabled) return;
  if (list.some((entry) => entry.workspaceId !== workspaceId && entry.enabled)) return;
  throw refusal('last_enabled_workspace', path, 'at least one workspace stays enabled for group sync; enable another one first');
}

/**
 * R7: the default workspace leaves only when another one takes its place, one that is enabled and inherits the configuration.
 * @param successor id or slug, as the request names it
 * @returns the id of the new default; null: the workspace that leaves was not the default
 * @throws BrokerError `conflict`
 */
export function chooseSuccessor(
  list: readonly ListedWorkspace[],
  workspaceId: string,
  successor: string | undefined,
): string | null {
  const leaving = list.find((entry) => entry.workspaceId === workspaceId);
  if (!leaving?.isDefault) return null;
  const path = 'default_workspace';
  if (successor === undefined) {
    throw refusal(
      'default_workspace',
      path,
      'this is the default workspace: name another one of the sync list that inherits the configuration',
    );
  }
  const next = list.find((entry) => entry.workspaceId === successor || entry.workspaceSlug === successor);
  if (!next || next === leaving) throw refusal('successor_not_listed', path, 'name another workspace of the sync list');
  if (!next.enabled) throw refusal('successor_disabled', path, 'the workspace named is switched off in the sync list');
  if (!next.inherits) {
    throw refusal('successor_overrides', path, 'the workspace named overrides the configuration; reset it to inherited first');
  }
  return next.workspaceId;
}

function refusal(reason: string, path: string, message: string): BrokerError {
  return new BrokerError('conflict', message, { reason, fields: [{ path, message }] });
}
