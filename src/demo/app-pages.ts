import { type Html, html } from '../http/html.ts';
import type { AppMembership, SignedIn } from './app-claims.ts';
import type { Explanation, Grant } from './app-explanation.ts';
import type { CopiedMember } from './app-member-copy.ts';
import { webhookSection } from './app-webhook-list.ts';
import type { WebhookInbox } from './app-webhooks.ts';
import { noticeBody, renderPage, type Site } from './page.ts';

export const site: Site = { key: 'app', name: 'Fieldnotes', tagline: 'demo application' };

/** Which buttons there are: a connection that the demo did not set up has none. */
export interface SignInWays {
  readonly saml: boolean;
  readonly oidc: boolean;
}

/** One membership of the signed-in person, with everything the page says about it. */
export interface MembershipView {
  readonly membership: AppMembership;
  /** Null: Rollcall did not answer. */
  readonly explanation: Explanation | null;
  /** What webhooks said since, if it is newer than the ID token. */
  readonly newer: Pick<CopiedMember, 'role' | 'groups' | 'version' | 'active'> | null;
}

interface HomePage {
  readonly signedIn: SignedIn | null;
  /** How the person signed in, for example `SAML`. */
  readonly way: string;
  readonly memberships: readonly MembershipView[];
  readonly ways: SignInWays;
  readonly inbox: WebhookInbox;
  readonly idpUrl: string | null;
}

/** The one page of the app: who is signed in and why they may do what they may do, and what Rollcall sends meanwhile. */
export function homePage({ signedIn, way, memberships, ways, inbox, idpUrl }: HomePage): string {
  const person = signedIn === null ? welcome(ways, idpUrl) : personSections({ signedIn, way, memberships, ways, idpUrl });
  const body = html`<div class="columns">
<div>${person}</div>
${webhookSection(inbox)}
</div>`;
  const aside = idpUrl === null ? undefined : html`<a href="${idpUrl}">Change groups at the demo identity provider</a>`;
  return renderPage({ title: signedIn?.name ?? 'Welcome', site, body, ...(aside && { aside }), scripts: ['live-webhooks.js'] });
}

function welcome(ways: SignInWays, idpUrl: string | null): Html {
  return html`<section class="card">
<h1>Welcome to Fieldnotes</h1>
<p class="lead">An application that knows nothing about SAML or groups. It asks Rollcall who you are, and learns your role and groups with the answer.</p>
${signInButtons(ways)}
</section>
<section class="card steps">
<h2>Try this</h2>
<ol>
<li>Sign in as somebody, and read which role and groups they have, and why.</li>
<li>${idpUrl === null ? 'Change their groups at the identity provider.' : html`<a href="${idpUrl}">Change their groups</a> at the demo identity provider.`}</li>
<li>Sign in again: role and groups follow, and a signed webhook says what changed.</li>
</ol>
</section>`;
}

function signInButtons(ways: SignInWays): Html {
  return html`<p class="actions">
${ways.saml && html`<a class="button" href="/sign-in?with=saml">Sign in with SAML</a>`}
${ways.oidc && html`<a class="button" href="/sign-in?with=oidc">Sign in with OIDC</a>`}
<a class="button second" href="/sign-in">Sign in</a>
</p>`;
}

function personSections({ signedIn, way, memberships, ways, idpUrl }: Omit<HomePage, 'inbox'> & { signedIn: SignedIn }): Html {
  return html`<section class="card">
<div class="split">
<div>
<p class="quiet">Signed in with ${way} at ${clock(signedIn.at)}</p>
<h1>${signedIn.name ?? signedIn.email ?? signedIn.userId}</h1>
<p class="quiet">${signedIn.email}</p>
</div>
<form method="post" action="/sign-out"><button class="second">Sign out</button></form>
</div>
${memberships.length === 0 && html`<p>Rollcall named no workspace in which you are a member.</p>`}
</section>
${memberships.map(membershipCard)}
<section class="card">
<h2>Sign in again</h2>
<p>${idpUrl === null ? 'Change a group at the identity provider' : html`<a href="${idpUrl}">Change a group at the identity provider</a>`}, then sign in again to see it here.</p>
${signInButtons(ways)}
</section>`;
}

function membershipCard({ membership, explanation, newer }: MembershipView): Html {
  const { workspaceId, workspace, role, groups, version } = membership;
  return html`<section class="card" aria-labelledby="workspace-${workspaceId}">
<h2 id="workspace-${workspaceId}">Workspace ${workspace}</h2>
<dl class="facts">
<div><dt>Role</dt> <dd><span class="role">${role}</span></dd></div>
<div><dt>Groups</dt> <dd>${groups.length === 0 ? html`<span class="quiet">none</span>` : html`<span class="chips">${groups.map((name) => html`<span class="chip">${name}</span> `)}</span>`}</dd></div>
<div><dt>Version</dt> <dd>${version} <span class="quiet">from the ID token</span></dd></div>
</dl>
${newer !== null && html`<p class="news">Webhooks since: version ${newer.version}, ${whatWebhooksSaid(newer)}.</p>`}
<h3>Why</h3>
${explanation === null ? html`<p class="quiet">Rollcall did not explain it just now. Reload the page to ask again.</p>` : why(explanation)}
</section>`;
}

function whatWebhooksSaid({ active, role, groups }: NonNullable<MembershipView['newer']>): Html {
  if (!active) return html`<b>no longer a member</b>`;
  return html`role <b>${role}</b>, ${groups.length === 0 ? 'no groups' : `groups ${groups.map(({ name }) => name).join(', ')}`}`;
}

function why({ grants, warnings, decidedBy }: Explanation): Html {
  return html`<dl class="why">
${grants.map(grantRow)}
</dl>
${
  warnings.length > 0 &&
  html`<details class="warnings"><summary>What gave nothing (${warnings.length})</summary>
<ul>${warnings.map((warning) => html`<li>${warning}</li>\n`)}</ul></details>`
}
${decidedBy !== null && html`<p class="quiet">Decided at the sign-in${decidedBy.connection !== null && html` through ${decidedBy.connection}`}${decidedBy.at !== null && html`, ${clock(decidedBy.at)}`}.</p>`}`;
}

function grantRow({ kind, name, because }: Grant): Html {
  return html`<div><dt>${kind === 'role' ? html`Role <span class="role">${name}</span>` : html`Group <span class="chip">${name}</span>`}</dt>
${because.map((sentence) => html`<dd>${sentence}</dd>`)}</div>
`;
}

/** Says what became of a sign-in that failed, and offers to begin again. */
export function signInFailedPage({ text, code, ways }: { text: string; code: string | null; ways: SignInWays }): string {
  const body = noticeBody({
    title: 'You are not signed in',
    text,
    detail: code === null ? null : `OAuth error code: ${code}`,
    next: html`${signInButtons(ways)}<a href="/">Back to the start</a>`,
  });
  return renderPage({ title: 'Not signed in', site, body });
}

export function appErrorPage({ title, text }: { title: string; text: string }): string {
  return renderPage({
    title,
    site,
    body: noticeBody({ title, text, next: html`<a class="button" href="/">Back to the start</a>` }),
  });
}

function clock(at: Date): Html {
  return html`<time datetime="${at.toISOString()}">${at.toTimeString().slice(0, 8)}</time>`;
}
