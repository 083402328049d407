import type { BrokerError } from '../domain/broker-error.ts';
import type { WorkspaceSync } from '../membership/decision.ts';
import type { LoginTraceRow } from '../membership/login-store.ts';

/** A named check that the IdP's answer passed, with its section of the specification. */
export interface PassedCheck {
  readonly name: string;
  readonly section: string;
}

/** What an administrator reads about a login that was verified: where the groups stood and what each workspace made of them. */
export function traceDetail(
  protocol: 'saml' | 'oidc',
  { checks, notes }: { readonly checks: readonly PassedCheck[]; readonly notes: readonly string[] },
  workspaces: readonly WorkspaceSync[],
): object {
  return {
    protocol,
    checks: checks.map(({ name }) => name),
    ...(notes.length > 0 && { notes }),
    workspaces: workspaces.map(({ workspaceId, settings, groups, entitlements }) => ({
      workspace_id: workspaceId,
      group_sync: settings.enabled ? 'on' : 'off',
      claim: settings.groupClaim.name,
      groups:
        groups.state === 'known'
          ? { state: 'known', found_in: groups.source, count: groups.names.length }
          : { state: 'unknown', reason: groups.reason, detail: groups.detail },
      role: entitlements.role,
      group_count: entitlements.groups.length,
      warnings: entitlements.warnings.length,
    })),
  };
}

/** The trace of a login that was refused before or while it was synced. */
export function refusedTrace(
  login: { loginId: string; connectionId: string | null },
  error: BrokerError,
  now: Date,
  identity: { readonly subject: string; readonly issuer: string } | null = null,
): LoginTraceRow {
  return {
    loginId: login.loginId,
    connectionId: login.connectionId,
    userId: null,
    outcome: error.code,
    reason: error.reason ?? null,
    // An internal error's message may quote data; its log line has the rest.
    detail: error.code === 'internal' ? {} : { message: error.message, ...(identity && { identity }) },
    occurredAt: now,
  };
}
