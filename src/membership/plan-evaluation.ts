import type { RoleLadder } from '../domain/group-sync.ts';
import type { Membership } from '../domain/membership.ts';
import type { Transaction } from '../infra/postgres.ts';
import { compileCatalogue } from '../mapping/catalogue.ts';
import { keepLastAdmin, type StoredMembership } from './decision.ts';
import { createTally, effectOf, type Tally } from './plan-effect.ts';
import { laidOver, type Overlay } from './plan-overlay.ts';
import type { Departure, PlanCounts, PlannedMember } from './plan-types.ts';
import { nextState, type Outcome, reevaluateMember } from './reevaluate.ts';
import { type Compiler, createCompiler } from './reevaluation-compiler.ts';
import { type ConnectionInForce, readConnectionsInForce, readMembers } from './reevaluation-store.ts';

const membersPerPage = 1_000;

/**
 * What everyone of the overlay's workspaces would get by the groups last seen (R39). Pages over the users, so that memory does not
 * grow with them.
 * @param sink takes the memberships that would change, a page at a time
 */
export async function evaluatePlan(
  tx: Transaction,
  overlay: Overlay,
  { ladder, sink }: { readonly ladder: RoleLadder; readonly sink: (members: readonly PlannedMember[]) => Promise<void> },
): Promise<PlanCounts> {
  const tally = createTally();
  const compile = createCompiler();
  for (const workspaceId of overlay.workspaceIds) {
    await evaluateWorkspace(tx, workspaceId, { overlay, ladder, sink, tally, compile });
  }
  return tally.counts;
}

interface Run {
  readonly overlay: Overlay;
  readonly ladder: RoleLadder;
  readonly sink: (members: readonly PlannedMember[]) => Promise<void>;
  readonly tally: Tally;
  readonly compile: Compiler;
}

async function evaluateWorkspace(tx: Transaction, workspaceId: string, run: Run): Promise<void> {
  const { overlay, ladder, sink, tally, compile } = run;
  const connections = laidOver(await readConnectionsInForce(tx, workspaceId), workspaceId, overlay);
  const stored = await compile.workspace(tx, workspaceId);
  const groups = overlay.catalogues.get(workspaceId);
  const catalogue = groups ? compileCatalogue(groups) : stored.catalogue;
  const given = { workspaceId, workspaceSlug: stored.workspaceSlug, catalogue, connections, compile, ladder };
  const admins = await countAdmins(tx, workspaceId, ladder[0]);
  tally.admins(admins);
  const demotions = createDemotions(admins, ladder);
  const leaving = (overlay.touched.departures ?? []).filter((departure) => departure.workspaceId === workspaceId);
  const holders = { workspaceId, groupIds: groups ? overlay.touched.deletedGroupIds : [], leaving };
  const deleted = new Set(holders.groupIds);

  for await (const userIds of pagesOfUsers(tx, connections, holders)) {
    const members = await readMembers(tx, workspaceId, userIds, { connections, everyone: true });
    const withAccess = members.filter(({ membership }) => membership?.status === 'active').length;
    const departing = await readDeparting(tx, holders, userIds);
    let unknown = 0;
    const effects: PlannedMember[] = [];
    for (const member of members) {
      // Its membership is ended first; another connection that knows the user may give one anew.
      const departs = departing.has(member.user.userId);
      const basis = departs ? endedMembership(member.membership) : member.membership;
      const outcome = reevaluateMember({ ...member, membership: basis }, given);
      if (!outcome && !departs) unknown += 1;
      const next = withoutGroups(deleted, (outcome && nextState(outcome)) ?? basis);
      const effect = next && effectOf(member, next, ladder);
      if (effect) effects.push(...demotions.pass({ outcome, effect, active: member.user.status === 'active', departs }));
    }
    tally.examine(members.length, withAccess, unknown);
    for (const effect of effects) tally.add(effect);
    await sink(effects);
  }
  const { effect, kept } = demotions.last();
  if (kept) tally.keepAdmin();
  if (!effect) return;
  tally.add(effect);
  await sink([effect]);
}

/**
 * R30: of all who would lose the highest role, the last one keeps it if nobody else is left to have it. That one is held back until
 * the workspace has been seen as a whole.
 */
function createDemotions(adminsBefore: number, ladder: RoleLadder) {
  interface Step {
    readonly outcome: Outcome | null;
    readonly effect: PlannedMember;
    readonly active: boolean;
    /** Nobody whose membership ends keeps the role. */
    readonly departs: boolean;
  }
  let admins = adminsBefore;
  let waiting: Step | null = null;
  return {
    /** The effects that are certain by now. */
    pass(step: Step): readonly PlannedMember[] {
      const { effect, active, departs } = step;
      if (active && effect.admin === 'gains') admins += 1;
      if (!active || effect.admin !== 'loses') return [effect];
      admins -= 1;
      if (departs) return [effect];
      const before = waiting;
      waiting = step;
      return before ? [before.effect] : [];
    },
    last(): { readonly effect: PlannedMember | null; readonly kept: boolean } {
      if (!waiting) return { effect: null, kept: false };
      const { outcome, effect } = waiting;
      if (admins > 0 || !outcome?.sync.settings.keepLastAdmin) return { effect, kept: false };
      const next = nextState({ ...outcome, decision: keepLastAdmin(outcome.decision, ladder) });
      const kept = next && effectOf(outcome.member, next, ladder);
      return { effect: kept && { ...kept, admin: 'kept' }, kept: true };
    },
  };
}

