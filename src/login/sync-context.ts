import type { AllowedDomain, Connection, SyncTarget } from '../domain/connection.ts';
import type { ClaimSource, Groups } from '../domain/federated-identity.ts';
import { readGroups } from '../domain/group-claim.ts';
import { type AppGroup, fitsAppGroup, type GroupClaim, type GroupMapping, type RoleLadder } from '../domain/group-sync.ts';
import { createCache } from '../infra/cache.ts';
import { uniqueId } from '../infra/unique-id.ts';
import { type CompiledCatalogue, compileCatalogue } from '../mapping/catalogue.ts';
import { type CompiledMapping, compileMapping } from '../mapping/compile.ts';
import { resolveEntitlements } from '../mapping/resolve.ts';
import type { WorkspaceSync } from '../membership/decision.ts';

/** A connection with everything that its logins need, compiled. */
export interface ConnectionContext {
  readonly connection: Connection & { readonly allowedDomains: readonly AllowedDomain[] };
  readonly targets: readonly (SyncTarget & { readonly mapping: CompiledMapping })[];
}

export interface SyncLimits {
  readonly maxGroupsPerLogin: number;
  readonly maxGroupNameCharacters: number;
}

export type SyncContexts = ReturnType<typeof createSyncContexts>;

/** What a login reads: connections with compiled mappings and catalogues, cached in process for `cacheSeconds` at the most. */
export function createSyncContexts(deps: {
  readonly loadForLogin: (
    connectionId: string,
  ) => Promise<(ConnectionContext['connection'] & { readonly targets: readonly SyncTarget[] }) | null>;
  readonly loadCatalogue: (workspaceId: string) => Promise<readonly AppGroup[]>;
  readonly ladder: RoleLadder;
  readonly limits: SyncLimits;
  readonly cacheSeconds: number;
  readonly now: () => Date;
}) {
  const { ladder, limits, now } = deps;
  const connections = createCache<ConnectionContext | null>({
    maxEntries: 10_000,
    ttlSeconds: deps.cacheSeconds,
    async load(connectionId) {
      const connection = await deps.loadForLogin(connectionId);
      if (!connection) return null;
      // Workspaces that inherit the mapping share its compiled form.
      const compiled = new Map<GroupMapping, CompiledMapping>();
      const compile = (mapping: GroupMapping) => {
        const known = compiled.get(mapping) ?? compileMapping(mapping);
        compiled.set(mapping, known);
        return known;
      };
      const targets = connection.targets.map((target) => ({ ...target, mapping: compile(target.groupSync.mapping) }));
      return { connection, targets };
    },
  });
  const catalogues = createCache<{ readonly groups: readonly AppGroup[]; readonly compiled: CompiledCatalogue }>({
    maxEntries: 10_000,
    ttlSeconds: deps.cacheSeconds,
    async load(workspaceId) {
      const groups = await deps.loadCatalogue(workspaceId);
      return { groups, compiled: compileCatalogue(groups) };
    },
  });

  return {
    connection: (connectionId: string) => connections.get(connectionId),
    /** After a change made by this process, or when a sync found that the catalogue had moved. */
    forgetConnection: (connectionId: string) => connections.forget(connectionId),
    forgetCatalogue: (workspaceId: string) => catalogues.forget(workspaceId),

    /** The groups of one answer as one workspace reads them, and what they give there. */
    async syncOf(target: ConnectionContext['targets'][number], claims: readonly ClaimSource[]): Promise<WorkspaceSync> {
      const { workspaceId, workspaceSlug, groupSync: settings, mapping } = target;
      const groups = limited(readGroups(claims, settings.groupClaim), settings.groupClaim, limits);
      const names = settings.enabled && groups.state === 'known' ? groups.names : [];
      const { groups: appGroups, compiled } = await catalogues.get(workspaceId);
      const entitlements = resolveEntitlements({ mapping, catalogue: compiled, ladder, groups: names });
      const sync = { workspaceId, workspaceSlug, settings, groups, entitlements, newGroups: [] };
      const missing = settings.createMissingGroups ? entitlements.missingTargets.filter(fitsAppGroup) : [];
      if (missing.length === 0) return sync;
      const newGroups = missing.map((name) => ({ groupId: uniqueId(now()), name, requiresRole: null }));
      const catalogue = compileCatalogue([...appGroups, ...newGroups]);
      return { ...sync, newGroups, entitlements: resolveEntitlements({ mapping, catalogue, ladder, groups: names }) };
    },
  };
}

/** Groups beyond what Rollcall reads and stores count as unknown (R25): a part of them must not pass for the whole. */
function limited(groups: Groups, claim: GroupClaim, limits: SyncLimits): Groups {
  if (groups.state === 'unknown') return groups;
  const unknown = (detail: string): Groups => ({ state: 'unknown', reason: 'malformed', detail: `${claim.name}: ${detail}` });
  if (groups.names.length > limits.maxGroupsPerLogin) return unknown(`more than ${limits.maxGroupsPerLogin} groups`);
  if (groups.names.some((name) => name.length > limits.maxGroupNameCharacters)) {
    return unknown(`a name of more than ${limits.maxGroupNameCharacters} characters`);
  }
  if (!groups.names.every(isStorable)) return unknown('a name with a NUL or half a surrogate pair');
  return groups;
}

/** Postgres stores neither NUL nor lone surrogates; replacing them would make two names one. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}
