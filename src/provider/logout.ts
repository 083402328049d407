import { hash } from 'node:crypto';
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Revocation } from './revocation.ts';

/**
 * RP-initiated logout ends what Rollcall gave the app. Tokens do not hang on a session (usually there is none), so the grants are
 * revoked here: that of the login which `id_token_hint` names by its `sid`, and those of the session if one ends.
 */
export function createLogoutRevocation(revocation: Pick<Revocation, 'revokeGrant' | 'revokeGrantKey'>) {
  return async function revokeOnLogout(ctx: LogoutContext, next: () => Promise<unknown>): Promise<void> {
    await next();
    const { oidc, status } = ctx;
    if (!oidc) return;
    // The hint is set before it is verified, the client only after; an error ends with another status.
    if (oidc.route === 'end_session' && oidc.client && status === 200) {
      const sid = oidc.entities.IdTokenHint?.payload.sid;
      if (typeof sid === 'string') await revocation.revokeGrantKey(sid);
    }
    if (oidc.route === 'end_session_confirm' && status === 303) {
      const { session } = oidc;
      const ended = session && 'destroyed' in session ? Object.values(session.authorizations ?? {}) : [];
      await Promise.all(ended.map(({ grantId }) => grantId !== undefined && revocation.revokeGrant(grantId)));
    }
  };
}

/** Without `oidc`: an address that the provider does not have. */
interface LogoutContext {
  readonly oidc?: KoaContextWithOIDC['oidc'];
  readonly status: number;
}

/** Signs out by itself if the app proved which user it means; else asks, so that no foreign page can sign a user out. */
export function showLogoutConfirmation(ctx: KoaContextWithOIDC, form: string): void {
  const { oidc } = ctx;
  const proved = oidc.client !== undefined && oidc.entities.IdTokenHint?.payload.sub === oidc.session?.accountId;
  const buttons = `<button type="submit" form="op.logoutForm" name="logout" value="yes" autofocus>Sign out</button>`;
  if (!proved) {
    const stay = `<button type="submit" form="op.logoutForm" class="quiet">Stay signed in</button>`;
    show(ctx, 'Do you want to sign out?', `${form}<p>You can then sign in again, also as somebody else.</p>${buttons}${stay}`);
    return;
  }
  allowScript(ctx);
  show(ctx, 'Signing you out', `${form}<p>One moment.</p>${buttons}<script>${submitScript}</script>`);
}

export function showSignedOut(ctx: KoaContextWithOIDC): void {
  show(ctx, 'You are signed out', '<p>You can close this page, or go back to the application and sign in again.</p>');
}

// `requestSubmit` sends the button along, which `submit` does not: it carries the user's choice.
const submitScript = `document.getElementById('op.logoutForm').requestSubmit(document.querySelector('button[name=logout]'))`;
const submitScriptSource = `'sha256-${hash('sha256', submitScript, 'base64')}'`;

function allowScript(ctx: KoaContextWithOIDC): void {
  const policy = ctx.response.get('Content-Security-Policy');
  ctx.set('Content-Security-Policy', policy.replace(/script-src[^;]*/, `script-src ${submitScriptSource}`));
}

/** Takes markup, not text: nothing that a request brought along may go in. */
function show(ctx: KoaContextWithOIDC, title: string, body: string): void {
  ctx.type = 'html';
  ctx.body = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${title}</title>
<style>
:root { color-scheme: light dark; --ground: #f3f4f8; --card: #fff; --ink: #1b1f2a; --line: #dfe2ea; --accent: #3f4fd0; --accent-ink: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12141b; --card: #1b1e28; --ink: #eceef4; --line: #323746; --accent: #9aa6ff; --accent-ink: #12141b }
}
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--ground); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif }
main { box-sizing: border-box; width: 100%; max-width: 28rem; padding: 2.25rem 2rem; background: var(--card); border: 1px solid var(--line); border-radius: 1rem }
h1 { margin: 0 0 .5rem; font-size: 1.4rem; line-height: 1.3 }
p { margin: 0 0 1rem }
button { font: inherit; font-weight: 600; padding: .7rem 1.1rem; margin-right: .6rem; border: 1px solid transparent; border-radius: .7rem; background: var(--accent); color: var(--accent-ink); cursor: pointer }
button.quiet { background: none; color: inherit; border-color: var(--line) }
</style></head><body><main><h1>${title}</h1>${body}</main></body></html>`;
}
