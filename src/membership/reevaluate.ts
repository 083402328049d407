import type { Groups } from '../domain/federated-identity.ts';
import type { RoleLadder } from '../domain/group-sync.ts';
import type { MembershipData, WebhookEvent } from '../domain/webhook-event.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import type { CompiledCatalogue } from '../mapping/catalogue.ts';
import type { CompiledMapping } from '../mapping/compile.ts';
import { resolveEntitlements } from '../mapping/resolve.ts';
import { appendEvents } from '../outbox/append.ts';
import { decideMembership, keepLastAdmin, type MembershipDecision, type WorkspaceSync, wouldDemoteAdmin } from './decision.ts';
import { diffMembership } from './diff.ts';
import { membershipEvent, syncHeldEvent } from './events.ts';
import { syncFingerprint } from './fingerprint.ts';
import { columnsOf, type NextState, stateAfter } from './next-state.ts';
import { type Compiler, createCompiler } from './reevaluation-compiler.ts';
import * as store from './reevaluation-store.ts';

const membersPerTransaction = 500;

export interface Reevaluation {
  readonly workspaceId: string;
  /** Whoever of them is no active member of the workspace is passed over. */
  readonly userIds: readonly string[];
  readonly cause: 'api' | 'plan';
  /** Also users without an active membership whom a connection of the workspace knows: what a login would give them. */
  readonly everyone?: boolean;
}

export interface ReevaluationResult {
  readonly examined: number;
  /** Members of whom an event tells, each once. */
  readonly changed: number;
  /** Members left as they are because their groups are not known (R25). */
  readonly unknown: number;
}

export type ReevaluateMembers = (reevaluation: Reevaluation) => Promise<ReevaluationResult>;

/**
 * Brings members in line with mapping, catalogue and settings as they are now, going by the groups last seen at a login (R39). In
 * batches, each one transaction with its events: an interrupted run has done some members completely and the others not at all, and
 * a run that is repeated tells only of those.
 *
 * Where the last groups are not known the membership stays as it is, whatever the policy for logins says (law 6), and app groups are
 * never created here.
 */
export function createReevaluateMembers(deps: {
  readonly db: Database;
  readonly ladder: RoleLadder;
  readonly now: () => Date;
}): ReevaluateMembers {
  const { db, ladder, now } = deps;
  return async function reevaluateMembers({ workspaceId, userIds, cause }) {
    const compile = createCompiler();
    const total = { examined: 0, changed: 0, unknown: 0 };
    for (let at = 0; at < userIds.length; at += membersPerTransaction) {
      const batch = { workspaceId, userIds: userIds.slice(at, at + membersPerTransaction), cause };
      const done = await db.transaction((tx) => reevaluateBatch(tx, batch, { ladder, compile, now: now() }));
      total.examined += done.examined;
      total.changed += done.changed;
      total.unknown += done.unknown;
    }
    return total;
  };
}

export interface ReevaluationContext {
  readonly ladder: RoleLadder;
  /** Shared by the batches of one run, so that each mapping and each state of the catalogue is compiled once. */
  readonly compile: Compiler;
  readonly now: Date;
}

/** One batch within the caller's transaction, for callers who record their progress in it. */
export async function reevaluateBatch(
  tx: Transaction,
  { workspaceId, userIds, cause, everyone = false }: Reevaluation,
  { ladder, compile, now }: ReevaluationContext,
): Promise<ReevaluationResult> {
  await store.lockUsers(tx, userIds);
  const workspace = await compile.workspace(tx, workspaceId);
  const connections = await store.readConnectionsInForce(tx, workspaceId);
  const members = await store.readMembers(tx, workspaceId, userIds, { connections, everyone });
  const given = { workspaceId, ...workspace, connections, compile, ladder };
  const outcomes = members.flatMap((member) => reevaluateMember(member, given) ?? []);
  const decided = await withLastAdmin(tx, outcomes, workspaceId, ladder);

  const events: WebhookEvent[] = [];
  const records: store.ReevaluatedRecord[] = [];
  for (const outcome of decided) {
    const { record, told } = carryOut(outcome, cause, now);
    if (record) records.push(record);
    events.push(...told);
  }
  await store.saveReevaluated(tx, workspaceId, records, now);
  await appendEvents(tx, events, { now });
  const changed = new Set(events.map(({ userId }) => userId)).size;
  return { examined: members.length, changed, unknown: members.length - outcomes.length };
}

