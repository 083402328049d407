const standardScopes = ['openid', 'email', 'profile'] as const;

/**
 * The scopes to ask for (R14). Configured ones are taken as they are, with `openid`, without which there is no ID token. None configured:
 * the standard ones, and `groups`, unless the IdP publishes its scopes and `groups` is not among them; Entra ID, Google and Keycloak
 * refuse the whole request for an unknown scope (RFC 6749 4.1.2.1 `invalid_scope`).
 * @param supported `scopes_supported` of the discovery document
 */
export function scopesFor(configured: readonly string[], supported: readonly string[] | undefined): readonly string[] {
  if (configured.length > 0) return [...new Set(['openid', ...configured])];
  const groupsUnknown = Array.isArray(supported) && !supported.includes('groups');
  return groupsUnknown ? standardScopes : [...standardScopes, 'groups'];
}
