import { type Html, html, renderHtml } from '../http/html.ts';

/** Everything a document of the demo needs; `body` stands inside `<main>`. */
export interface Page {
  readonly title: string;
  /** Which of the two sites: colour, mark and name in the header. */
  readonly site: Site;
  readonly body: Html;
  /** Small print at the right of the header, for example a link to the other site. */
  readonly aside?: Html;
  /** Names of scripts under `/assets`. */
  readonly scripts?: readonly string[];
}

export interface Site {
  readonly key: 'idp' | 'app';
  readonly name: string;
  readonly tagline: string;
}

/** A complete document. Style and scripts come from `/assets`, as the content security policy demands. */
export function renderPage({ title, site, body, aside, scripts = [] }: Page): string {
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} · ${site.name}</title>
<link rel="icon" href="/assets/${site.key}.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/style.css">
${scripts.map((script) => html`<script src="/assets/${script}" defer></script>\n`)}</head>
<body class="${site.key}">
<header class="site">
<a class="brand" href="/"><img src="/assets/${site.key}.svg" alt="" width="32" height="32">
<span><b>${site.name}</b> <small>${site.tagline}</small></span></a>
${aside === undefined ? null : html`<nav>${aside}</nav>`}
</header>
<main>
${body}
</main>
</body>
</html>
`;
  return renderHtml(document);
}

/** Says what happened and what to do next; `detail` is for whoever looks into it. */
export function noticeBody({
  title,
  text,
  detail,
  next,
}: {
  title: string;
  text: string;
  detail?: string | null;
  next: Html;
}): Html {
  return html`<section class="card notice">
<h1>${title}</h1>
<p>${text}</p>
${detail && html`<p class="quiet">${detail}</p>`}
<div class="actions">${next}</div>
</section>`;
}
