import { type Html, html } from '../http/html.ts';
import type { Change, ReceivedWebhook, WebhookInbox } from './app-webhooks.ts';

/** The section that a script keeps up to date; without scripts it is as of the page's load. */
export function webhookSection(inbox: WebhookInbox): Html {
  return html`<section class="webhooks" aria-labelledby="webhooks">
<div class="split">
<h2 id="webhooks">Webhooks</h2>
<p class="quiet" id="live" hidden>live</p>
</div>
<p class="quiet">What Rollcall told this app, newest first. <a href="/copy">Compare the app’s copy with Rollcall</a></p>
<p class="hidden" id="announcement" role="status"></p>
<div id="webhook-list">${webhookList(inbox)}</div>
</section>`;
}

/** The part that changes. */
export function webhookList(inbox: WebhookInbox): Html {
  const received = inbox.received();
  const { count, lastAt } = inbox.refusals();
  return html`${count > 0 && html`<p class="problem">Refused for a wrong or missing signature: ${count}, the last at ${clock(lastAt)}.</p>`}
${
  received.length === 0
    ? html`<p class="card quiet empty">None yet. The first sign-in of a person brings one.</p>`
    : html`<ol class="events">
${received.map(item)}
</ol>`
}`;
}

function item(webhook: ReceivedWebhook): Html {
  const { id, type, receivedAt, subject, workspace, version, change, heldBecause } = webhook;
  return html`<li class="card event" data-id="${id}">
<p class="split"><b class="type">${type}</b> ${clock(receivedAt)}</p>
<p>${subject}${workspace !== null && html` <span class="quiet">in</span> ${workspace}`}${version !== null && html` <span class="quiet">version ${version}</span>`}</p>
${change !== null && changeList(change)}
${heldBecause !== null && html`<p>Access stayed as it was: ${heldBecause}</p>`}
<p class="badges"><span class="badge good">signature verified</span>${handling(webhook)}</p>
</li>
`;
}

function changeList({ roleBefore, roleAfter, groupsAdded, groupsRemoved }: Change): Html {
  return html`<ul class="change">
${roleBefore !== roleAfter && html`<li>Role ${roleBefore !== null && html`<s>${roleBefore}</s> → `}<span class="role">${roleAfter}</span></li>`}
${groupsAdded.map((name) => html`<li class="added">Group <span class="chip">${name}</span> <span class="quiet">added</span></li>`)}
${groupsRemoved.map((name) => html`<li class="removed">Group <span class="chip">${name}</span> <span class="quiet">removed</span></li>`)}
</ul>`;
}

function handling({ copies, effect }: ReceivedWebhook): Html {
  return html`${copies > 1 && html` <span class="badge">came ${copies} times, counted once</span>`}${effect === 'outdated' && html` <span class="badge">older than what is known, ignored</span>`}`;
}

function clock(at: Date | null): Html | null {
  return at === null ? null : html`<time datetime="${at.toISOString()}">${at.toTimeString().slice(0, 8)}</time>`;
}
