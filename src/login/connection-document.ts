import type { OidcSettings, SamlSettings } from '../domain/connection.ts';
import type { GroupMapping } from '../domain/group-sync.ts';
import { formatMappingText } from '../mapping/text-form.ts';
import type { StoredConnection } from './connection-rows.ts';

/**
 * A stored connection in the form in which it is written: parsing it again gives the same connection. Secrets stay out, and what
 * is left out stays as it is.
 */
export function connectionDocument(connection: StoredConnection) {
  const { groupSync } = connection;
  return {
    workspace: connection.workspaceId,
    display_name: connection.displayName,
    enabled: connection.enabled,
    is_default: connection.isDefault,
    just_in_time_provisioning: connection.justInTimeProvisioning,
    linking: connection.linking,
    protocol: connection.protocol.type === 'saml' ? samlDocument(connection.protocol) : oidcDocument(connection.protocol),
    group_sync: {
      enabled: groupSync.enabled,
      group_claim: {
        name: groupSync.groupClaim.name,
        delimiter: groupSync.groupClaim.delimiter,
        name_property: groupSync.groupClaim.nameProperty,
        truncation_limit: groupSync.groupClaim.truncationLimit,
      },
      mapping: mappingDocument(groupSync.mapping),
      no_match: groupSync.noMatch,
      unknown_groups: groupSync.unknownGroups,
      mode: groupSync.mode,
      create_missing_groups: groupSync.createMissingGroups,
      keep_last_admin: groupSync.keepLastAdmin,
    },
    sync_list: connection.syncList.map((entry) => ({
      workspace: entry.workspaceId,
      is_default: entry.isDefault,
      enabled: entry.enabled,
      claim_name: entry.claimName,
      mapping: entry.mapping && mappingDocument(entry.mapping),
    })),
  };
}

/** What the API shows of a connection: the document, and what only reading it tells. */
export function connectionView(connection: StoredConnection, publicUrl: string) {
  const { connectionId, protocol } = connection;
  const { protocol: protocolDocument, sync_list: syncList, ...document } = connectionDocument(connection);
  return {
    connection_id: connectionId,
    ...document,
    workspace_slug: connection.workspaceSlug,
    protocol: {
      ...protocolDocument,
      ...(protocol.type === 'saml'
        ? { metadata_xml: protocol.metadataXml }
        : { has_client_secret: protocol.sealedClientSecret !== null }),
    },
    mapping_text: formatMappingText(connection.groupSync.mapping.rules),
    sync_list: syncList.map((entry, index) => ({ ...entry, workspace_slug: connection.syncList[index]?.workspaceSlug ?? null })),
    /** What the IdP's administrator has to enter there. */
    identity_provider_setup:
      protocol.type === 'saml'
        ? {
            entity_id: `${publicUrl}/saml/${connectionId}/metadata`,
            metadata_url: `${publicUrl}/saml/${connectionId}/metadata`,
            acs_url: `${publicUrl}/saml/${connectionId}/acs`,
          }
        : { redirect_uri: `${publicUrl}/callback/${connectionId}` },
    version: connection.version,
    created_at: connection.createdAt.toISOString(),
    updated_at: connection.updatedAt.toISOString(),
  };
}

/** Metadata is given either as text or by its address. */
function samlDocument(settings: SamlSettings) {
  return {
    type: 'saml' as const,
    ...(settings.metadataUrl === null ? { metadata_xml: settings.metadataXml } : { metadata_url: settings.metadataUrl }),
    sign_authn_requests: settings.signAuthnRequests,
    authn_request_binding: settings.authnRequestBinding,
    name_id_format: settings.nameIdFormat,
    email_attribute: settings.emailAttribute,
    name_attribute: settings.nameAttribute,
    given_name_attribute: settings.givenNameAttribute,
    family_name_attribute: settings.familyNameAttribute,
    clock_skew_seconds: settings.clockSkewSeconds,
  };
}

function oidcDocument(settings: OidcSettings) {
  return {
    type: 'oidc' as const,
    discovery_url: settings.discoveryUrl,
    client_id: settings.clientId,
    scopes: settings.scopes,
    clock_skew_seconds: settings.clockSkewSeconds,
  };
}

function mappingDocument({ rules, oneToOne }: GroupMapping) {
  return { rules, one_to_one: oneToOne };
}
