import { type Html, html } from '../http/html.ts';
import type { CopiedMember } from './app-member-copy.ts';
import { site } from './app-pages.ts';
import type { Comparison } from './app-reconcile.ts';
import { noticeBody, renderPage } from './page.ts';

/** The copy of one workspace, compared with Rollcall just now. */
export interface CopyView {
  readonly workspaceId: string;
  readonly workspace: string;
  readonly comparison: Comparison;
  readonly members: readonly CopiedMember[];
}

const aside = html`<a href="/">Back to the start</a>`;
const membersShown = 50;

/** Says of each workspace whether the app's copy is what Rollcall has. @param workspaces null: Rollcall did not answer */
export function copyPage(workspaces: readonly CopyView[] | null): string {
  if (workspaces === null) {
    const body = noticeBody({
      title: 'Rollcall did not answer',
      text: 'The copy cannot be compared at the moment. Nothing was changed.',
      next: html`<a class="button" href="/copy">Try again</a> <a href="/">Back to the start</a>`,
    });
    return renderPage({ title: 'Rollcall did not answer', site, body });
  }
  const body = html`<div class="copies">
<section class="card">
<h1>The app’s copy</h1>
<p class="lead">This app keeps its own list of members, written by webhooks alone. A digest over member, version, role and groups tells whether the list is what Rollcall has, without sending it. The list is kept in memory: after a restart of the demo it is empty, until it is made anew.</p>
<p class="actions"><a class="button second" href="/copy">Compare again</a></p>
</section>
${workspaces.map(workspaceCard)}
</div>`;
  return renderPage({ title: 'The app’s copy', site, body, aside });
}

function workspaceCard({ workspaceId, workspace, comparison, members }: CopyView): Html {
  const { inStep, own, rollcall } = comparison;
  return html`<section class="card" aria-labelledby="copy-${workspaceId}">
<div class="split">
<h2 id="copy-${workspaceId}">Workspace ${workspace}</h2>
<p>${inStep ? html`<span class="badge good">in step</span>` : html`<span class="badge bad">drift</span>`}</p>
</div>
${!inStep && html`<p class="problem">The copy is not what Rollcall has. A webhook may be late; if it stays like this, make the copy anew.</p>`}
<table class="compared">
<thead><tr><td></td><th scope="col">Members</th><th scope="col">Digest</th></tr></thead>
<tbody>
<tr><th scope="row">This app</th><td>${own.count}</td><td><code>${shortened(own.digest)}</code></td></tr>
<tr><th scope="row">Rollcall</th><td>${rollcall.count}</td><td><code>${shortened(rollcall.digest)}</code></td></tr>
</tbody>
</table>
<div class="actions">
<form method="post" action="/copy/${workspaceId}/reconcile"><button${inStep && html` class="second"`}>Make the copy anew</button></form>
${members.some(({ active }) => active) && html`<form method="post" action="/copy/${workspaceId}/spoil"><button class="second">Spoil a row, to try it</button></form>`}
</div>
${members.length > 0 && memberList(members)}
</section>`;
}

function memberList(members: readonly CopiedMember[]): Html {
  return html`<details class="copied"><summary>Rows (${members.length})</summary>
<ul class="change">${members.slice(0, membersShown).map(memberRow)}</ul>
${members.length > membersShown && html`<p class="quiet">and ${members.length - membersShown} more</p>`}</details>`;
}

function memberRow({ userId, name, email, active, role, groups, version }: CopiedMember): Html {
  const what = active ? html`<span class="role">${role}</span>` : html`<span class="quiet">removed</span>`;
  return html`<li>${name ?? email ?? userId} ${what} ${groups.map((group) => html`<span class="chip">${group.name}</span> `)}<span class="quiet">version ${version}</span></li>
`;
}

/** Enough to see a difference by eye. */
function shortened(digest: string): string {
  return `${digest.slice(0, 8)}…${digest.slice(-8)}`;
}
