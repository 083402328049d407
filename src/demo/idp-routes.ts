import type { ErrorRequestHandler, Express, Request, Response } from 'express';
import { fieldOf, parseForm, pathPart } from './form-fields.ts';
import type { OidcIdentityProvider } from './idp-oidc.ts';
import { type AppLink, idpErrorPage, loginPage, peoplePage, samlAnswerPage } from './idp-pages.ts';
import type { SamlIdentityProvider, SamlLogin } from './idp-saml.ts';
import { type ArrivedRequest, RequestRefused } from './idp-saml-request.ts';
import { refuseForeignForms } from './local-server.ts';
import { type Directory, groupName, maxGroupsPerPerson } from './people.ts';
import type { ShortLived } from './short-lived.ts';

interface Parts {
  readonly url: string;
  readonly directory: Directory;
  readonly saml: SamlIdentityProvider;
  readonly oidc: OidcIdentityProvider;
  readonly samlLogins: ShortLived<SamlLogin>;
  readonly appLink: () => AppLink | null;
  /** What went wrong although nobody did anything wrong. */
  readonly reportError: (error: unknown) => void;
}

/** Everything the identity provider answers: the people page, both protocols with their login pages, and errors. */
export function addIdpRoutes(app: Express, parts: Parts): void {
  addPeopleRoutes(app, parts);
  addSamlRoutes(app, parts);
  addOidcRoutes(app, parts);
  app.use((_request, response) => {
    sendError(response, parts, { status: 404, title: 'There is nothing here', text: 'Check the address.' });
  });
  const onError: ErrorRequestHandler = (error, _request, response, _next) => {
    // body-parser says 4xx with `expose`; anything else is a bug of the demo.
    const status = error?.expose === true ? Number(error.status) : 500;
    if (status >= 500) parts.reportError(error);
    sendError(response, parts, {
      status,
      title: 'This request failed',
      text: status < 500 ? 'It cannot be understood.' : 'The demo has a bug.',
    });
  };
  app.use(onError);
}

function addPeopleRoutes(app: Express, { url, directory, appLink }: Parts): void {
  const page = (problem?: { personId: string; text: string; typed: string }) =>
    peoplePage({ people: directory.all(), groupNames: directory.groupNames(), appLink: appLink(), ...(problem && { problem }) });

  app.get('/', (_request, response) => {
    response.send(page());
  });

  app.post('/people/:personId/groups/add', refuseForeignForms(url), parseForm, (request, response) => {
    const person = directory.find(pathPart(request, 'personId'));
    if (person === null) return response.redirect(303, '/');
    const typed = fieldOf(request.body, 'group') ?? '';
    const problem = addGroup(directory, person.id, typed);
    if (problem === null) return response.redirect(303, `/#${person.id}`);
    response.status(422).send(page({ personId: person.id, text: problem, typed }));
  });

  app.post('/people/:personId/groups/remove', refuseForeignForms(url), parseForm, (request, response) => {
    const person = directory.find(pathPart(request, 'personId'));
    const group = fieldOf(request.body, 'group');
    if (person === null) return response.redirect(303, '/');
    directory.setGroups(
      person.id,
      person.groups.filter((name) => name !== group),
    );
    response.redirect(303, `/#${person.id}`);
  });
}

/** Returns what is wrong with the name, or null. */
function addGroup(directory: Directory, personId: string, typed: string): string | null {
  const parsed = groupName.safeParse(typed);
  if (!parsed.success) return parsed.error.issues[0]?.message ?? 'Type another name.';
  const groups = directory.find(personId)?.groups ?? [];
  if (groups.length >= maxGroupsPerPerson) return `Nobody is in more than ${maxGroupsPerPerson} groups here.`;
  directory.setGroups(personId, [...groups, parsed.data]);
  return null;
}

function addSamlRoutes(app: Express, parts: Parts): void {
  const { directory, saml, samlLogins } = parts;
  const receive = (arrived: ArrivedRequest, response: Response) => {
    try {
      response.redirect(303, `/login/saml/${samlLogins.keep(saml.receive(arrived))}`);
    } catch (error) {
      if (!(error instanceof RequestRefused)) throw error;
      sendError(response, parts, { status: 400, title: 'This sign-in cannot go on', text: error.message });
    }
  };

  app.get('/saml/metadata', (_request, response) => {
    response.type('application/samlmetadata+xml').send(saml.metadataXml);
  });
  app.get('/saml/sso', (request, response) => {
    receive({ binding: 'redirect', query: request.originalUrl.split('?')[1] ?? '' }, response);
  });
  app.post('/saml/sso', parseForm, (request, response) => {
    const samlRequest = fieldOf(request.body, 'SAMLRequest') ?? '';
    receive({ binding: 'post', samlRequest, relayState: fieldOf(request.body, 'RelayState') }, response);
  });

  app.get('/login/saml/:loginId', (request, response) => {
    const login = samlLogins.get(pathPart(request, 'loginId'));
    if (login === null) return sendOver(response, parts);
    const { askedBy, hint } = login;
    const suggested = directory.findByHint(hint);
    response.send(loginPage({ people: directory.all(), suggested, askedBy, protocol: 'SAML 2.0', action: request.path }));
  });
  app.post('/login/saml/:loginId', refuseForeignForms(parts.url), parseForm, async (request, response) => {
    const login = samlLogins.take(pathPart(request, 'loginId'));
    if (login === null) return sendOver(response, parts);
    const person = chosenPerson(directory, request);
    response.send(samlAnswerPage(person === null ? saml.refuse(login) : await saml.signIn(login, person)));
  });
}

function addOidcRoutes(app: Express, parts: Parts): void {
  const { directory, oidc } = parts;
  // oidc-provider throws where the cookie of the request is missing, foreign or too old.
  const receive = (request: Request, response: Response) => oidc.receive(request, response).catch(() => null);

  app.use('/oidc', oidc.listener);
  app.get('/login/oidc/:requestId', async (request, response) => {
    const login = await receive(request, response);
    if (login === null) return sendOver(response, parts);
    const { askedBy, hint } = login;
    const suggested = directory.findByHint(hint);
    response.send(loginPage({ people: directory.all(), suggested, askedBy, protocol: 'OpenID Connect', action: request.path }));
  });
  app.post('/login/oidc/:requestId', refuseForeignForms(parts.url), parseForm, async (request, response) => {
    if ((await receive(request, response)) === null) return sendOver(response, parts);
    const person = chosenPerson(directory, request);
    await (person === null ? oidc.refuse(request, response) : oidc.signIn(request, response, person));
  });
}

function chosenPerson(directory: Directory, request: Request) {
  return directory.find(fieldOf(request.body, 'person') ?? '');
}

function sendOver(response: Response, parts: Parts): void {
  sendError(response, parts, {
    status: 400,
    title: 'This sign-in is over',
    text: 'It was finished already, or it took too long.',
  });
}

function sendError(
  response: Response,
  { appLink }: Parts,
  { status, title, text }: { status: number; title: string; text: string },
): void {
  response.status(status).send(idpErrorPage({ title, text, appLink: appLink() }));
}
