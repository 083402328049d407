import type { DemoIdp } from './idp.ts';
import { appGroups, company, mappingText, workspace } from './scenario.ts';
import type { DemoSecrets } from './secrets.ts';

/** The demo as a declarative file would write it: one workspace, its own SAML connection, the instance's OpenID Connect one, the app. */
export function declarationOf(demo: {
  readonly idp: Pick<DemoIdp, 'samlMetadataXml' | 'oidcIssuer'>;
  readonly secrets: DemoSecrets;
  readonly webhookUrl: string;
  readonly redirectUri: string;
}): object {
  const { idp, secrets, webhookUrl, redirectUri } = demo;
  const groupSync = { enabled: true, group_claim: 'groups', mapping: mappingText };
  return {
    workspaces: [
      {
        slug: workspace.slug,
        display_name: workspace.displayName,
        app_groups: appGroups.map(({ name, requiresRole }) => ({ name, requires_role: requiresRole })),
      },
    ],
    connections: [
      {
        workspace: workspace.slug,
        display_name: 'SAML',
        protocol: { type: 'saml', metadata_xml: idp.samlMetadataXml, sign_authn_requests: true },
        group_sync: groupSync,
      },
      {
        display_name: 'OpenID Connect',
        is_default: true,
        protocol: {
          type: 'oidc',
          discovery_url: idp.oidcIssuer,
          client_id: 'rollcall',
          client_secret: secrets.idpClientSecret,
        },
        group_sync: groupSync,
        sync_list: [{ workspace: workspace.slug, is_default: true }],
      },
    ],
    clients: [
      {
        client_id: 'demo-app',
        client_secret: secrets.clientSecret,
        name: `${company.name} demo app`,
        redirect_uris: [redirectUri],
        post_logout_redirect_uris: [new URL('/', redirectUri).href],
      },
    ],
    endpoints: [{ url: webhookUrl, description: 'Demo app', secret: secrets.webhookSecret }],
  };
}
