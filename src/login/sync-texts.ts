import { z } from 'zod';
import type { GroupMapping, GroupSyncSettings } from '../domain/group-sync.ts';
import type { Database } from '../infra/postgres.ts';
import { isUniqueId } from '../infra/unique-id.ts';
import { type LoginConnectionRow, selectConnectionForLogin } from './connection-rows.ts';

/**
 * What logins go by, as JSON texts with their revisions: as Postgres gives them, as Redis keeps them. Overrides stand in them as they are
 * stored, so that ten thousand workspaces that inherit one mapping do not carry it ten thousand times.
 */

interface Found {
  readonly revision: string;
  readonly text: string | null;
}

/**
 * The inner statement runs only for another revision than the one that is known. Both see one moment. Index: connections_pkey and those
 * of `selectConnectionForLogin`.
 */
const selectConnectionText = `
  SELECT now.revision, row_to_json(login)::text AS text
  FROM connections now LEFT JOIN LATERAL (
    ${selectConnectionForLogin.replace('c.connection_id = ?', 'c.connection_id = now.connection_id')}
      AND now.revision IS DISTINCT FROM :known::uuid
  ) AS login ON true
  WHERE now.connection_id = :id`;

/** Index: workspaces_pkey, app_groups_pkey. */
const selectCatalogueText = `
  SELECT w.catalogue_revision AS revision, CASE WHEN w.catalogue_revision IS DISTINCT FROM :known::uuid THEN (
    SELECT coalesce(json_agg(json_build_array(group_id, name, requires_role) ORDER BY group_id), '[]')::text
    FROM app_groups WHERE workspace_id = w.workspace_id) END AS text
  FROM workspaces w WHERE w.workspace_id = :id`;

/** @param known a revision whose text the caller has: it is not sent again */
export function readConnectionText(db: Database, id: string, known: string | null): Promise<Found | null> {
  return readText(db, selectConnectionText, id, known);
}

export function readCatalogueText(db: Database, id: string, known: string | null): Promise<Found | null> {
  return readText(db, selectCatalogueText, id, known);
}

async function readText(db: Database, statement: string, id: string, known: string | null): Promise<Found | null> {
  if (!isUniqueId(id)) return null;
  const { rows } = await db.raw<{ rows: Found[] }>(statement, { id, known: known !== null && isUniqueId(known) ? known : null });
  return rows[0] ?? null;
}

/** Names of the texts in Redis, with the number of their form: raise it with the form. */
export const textNames = { connection: 'connection-1', catalogue: 'catalogue-1' } as const;

/**
 * What a text of Redis must look like. Loose where Postgres adds columns in time; what is here is what a login reads. A text opens only
 * if this instance sealed it (`infra/shared-texts.ts`): this guards against one of another version.
 */
const mapping: z.ZodType<GroupMapping> = z.object({
  rules: z.array(z.object({ from: z.string(), match: z.enum(['exact', 'glob', 'regex']), to: z.string() })),
  oneToOne: z.boolean(),
});
const nullableText = z.string().nullable();
const groupSync: z.ZodType<GroupSyncSettings> = z.object({
  enabled: z.boolean(),
  groupClaim: z.object({
    name: z.string(),
    delimiter: nullableText,
    nameProperty: nullableText,
    truncationLimit: z.number().nullable(),
  }),
  mapping,
  noMatch: z.enum(['fallback', 'deny', 'keep']),
  unknownGroups: z.enum(['hold', 'treat-as-empty', 'deny']),
  mode: z.enum(['authoritative', 'managed-only']),
  createMissingGroups: z.boolean(),
  keepLastAdmin: z.boolean(),
});
const protocol = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('saml'),
    metadataXml: z.string(),
    signAuthnRequests: z.boolean(),
    authnRequestBinding: z.enum(['redirect', 'post']),
    clockSkewSeconds: z.number(),
  }),
  z.object({
    type: z.literal('oidc'),
    discoveryUrl: z.string(),
    clientId: z.string(),
    sealedClientSecret: nullableText,
    scopes: z.array(z.string()),
    clockSkewSeconds: z.number(),
  }),
]);
const connectionShape = z.object({
  connection_id: z.string(),
  workspace_id: nullableText,
  display_name: z.string(),
  enabled: z.boolean(),
  protocol,
  group_sync: groupSync,
  just_in_time_provisioning: z.boolean(),
  linking: z.enum(['none', 'verified-email']),
  version: z.number(),
  workspace_active: z.boolean(),
  targets: z.array(
    z.object({
      workspaceId: z.string(),
      workspaceSlug: z.string(),
      isDefault: z.boolean(),
      claimName: nullableText,
      mapping: mapping.nullable(),
    }),
  ),
  allowed_domains: z.array(z.object({ domain: z.string(), verified: z.boolean() })),
});
const catalogueShape = z.array(z.tuple([z.string(), z.string(), nullableText]));

export function isConnectionDocument(document: unknown): document is LoginConnectionRow {
  return connectionShape.safeParse(document).success;
}

export type CatalogueDocument = readonly (readonly [groupId: string, name: string, requiresRole: string | null])[];

export function isCatalogueDocument(document: unknown): document is CatalogueDocument {
  return catalogueShape.safeParse(document).success;
}
