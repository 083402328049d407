import { decodeJwt } from 'jose';
import { errors, interactionPolicy, type KoaContextWithOIDC } from 'oidc-provider';
import type { SessionRules } from './session-rules.ts';

type Context = Pick<KoaContextWithOIDC, 'oidc'>;

/**
 * One prompt, `login`, and no consent: the app and Rollcall belong to the same operator. The IdP is asked at every login (R26):
 * only a result that belongs to this very request counts, or a session if the operator set a lifetime.
 */
export function createInteractionPolicy(sessions: Pick<SessionRules, 'answers'>): interactionPolicy.Prompt[] {
  const { Check, Prompt } = interactionPolicy;
  const freshLogin = new Check('fresh_login', 'the user has to sign in', 'login_required', ({ oidc }: Context) => {
    return oidc.result?.login === undefined && !sessions.answers(oidc);
  });
  const sameUser = new Check('id_token_hint', 'another user is signed in', 'login_required', ({ oidc }: Context) => {
    const hinted = hintedUser(oidc);
    if (hinted === undefined || hinted === oidc.session?.accountId) return false;
    // OpenID Connect Core 3.1.2.1. Asking again would end at the same user of the same IdP, for ever.
    if (oidc.result?.login) throw new errors.LoginRequired('another user signed in than id_token_hint names');
    return true;
  });
  return [new Prompt({ name: 'login', requestable: true }, freshLogin, sameUser)];
}

/** The library verifies the hint of the request; when the request resumes, the hint comes from the store and is not read again. */
function hintedUser({ entities, params, result }: Context['oidc']): unknown {
  if (entities.IdTokenHint) return entities.IdTokenHint.payload.sub;
  const hint = params?.id_token_hint;
  return result?.login && typeof hint === 'string' ? decodeJwt(hint).sub : undefined;
}
