import type { Response } from 'express';
import { BrokerError } from '../domain/broker-error.ts';
import { type Html, html, renderHtml } from './html.ts';
import { stylesheet, submitScript } from './page-style.ts';

export function sendPage(res: Response, status: number, page: string): void {
  res.status(status).setHeader('cache-control', 'no-store');
  res.type('html').send(page);
}

/**
 * What happened and what to do next, in the error table's words, with the reference that finds the trace and the log's lines.
 * @param page `back`: address that returns to the app, where one is waiting; `otherSignInUrl`: where people can sign in otherwise (R35)
 */
export function renderErrorPage(page: {
  readonly error: BrokerError;
  readonly reference: string;
  readonly back?: string;
  readonly otherSignInUrl?: string | null;
}): string {
  const { otherSignInUrl = null } = page;
  const { title, advice } = page.error.face;
  return renderPage(
    title,
    html`${mark('alarm', html`<path d="M24 13.5v13M24 33.2v.3"/>`)}
<h1>${title}</h1>
<p>${advice}</p>
${otherSignInUrl === null ? null : html`<p><a href="${otherSignInUrl}">Sign in another way</a></p>`}
${page.back === undefined ? null : html`<a class="button" href="${page.back}">Back to the application</a>`}
<dl class="reference"><dt>Reference</dt><dd>${page.reference}</dd></dl>`,
  );
}

const notices = {
  email_unreadable: 'This is no e-mail address. Please check it.',
  email_domain_unknown: 'No way to sign in is set up for this e-mail domain. Check the address, or ask your administrator.',
} as const;

/** @param page `connections`: in the order in which they are offered; `asksForEmail`: an address can lead on, by its domain */
export function renderChooserPage(page: {
  readonly interactionUid: string;
  readonly connections: readonly { readonly connectionId: string; readonly displayName: string }[];
  readonly asksForEmail?: boolean;
  readonly notice?: keyof typeof notices | null;
  /** As typed. */
  readonly email?: string;
}): string {
  const { interactionUid, connections, asksForEmail = false, notice = null, email = '' } = page;
  const choices = connections.map(
    ({ connectionId, displayName }) => html`
<li><a href="/interaction/${interactionUid}?connection=${connectionId}">${displayName}${arrow}</a></li>`,
  );
  const byEmail = html`
<form method="post" action="/interaction/${interactionUid}">
<label for="email">Your e-mail address at work</label>
<input id="email" name="email" type="email" autocomplete="email" required maxlength="320" value="${email}"${notice === null ? null : html` aria-invalid="true" aria-describedby="notice"`}>
${notice === null ? null : html`<p id="notice" class="notice" role="alert">${notices[notice]}</p>`}
<button class="button">Continue</button>
</form>`;
  const lead =
    connections.length > 0 ? 'Pick the identity provider of your organisation.' : 'Your address leads to your organisation.';
  return renderPage(
    'Choose how to sign in',
    html`${mark('', html`<path d="M16 24.5l5.5 5.5L33 18.5"/>`)}
<h1>Choose how to sign in</h1>
<p>${lead}</p>
${asksForEmail ? byEmail : null}
${
  connections.length === 0
    ? null
    : html`<ul>${choices}
</ul>`
}`,
  );
}

/** SAML HTTP POST binding (SAML Bindings 3.5.4): a form that sends itself. */
export function renderPostPage(form: { readonly url: string; readonly fields: Readonly<Record<string, string>> }): string {
  if (!/^https?:\/\//i.test(form.url)) {
    throw new BrokerError('upstream_misconfigured', 'the address of the identity provider is no web address', {
      reason: 'metadata_invalid',
    });
  }
  const inputs = Object.entries(form.fields).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`);
  return renderPage(
    'Taking you to your identity provider',
    html`${mark('', html`<path d="M15 24h17M26 17l7 7-7 7"/>`)}
<h1>Taking you to your identity provider</h1>
<p>One moment, please.</p>
<form method="post" action="${form.url}">${inputs}
<noscript><p>Your browser runs no scripts: please continue by hand.</p><button class="button">Continue</button></noscript>
</form>`,
    submitScript,
  );
}

/** Style and script stand outside the template: their text must stay byte for byte what the content security policy names. */
function renderPage(title: string, body: Html, script?: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<link rel="icon" href="data:,">
${renderHtml(html`<title>${title}</title>`)}
<style>${stylesheet}</style>
</head>
<body>
${renderHtml(html`<main>
${body}
</main>`)}${script === undefined ? '' : `\n<script>${script}</script>`}
</body>
</html>
`;
}

function mark(kind: 'alarm' | '', drawing: Html): Html {
  return html`<svg class="mark ${kind}" viewBox="0 0 48 48" fill="none" stroke="currentColor" stroke-width="3.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${drawing}</svg>`;
}

const arrow = html`<svg viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M7 4l6 6-6 6"/></svg>`;
