import { errors, type KoaContextWithOIDC } from 'oidc-provider';

/** What the app may add to an authorization request, to choose where its user signs in. */
export const extraParameters = ['workspace', 'connection'] as const;

// Both are looked up by slug or id, and an id is a UUID, which the form of a slug covers.
const name = /^[a-z0-9][a-z0-9-]{0,62}$/i;
const printable = /^[^\p{Cc}]*$/u;

/** Longest accepted values in characters. All of them are stored until the login ends, `state` and `nonce` for the app's sake. */
const maxCharacters: Readonly<Record<string, number>> = {
  state: 2_048,
  nonce: 1_024,
  id_token_hint: 8_192,
  redirect_uri: 2_048,
  login_hint: 320,
};
const maxCharactersOfOthers = 512;

/**
 * Runs after client and redirect URI were validated, so what it refuses goes back to the app as `invalid_request`.
 * @throws errors.InvalidRequest naming the parameter, without its value
 */
export function checkAuthorizationParameters({ oidc }: Pick<KoaContextWithOIDC, 'oidc'>): void {
  const parameters = Object.entries(oidc.params ?? {});
  for (const [parameter, value] of parameters) {
    if (typeof value === 'string' && value.length > (maxCharacters[parameter] ?? maxCharactersOfOthers)) {
      throw new errors.InvalidRequest(`${parameter} is too long`);
    }
  }
  for (const [parameter, value] of parameters) {
    if (value === undefined) continue;
    if (isExtra(parameter) && !(typeof value === 'string' && name.test(value))) {
      throw new errors.InvalidRequest(`${parameter} must be a slug or an id`);
    }
    if (parameter === 'login_hint' && !(typeof value === 'string' && printable.test(value))) {
      throw new errors.InvalidRequest('login_hint has characters that cannot be printed');
    }
  }
  // Without it nothing at all is granted, and the user would find that out after signing in.
  if (!oidc.requestParamScopes.has('openid')) throw new errors.InvalidScope('the scope openid is required', 'openid');
}

function isExtra(parameter: string): boolean {
  return extraParameters.some((extra) => extra === parameter);
}