/** What a login with the groups last seen would say; null: they are not known. Pure. */
export function syncOfLastGroups(
  last: Pick<store.ConnectionInForce, 'settings' | 'protocol'> & Pick<store.LastLogin, 'groups'>,
  given: {
    readonly workspaceId: string;
    readonly workspaceSlug: string;
    readonly mapping: CompiledMapping;
    readonly catalogue: CompiledCatalogue;
    readonly ladder: RoleLadder;
  },
): WorkspaceSync | null {
  const { workspaceId, workspaceSlug, ladder, ...compiled } = given;
  const { settings } = last;
  const names =
    last.groups && Object.hasOwn(last.groups, settings.groupClaim.name) ? last.groups[settings.groupClaim.name] : null;
  if (!names) return null;
  const groups: Groups = { state: 'known', names, source: last.protocol === 'saml' ? 'saml_attributes' : 'id_token' };
  const entitlements = resolveEntitlements({ ...compiled, ladder, groups: settings.enabled ? names : [] });
  return { workspaceId, workspaceSlug, settings, groups, entitlements, newGroups: [] };
}

export interface Outcome {
  readonly member: store.MemberToReevaluate;
  readonly sync: WorkspaceSync;
  readonly decision: MembershipDecision;
}

/** What the groups last seen decide for one member, before the last admin is considered; null: they decide nothing. Pure. */
export function reevaluateMember(
  member: store.MemberToReevaluate,
  given: {
    readonly workspaceId: string;
    readonly workspaceSlug: string;
    readonly catalogue: CompiledCatalogue;
    readonly connections: ReadonlyMap<string, store.ConnectionInForce>;
    readonly compile: Pick<Compiler, 'mapping'>;
    readonly ladder: RoleLadder;
  },
): Outcome | null {
  const { lastLogin, membership } = member;
  const { connections, compile, ...workspace } = given;
  const connection = lastLogin && connections.get(lastLogin.connectionId);
  // R12: while sync is off nothing is applied, and so nobody is let in.
  if (!connection || (membership?.status !== 'active' && !connection.settings.enabled)) return null;
  const mapping = compile.mapping(workspace.workspaceId, connection);
  const sync = syncOfLastGroups({ ...connection, groups: lastLogin.groups }, { ...workspace, mapping });
  return sync && { member, sync, decision: decideMembership(membership, sync, workspace.ladder) };
}

/** R30: if carrying all of it out leaves the workspace without an admin, one of those who would lose the role keeps it. */
async function withLastAdmin(
  tx: Transaction,
  outcomes: readonly Outcome[],
  workspaceId: string,
  ladder: RoleLadder,
): Promise<readonly Outcome[]> {
  const losing = outcomes.filter(({ member, decision }) => wouldDemoteAdmin(member.membership, decision, ladder));
  if (!losing.some(({ sync }) => sync.settings.keepLastAdmin)) return outcomes;
  const losers = losing.map(({ member }) => member.user.userId);
  if (await store.hasAdminBeside(tx, workspaceId, losers, ladder[0])) return outcomes;
  const kept = losing.findLast(({ member }) => member.user.status === 'active') ?? losing.at(-1);
  return outcomes.map((outcome) =>
    outcome === kept && kept.sync.settings.keepLastAdmin
      ? { ...outcome, decision: keepLastAdmin(outcome.decision, ladder) }
      : outcome,
  );
}

/** What is to be stored for one member, and what is told about it. Pure. */
function carryOut(
  outcome: Outcome,
  kind: Reevaluation['cause'],
  now: Date,
): { readonly record: store.ReevaluatedRecord | null; readonly told: readonly WebhookEvent[] } {
  const { member, sync, decision } = outcome;
  const { membership, user, lastLogin } = member;
  const connectionId = lastLogin?.connectionId ?? null;
  const cause: MembershipData['cause'] = { kind, connection_id: connectionId, login_id: null };
  const context = { user, cause, now };
  const held = decision.kind === 'deny' ? null : decision.held;
  const next = nextState(outcome);
  const change = next && diffMembership(membership, next);
  const version = change?.next.version ?? membership?.version ?? 0;
  const told: WebhookEvent[] = change ? [membershipEvent(change, sync, context)] : [];
  if (held) told.push(syncHeldEvent(held, version, sync, context));
  if (!next || connectionId === null) return { record: null, told };
  const record = {
    user_id: user.userId,
    ...columnsOf(next, version, decision),
    connection_id: connectionId,
    fingerprint: held || decision.kind === 'deny' ? null : syncFingerprint(sync),
  };
  return { record, told };
}

/** Null: the membership stays as it is, or there is none. Pure. */
export function nextState({ member, sync: { workspaceId }, decision }: Outcome): NextState | null {
  return stateAfter(decision, member.membership, { workspaceId, userId: member.user.userId });
}
