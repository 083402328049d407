import type { AllowedDomain, Connection, SyncTarget } from '../domain/connection.ts';
import type { ClaimSource, Groups } from '../domain/federated-identity.ts';
import { readGroups } from '../domain/group-claim.ts';
import { type AppGroup, fitsAppGroup, type GroupClaim, type GroupMapping, type RoleLadder } from '../domain/group-sync.ts';
import { uniqueId } from '../infra/unique-id.ts';
import type { VersionedCache } from '../infra/versioned-cache.ts';
import { type CompiledCatalogue, compileCatalogue } from '../mapping/catalogue.ts';
import { type CompiledMapping, compileMapping } from '../mapping/compile.ts';
import { resolveEntitlements } from '../mapping/resolve.ts';
import type { WorkspaceSync } from '../membership/decision.ts';
import { connectionForLoginOf, type LoginConnectionRow } from './connection-rows.ts';
import type { CatalogueDocument } from './sync-texts.ts';

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

/** A workspace's app groups, as they are and compiled. */
interface Catalogue {
  readonly groups: readonly AppGroup[];
  readonly compiled: CompiledCatalogue;
}

/** What a login reads: connections with compiled mappings and catalogues, cached by revision. */
export function createSyncContexts(deps: {
  readonly connections: VersionedCache<ConnectionContext>;
  readonly catalogues: VersionedCache<Catalogue>;
  readonly ladder: RoleLadder;
  readonly limits: SyncLimits;
  readonly now: () => Date;
}) {
  const { connections, catalogues, ladder, limits, now } = deps;

  return {
    connection: (connectionId: string) => connections.get(connectionId),
    /** A sync found that the catalogue had moved. */
    forgetCatalogue: (workspaceId: string) => catalogues.forget(workspaceId),

    /** The groups of one answer as one workspace reads them, and what they give there. */
    async syncOf(target: ConnectionContext['targets'][number], claims: readonly ClaimSource[]): Promise<WorkspaceSync> {
      const { workspaceId, workspaceSlug, groupSync: settings, mapping } = target;
      const groups = limited(readGroups(claims, settings.groupClaim), settings.groupClaim, limits);
      const names = settings.enabled && groups.state === 'known' ? groups.names : [];
      const { groups: appGroups, compiled } = (await catalogues.get(workspaceId)) ?? noCatalogue;
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

const noCatalogue = compiledCatalogue([]);

/** Of what `sync-texts.ts` reads. */
export function compiledConnection(row: LoginConnectionRow): ConnectionContext {
  const connection = connectionForLoginOf(row);
  // Workspaces that inherit the mapping share its compiled form.
  const compiled = new Map<GroupMapping, CompiledMapping>();
  const compile = (mapping: GroupMapping) => {
    const known = compiled.get(mapping) ?? compileMapping(mapping);
    compiled.set(mapping, known);
    return known;
  };
  const targets = connection.targets.map((target) => ({ ...target, mapping: compile(target.groupSync.mapping) }));
  return { connection, targets };
}

export function compiledCatalogue(document: CatalogueDocument): Catalogue {
  const groups = document.map(([groupId, name, requiresRole]) => ({ groupId, name, requiresRole }));
  return { groups, compiled: compileCatalogue(groups) };
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
