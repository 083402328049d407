import { BrokerError, type BrokerErrorCode } from '../domain/broker-error.ts';
import type { Connection } from '../domain/connection.ts';
import type { FederatedIdentity } from '../domain/federated-identity.ts';
import type { Log } from '../infra/log.ts';
import { uniqueId } from '../infra/unique-id.ts';
import type { LoginSync, SyncResult } from '../membership/apply.ts';
import type { WorkspaceSync } from '../membership/decision.ts';
import type { RelyingParty } from '../oidc/relying-party.ts';
import type { ServiceProvider } from '../saml/service-provider.ts';
import { checkEmailDomain, linkByEmailOf, refusedIdentity } from './linking.ts';
import type { PendingLogin, PendingLoginStore } from './pending-login-store.ts';
import { type RecordRefusal, type RefusedLogin, refusalFrom } from './refusal.ts';
import { type ConnectionContext, isStorable, type SyncContexts } from './sync-context.ts';
import { type PassedCheck, traceDetail } from './trace.ts';

/** An IdP's answer as it came in at the edge. */
export interface LoginAnswer {
  readonly connectionId: string;
  /** RelayState or `state` as sent back; empty if the IdP sent none. */
  readonly pendingId: string;
  /** Value of the cookie that binds the login to its browser. */
  readonly browserToken: string | undefined;
}

/** `interactionUid` of a refusal is null if the answer belongs to no login of this browser. */
export type LoginResult =
  | { readonly kind: 'signed_in'; readonly interactionUid: string; readonly loginId: string }
  | RefusedLogin;

interface VerifiedAnswer {
  readonly identity: FederatedIdentity;
  readonly checks: readonly PassedCheck[];
  /** What did not hinder the login and may explain its result. */
  readonly notes?: readonly string[];
}

/**
 * One login from the IdP's answer to the committed membership: pending login -> verification -> single use -> mapping -> membership with
 * its events and trace. Every way out leaves a trace under `loginId`, the reference that people see.
 */
