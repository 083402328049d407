import type { GroupSyncSettings } from './group-sync.ts';

/** Trust in one IdP. `workspaceId` null: instance level, serving the workspaces on its sync list (R3). */
export interface Connection {
  readonly connectionId: string;
  readonly workspaceId: string | null;
  readonly displayName: string;
  readonly enabled: boolean;
  readonly protocol: SamlSettings | OidcSettings;
  readonly groupSync: GroupSyncSettings;
  /** R31: off refuses users that are not known yet. */
  readonly justInTimeProvisioning: boolean;
  /** R33: whether a first login may belong to a known person, by e-mail address. `none`: connection and subject alone say who it is. */
  readonly linking: 'none' | 'verified-email';
  /** Grows by one with each change of the row or of its sync list. */
  readonly version: number;
}

/** An e-mail domain that a connection speaks for (R33). `verified`: it is this connection's own, so its IdP vouches for the addresses. */
export interface AllowedDomain {
  readonly domain: string;
  readonly verified: boolean;
}

export interface SamlSettings {
  readonly type: 'saml';
  /** IdP metadata, as pasted or as last fetched from `metadataUrl`. */
  readonly metadataXml: string;
  readonly metadataUrl: string | null;
  /** Sign AuthnRequests with the instance's SAML key, whatever the IdP's metadata wants. */
  readonly signAuthnRequests: boolean;
  readonly authnRequestBinding: 'redirect' | 'post';
  readonly nameIdFormat: string | null;
  /** Attribute names tried in order; empty: the well-known names of Okta, Entra ID, Google and Keycloak. */
  readonly emailAttribute: string | null;
  readonly nameAttribute: string | null;
  readonly givenNameAttribute: string | null;
  readonly familyNameAttribute: string | null;
  /** Tolerated difference between the clocks, in seconds. */
  readonly clockSkewSeconds: number;
}

export interface OidcSettings {
  readonly type: 'oidc';
  /** Issuer, or the address of its `.well-known/openid-configuration`. */
  readonly discoveryUrl: string;
  readonly clientId: string;
  /** Sealed by `infra/sealed-box`; opened only where the token request is made. Null: public client. */
  readonly sealedClientSecret: string | null;
  /** Empty: `openid email profile groups` (R14). */
  readonly scopes: readonly string[];
  readonly clockSkewSeconds: number;
}

/** A workspace that a connection syncs, with the settings in force for it: inherited ones and the workspace's overrides (R8, R9). */
export interface SyncTarget {
  readonly workspaceId: string;
  readonly workspaceSlug: string;
  readonly isDefault: boolean;
  readonly groupSync: GroupSyncSettings;
}
