import { BrokerError } from '../domain/broker-error.ts';
import type { AppGroup } from '../domain/group-sync.ts';
import type { Transaction } from '../infra/postgres.ts';
import { type CompiledCatalogue, compileCatalogue } from '../mapping/catalogue.ts';
import { type CompiledMapping, compileMapping } from '../mapping/compile.ts';
import type { ConnectionInForce } from './reevaluation-store.ts';

export type Compiler = ReturnType<typeof createCompiler>;

export interface CompiledWorkspace {
  readonly workspaceSlug: string;
  readonly catalogue: CompiledCatalogue;
}

/**
 * What one run over many members compiles once: each mapping, and each workspace's catalogue for as long as its version stands.
 * @param withoutGroupId leaves an app group out that is about to be deleted
 */
export function createCompiler({ withoutGroupId = null }: { readonly withoutGroupId?: string | null } = {}) {
  const mappings = new Map<string, { readonly compiled: CompiledMapping; readonly version: number }>();
  const workspaces = new Map<string, CompiledWorkspace & { readonly version: string }>();

  return {
    /** The mapping in force for a workspace at a connection; any change of either raises the connection's version. */
    mapping(workspaceId: string, { connectionId, version, settings }: ConnectionInForce): CompiledMapping {
      const key = `${workspaceId}:${connectionId}`;
      const known = mappings.get(key);
      if (known?.version === version) return known.compiled;
      const compiled = compileMapping(settings.mapping);
      mappings.set(key, { compiled, version });
      return compiled;
    },

    /** @throws BrokerError `not_found` */
    async workspace(tx: Transaction, workspaceId: string): Promise<CompiledWorkspace> {
      const row = await tx('workspaces')
        .where({ workspace_id: workspaceId })
        .first<{ slug: string; catalogue_version: string } | undefined>('slug', 'catalogue_version');
      if (!row) throw new BrokerError('not_found', 'there is no such workspace');
      const compiled = workspaces.get(workspaceId);
      if (compiled?.version === row.catalogue_version) return compiled;
      const groups: AppGroup[] = await tx('app_groups')
        .where({ workspace_id: workspaceId })
        .select('group_id as groupId', 'name', 'requires_role as requiresRole');
      const fresh = {
        workspaceSlug: row.slug,
        catalogue: compileCatalogue(groups.filter(({ groupId }) => groupId !== withoutGroupId)),
        version: row.catalogue_version,
      };
      workspaces.set(workspaceId, fresh);
      return fresh;
    },
  };
}