export function createLoginCompletion(deps: {
  readonly pendingLogins: PendingLoginStore;
  readonly contexts: SyncContexts;
  readonly serviceProvider: ServiceProvider;
  readonly relyingParty: RelyingParty;
  readonly applyLogin: (login: LoginSync) => Promise<SyncResult>;
  /** R35, R36. */
  readonly licence: { refusal(): BrokerError | null; announceLimit(): Promise<void> };
  readonly recordRefusal: RecordRefusal;
  readonly log: Log;
  readonly onChange: () => void;
  readonly onOutcome: (protocol: 'saml' | 'oidc', outcome: 'signed_in' | BrokerErrorCode) => void;
  readonly now: () => Date;
}) {
  const { pendingLogins, contexts, now } = deps;

  return {
    completeSaml(answer: LoginAnswer & { readonly samlResponse: string }): Promise<LoginResult> {
      return complete('saml', answer, async (connection, { expectation }) => {
        if (connection.protocol.type !== 'saml' || expectation.type !== 'saml') throw wrongProtocol();
        const { connectionId, version, protocol: settings } = connection;
        const { requestId } = expectation;
        return deps.serviceProvider.completeResponse(
          { connectionId, version, settings },
          { samlResponse: answer.samlResponse, requestId },
        );
      });
    },

    completeOidc(answer: LoginAnswer & { readonly callbackUrl: URL }): Promise<LoginResult> {
      return complete('oidc', answer, async (connection, { expectation }, groupClaimNames) => {
        if (connection.protocol.type !== 'oidc' || expectation.type !== 'oidc') throw wrongProtocol();
        const { connectionId, version, protocol: settings } = connection;
        const identity = await deps.relyingParty.completeCallback(
          { connectionId, version, settings },
          { callbackUrl: answer.callbackUrl, state: answer.pendingId, pending: expectation, groupClaimNames },
        );
        return { identity, checks: identity.checks, notes: identity.notes };
      });
    },
  };

  async function complete(
    protocol: 'saml' | 'oidc',
    answer: LoginAnswer,
    verify: (connection: Connection, pending: PendingLogin, groupClaimNames: readonly string[]) => Promise<VerifiedAnswer>,
  ): Promise<LoginResult> {
    const loginId = uniqueId(now());
    const { connectionId, pendingId } = answer;
    let pending: PendingLogin | null = null;
    let identity: FederatedIdentity | null = null;
    try {
      pending = await pendingLogins.peek(pendingId, connectionId, answer.browserToken);
      const context = await contexts.connection(connectionId);
      if (!context) throw new BrokerError('not_found', 'the connection does not exist', { reason: 'no_connection' });
      const { connection, targets } = context;
      if (!connection.enabled) throw new BrokerError('connection_disabled', `connection ${connectionId} is disabled`);

      const claimNames = targets.flatMap(({ groupSync }) => (groupSync.enabled ? [groupSync.groupClaim.name] : []));
      const verified = await verify(connection, pending, [...new Set(claimNames)]);
      const { checks, notes = [] } = verified;
      identity = storable(verified.identity);
      const unlicensed = deps.licence.refusal();
      if (unlicensed) throw unlicensed;
      await pendingLogins.consume(pendingId);
      checkEmailDomain(connection.allowedDomains, identity.profile);

      const result = await syncOnce(connection, identity, targets, (workspaces) => ({
        loginId,
        detail: traceDetail(protocol, { checks, notes }, workspaces),
      }));
      if (result.changed) deps.onChange();
      if (result.refusal) throw new SyncRefusal(result.refusal);
      await pendingLogins.saveOutcome(pending.interactionUid, {
        kind: 'signed_in',
        userId: result.userId,
        connectionId,
        loginId,
        authenticatedAt: identity.authenticatedAt ?? now(),
      });
      deps.onOutcome(protocol, 'signed_in');
      return { kind: 'signed_in', interactionUid: pending.interactionUid, loginId };
    } catch (thrown) {
      const error = thrown instanceof SyncRefusal ? thrown.refusal : refusalFrom(thrown);
      deps.onOutcome(protocol, error.code);
      const interactionUid = pending?.interactionUid ?? null;
      if (pending && error.code === 'licence_limit_reached') await announceLimit(loginId);
      return deps.recordRefusal(
        {
          loginId,
          connectionId,
          interactionUid,
          traced: thrown instanceof SyncRefusal,
          identity: refusedIdentity(error, identity),
        },
        error,
      );
    }
  }

  /** Maps and applies; once more if the catalogue moved between the two. */
  async function syncOnce(
    connection: ConnectionContext['connection'],
    identity: FederatedIdentity,
    targets: ConnectionContext['targets'],
    trace: (workspaces: readonly WorkspaceSync[]) => { loginId: string; detail: object },
    retry = true,
  ): Promise<SyncResult> {
    const workspaces = await Promise.all(targets.map((target) => contexts.syncOf(target, identity.claims)));
    const { loginId, detail } = trace(workspaces);
    const { connectionId, justInTimeProvisioning } = connection;
    const lastGroups = knownGroups(workspaces);
    try {
      return await deps.applyLogin({
        loginId,
        connectionId,
        justInTimeProvisioning,
        link: linkByEmailOf(connection, connection.allowedDomains, identity.profile),
        identity,
        workspaces,
        lastGroups,
        traceDetail: detail,
      });
    } catch (error) {
      if (!retry || !(error instanceof BrokerError) || error.reason !== 'catalogue_moved') throw error;
      for (const { workspaceId } of workspaces) contexts.forgetCatalogue(workspaceId);
      return syncOnce(connection, identity, targets, trace, false);
    }
  }

  /** The person gets the page, whether or not the event can be stored now. */
  async function announceLimit(loginId: string): Promise<void> {
    await deps.licence
      .announceLimit()
      .catch((err: unknown) => deps.log.warn({ loginId, err }, 'the licence limit could not be announced'));
  }
}

/** A refusal that was committed together with its trace (R22 `deny`). */
class SyncRefusal extends Error {
  readonly refusal: BrokerError;
  constructor(refusal: BrokerError) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

/** The identity as Postgres can hold it: a subject that cannot be stored exactly might become somebody else's, so it is refused. */
function storable(identity: FederatedIdentity): FederatedIdentity {
  if (!isStorable(identity.subject) || !isStorable(identity.issuer)) {
    throw new BrokerError('assertion_rejected', 'the subject is not valid text', { reason: 'subject_invalid' });
  }
  const { profile } = identity;
  const text = (value: string | null) => (value !== null && isStorable(value) ? value : null);
  return {
    ...identity,
    profile: {
      email: text(profile.email),
      emailVerified: profile.emailVerified,
      name: text(profile.name),
      givenName: text(profile.givenName),
      familyName: text(profile.familyName),
    },
  };
}

function knownGroups(workspaces: readonly WorkspaceSync[]): Record<string, readonly string[]> | null {
  const entries = workspaces.flatMap(({ settings, groups }) =>
    groups.state === 'known' ? [[settings.groupClaim.name, groups.names] as const] : [],
  );
  return entries.length > 0 ? Object.fromEntries(entries) : null;
}

function wrongProtocol(): BrokerError {
  return new BrokerError('login_expired', 'the answer is of another protocol than the login that was started', {
    reason: 'other_protocol',
  });
}
