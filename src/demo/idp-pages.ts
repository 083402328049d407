import { type Html, html } from '../http/html.ts';
import { noticeBody, renderPage, type Site } from './page.ts';
import type { Person } from './people.ts';
import { company } from './scenario.ts';

const site: Site = { key: 'idp', name: `${company.name} directory`, tagline: 'demo identity provider' };

/** The address of the app, once the demo has one. */
export interface AppLink {
  readonly name: string;
  readonly url: string;
}

interface PeoplePage {
  readonly people: readonly Person[];
  readonly groupNames: readonly string[];
  readonly appLink: AppLink | null;
  /** What was wrong with the last form, and whose form it was. */
  readonly problem?: { readonly personId: string; readonly text: string; readonly typed: string };
}

/** Everyone, with their groups, each of which can be taken away, and a field for another one. */
export function peoplePage({ people, groupNames, appLink, problem }: PeoplePage): string {
  const body = html`<h1>People and groups</h1>
<p class="lead">The staff of ${company.name}, an imaginary company. Whatever you change here is what the next sign-in tells Rollcall.</p>
<datalist id="groups">${groupNames.map((name) => html`<option value="${name}"></option>`)}</datalist>
<ul class="people">
${people.map((person) => personCard(person, problem?.personId === person.id ? problem : null))}
</ul>`;
  return renderPage({ title: 'People and groups', site, body, aside: appAside(appLink) });
}

function personCard(person: Person, problem: { text: string; typed: string } | null): Html {
  const field = `group-${person.id}`;
  return html`<li class="card person" id="${person.id}">
${personHead(person)}
<form class="groups" id="remove-${person.id}" method="post" action="/people/${person.id}/groups/remove">
${
  person.groups.length === 0
    ? html`<p class="quiet">In no group</p>`
    : html`<ul class="chips">${person.groups.map(
        (name) =>
          html`<li class="chip">${name}<button name="group" value="${name}" aria-label="Remove ${person.name} from ${name}">×</button></li>`,
      )}</ul>`
}
</form>
<form class="inline" id="add-${person.id}" method="post" action="/people/${person.id}/groups/add">
<label class="hidden" for="${field}">Add ${person.name} to a group</label>
<input id="${field}" name="group" list="groups" placeholder="Add to a group" maxlength="100" autocomplete="off" required value="${problem?.typed}"${problemAttributes(field, problem)}>
<button>Add</button>
</form>
${problem === null ? null : html`<p class="problem" id="${field}-problem" role="alert">${problem.text}</p>`}
</li>
`;
}

function problemAttributes(field: string, problem: { text: string } | null): Html | null {
  return problem === null ? null : html` aria-invalid="true" aria-describedby="${field}-problem" autofocus`;
}

interface LoginPage {
  readonly people: readonly Person[];
  /** Stands first and is already selected: whom the request means. */
  readonly suggested: Person | null;
  /** Who asked, as the identity provider knows them. */
  readonly askedBy: string;
  readonly protocol: 'SAML 2.0' | 'OpenID Connect';
  /** Where the choice is posted. */
  readonly action: string;
}

/** Asks who is there; a click on a person signs them in, since nobody here has a password. */
export function loginPage({ people, suggested, askedBy, protocol, action }: LoginPage): string {
  const ordered = suggested === null ? people : [suggested, ...people.filter(({ id }) => id !== suggested.id)];
  const body = html`<section class="narrow">
<h1>Who is signing in?</h1>
<p class="lead"><b>${askedBy}</b> asks by ${protocol}. This is a demo: choose a person, there are no passwords.</p>
<form method="post" action="${action}">
<ul class="choices">
${ordered.map(
  (person) => html`<li><button class="choice" name="person" value="${person.id}"${person === suggested ? html` autofocus` : null}>
${personHead(person)}
<span class="chips">${person.groups.length === 0 ? html`<span class="quiet">In no group</span>` : person.groups.map((name) => html`<span class="chip">${name}</span>`)}</span>
</button></li>
`,
)}
</ul>
<p class="actions"><button class="plain" name="person" value="">Cancel and go back</button></p>
</form>
</section>`;
  return renderPage({ title: 'Sign in', site, body });
}

function personHead(person: Person): Html {
  const initials = `${person.givenName.slice(0, 1)}${person.familyName.slice(0, 1)}`;
  return html`<span class="head"><span class="avatar" aria-hidden="true">${initials}</span>
<span><b>${person.name}</b><span class="quiet">${person.title}</span><span class="quiet">${person.email}</span></span></span>`;
}

/** SAML Bindings 3.5.4: the answer travels in a form; it sends itself, and has a button where scripts are off. */
export function samlAnswerPage({ acsUrl, fields }: { acsUrl: string; fields: Readonly<Record<string, string>> }): string {
  const body = html`<section class="card notice">
<h1>Signing in</h1>
<p>One moment, please.</p>
<form method="post" action="${acsUrl}" id="send">
${Object.entries(fields).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">\n`)}
<p class="actions"><button class="button">Continue</button></p>
</form>
</section>`;
  return renderPage({ title: 'Signing in', site, body, scripts: ['send-form.js'] });
}

/** @param text what was wrong, for the person who set up the demo; it is escaped */
export function idpErrorPage({ title, text, appLink }: { title: string; text: string; appLink: AppLink | null }): string {
  const next =
    appLink === null
      ? html`<a class="button" href="/">People and groups</a>`
      : html`<a class="button" href="${appLink.url}">Go to the ${appLink.name}</a>`;
  return renderPage({ title, site, body: noticeBody({ title, text, next }) });
}

function appAside(appLink: AppLink | null): Html | undefined {
  return appLink === null ? undefined : html`<a href="${appLink.url}">Go to the ${appLink.name}</a>`;
}
