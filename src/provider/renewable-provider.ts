import { createProvider, type OpenIdProvider, type ProviderDeps } from './provider.ts';
import type { SigningKey } from './signing-keys.ts';

/**
 * A provider whose signing keys can be changed while it serves. The library takes its keys once, so another one is made around the
 * same store: all that a login leaves lies there, and one that is under way goes on.
 */
export function createRenewableProvider(
  deps: ProviderDeps,
): OpenIdProvider & { readonly useSigningKeys: (signingKeys: readonly SigningKey[]) => void } {
  let current = createProvider(deps);
  return {
    interaction: (req, res) => current.interaction(req, res),
    finishSignedIn: (req, res, login) => current.finishSignedIn(req, res, login),
    finishRefused: (req, res, refusal) => current.finishRefused(req, res, refusal),
    handler: (req, res) => current.handler(req, res),
    revokeUser: (userId) => current.revokeUser(userId),
    useSigningKeys(signingKeys) {
      current = createProvider({ ...deps, signingKeys });
    },
  };
}