function withoutGroups(deleted: ReadonlySet<string>, next: Omit<Membership, 'version'> | null) {
  return next && deleted.size > 0 ? { ...next, groups: next.groups.filter(({ groupId }) => !deleted.has(groupId)) } : next;
}

function endedMembership(membership: StoredMembership | null): StoredMembership | null {
  return membership && { ...membership, groups: [], status: 'removed' };
}

/** Those of a page whose membership the change itself ends. Index: memberships_pkey. */
async function readDeparting(
  tx: Transaction,
  { workspaceId, leaving = [] }: GroupHolders,
  userIds: readonly string[],
): Promise<ReadonlySet<string>> {
  if (leaving.length === 0) return new Set();
  const { rows } = await tx.raw<{ rows: { user_id: string }[] }>(
    `SELECT m.user_id FROM memberships m
      WHERE m.workspace_id = :workspaceId AND m.status = 'active' AND m.user_id = ANY (:userIds::uuid[])
        AND (:everyone OR m.connection_id = ANY (:connectionIds::uuid[]))`,
    { workspaceId, userIds: [...userIds], ...departureBindings(leaving) },
  );
  return new Set(rows.map(({ user_id }) => user_id));
}

function departureBindings(leaving: readonly Departure[]) {
  const connectionIds = leaving.flatMap(({ connectionId }) => (connectionId === null ? [] : [connectionId]));
  return { everyone: leaving.some(({ connectionId }) => connectionId === null), connectionIds };
}

export interface GroupHolders {
  readonly workspaceId: string;
  readonly groupIds: readonly string[];
  readonly leaving?: readonly Departure[];
}

/** Users whom one of the connections knows, holders of the groups, and members who leave, each once, in the order of their ids. */
export async function* pagesOfUsers(
  tx: Transaction,
  connections: ReadonlyMap<string, ConnectionInForce>,
  holders: GroupHolders,
): AsyncGenerator<readonly string[]> {
  for (let after: string | null = null; ; ) {
    const page = { connectionIds: [...connections.keys()], holders, after, limit: membersPerPage };
    const userIds: readonly string[] = await nextUsers(tx, page);
    if (userIds.length > 0) yield userIds;
    if (userIds.length < membersPerPage) return;
    after = userIds.at(-1) ?? null;
  }
}

/** Indexes: identities_by_connection_user; memberships_pkey where groups are deleted or members leave. */
export async function nextUsers(
  tx: Transaction,
  page: {
    readonly connectionIds: readonly string[];
    readonly holders: GroupHolders;
    readonly after: string | null;
    readonly limit: number;
  },
): Promise<readonly string[]> {
  const { connectionIds, holders, after, limit } = page;
  const { leaving = [] } = holders;
  const { everyone, connectionIds: leftConnectionIds } = departureBindings(leaving);
  const { rows } = await tx.raw<{ rows: { user_id: string }[] }>(
    `SELECT DISTINCT user_id FROM (
       SELECT known.user_id FROM unnest(:connectionIds::uuid[]) AS c (connection_id), LATERAL (
         SELECT DISTINCT i.user_id FROM identities i
          WHERE i.connection_id = c.connection_id AND i.user_id > :after::uuid ORDER BY i.user_id LIMIT :limit) AS known
       UNION ALL (
         SELECT m.user_id FROM memberships m
          WHERE :anyOfThem AND m.workspace_id = :workspaceId AND m.user_id > :after::uuid AND m.status = 'active'
            AND (m.group_ids && :groupIds::uuid[] OR :everyone OR m.connection_id = ANY (:leftConnectionIds::uuid[]))
          ORDER BY m.user_id LIMIT :limit)) AS users
      ORDER BY user_id LIMIT :limit`,
    {
      connectionIds: [...connectionIds],
      workspaceId: holders.workspaceId,
      groupIds: [...holders.groupIds],
      anyOfThem: holders.groupIds.length > 0 || leaving.length > 0,
      everyone,
      leftConnectionIds,
      after: after ?? '00000000-0000-0000-0000-000000000000',
      limit,
    },
  );
  return rows.map(({ user_id }) => user_id);
}

/** Index: memberships_by_role. */
async function countAdmins(tx: Transaction, workspaceId: string, highestRole: string): Promise<number> {
  const { rows } = await tx.raw<{ rows: { admins: string }[] }>(
    `SELECT count(*) AS admins FROM memberships m JOIN users u ON u.user_id = m.user_id AND u.status = 'active'
      WHERE m.workspace_id = ? AND m.role = ? AND m.status = 'active'`,
    [workspaceId, highestRole],
  );
  return Number(rows[0]?.admins ?? 0);
}
