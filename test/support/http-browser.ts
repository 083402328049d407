/** A page as a browser without scripts and pictures sees it. */
export interface VisitedPage {
  readonly url: string;
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Addresses of the redirects that led here, first to last. */
  readonly via: readonly string[];
}

export interface HttpBrowser {
  /** Opens an address and follows redirects, as long as `until` does not stop before one. */
  open(url: string, options?: { readonly until?: (url: string) => boolean }): Promise<VisitedPage>;
  /** Sends the form with the given id, or the page's first one, with its hidden fields and `values`. */
  submit(
    page: VisitedPage,
    values?: Readonly<Record<string, string>>,
    options?: { readonly formId?: string; readonly until?: (url: string) => boolean },
  ): Promise<VisitedPage>;
  /** Names of the cookies held for a host. */
  cookieNames(host: string): string[];
}

interface Cookie {
  readonly host: string;
  readonly path: string;
  readonly name: string;
  readonly value: string;
}

/**
 * One person's browser over plain HTTP. Like a real one it keeps cookies by host and path and not by port, so that servers on one host see
 * each other's (RFC 6265 8.5).
 */
export function createHttpBrowser(): HttpBrowser {
  const cookies = new Map<string, Cookie>();

  const remember = (url: URL, response: Response) => {
    for (const line of response.headers.getSetCookie()) {
      const cookie = parseSetCookie(url, line);
      const key = `${cookie.host} ${cookie.path} ${cookie.name}`;
      if (cookie.expired) cookies.delete(key);
      else cookies.set(key, cookie);
    }
  };

  const visit = async (target: URL, init: RequestInit, until: (url: string) => boolean): Promise<VisitedPage> => {
    let url = target;
    let request = init;
    const via: string[] = [];
    for (let step = 0; step < 20; step++) {
      const response = await fetch(url, {
        ...request,
        headers: { ...request.headers, cookie: cookieHeader(cookies, url) },
        redirect: 'manual',
      });
      remember(url, response);
      const text = await response.text();
      const location = response.headers.get('location');
      const next = location === null ? null : new URL(location, url);
      if (next === null || until(next.href)) {
        return { url: next?.href ?? url.href, status: response.status, headers: response.headers, text, via };
      }
      via.push(next.href);
      url = next;
      request = {};
    }
    throw new Error(`more than 20 redirects, last to ${url.href}`);
  };

  return {
    open: (url, { until = () => false } = {}) => visit(new URL(url), {}, until),
    submit: (page, values = {}, { formId, until = () => false } = {}) => {
      const { action, fields } = findForm(page, formId);
      const body = new URLSearchParams({ ...fields, ...values });
      return visit(action, { method: 'POST', body, headers: { origin: new URL(page.url).origin } }, until);
    },
    cookieNames: (host) => [...cookies.values()].filter((cookie) => cookie.host === host).map(({ name }) => name),
  };
}

function cookieHeader(cookies: ReadonlyMap<string, Cookie>, url: URL): string {
  const fitting = [...cookies.values()].filter(({ host, path }) => host === url.hostname && url.pathname.startsWith(path));
  return fitting.map(({ name, value }) => `${name}=${value}`).join('; ');
}

function parseSetCookie(url: URL, line: string): Cookie & { readonly expired: boolean } {
  const [pair = '', ...attributes] = line.split(';').map((part) => part.trim());
  const separator = pair.indexOf('=');
  const attribute = (name: string) =>
    attributes.find((part) => part.toLowerCase().startsWith(`${name}=`))?.slice(name.length + 1);
  const maxAge = attribute('max-age');
  const expires = attribute('expires');
  const expired = maxAge === undefined ? expires !== undefined && Date.parse(expires) <= Date.now() : Number(maxAge) <= 0;
  return {
    host: url.hostname,
    path: attribute('path') ?? '/',
    name: pair.slice(0, separator),
    value: pair.slice(separator + 1),
    expired,
  };
}

function findForm(page: VisitedPage, formId: string | undefined): { action: URL; fields: Record<string, string> } {
  const forms = [...page.text.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/g)];
  const form = formId === undefined ? forms[0] : forms.find(([, attributes = '']) => attributeOf(attributes, 'id') === formId);
  if (form === undefined) throw new Error(`no form on ${page.url}`);
  const [, attributes = '', content = ''] = form;
  const hidden = [...content.matchAll(/<input\b([^>]*type="hidden"[^>]*)>/g)].map(([, input = '']) => [
    attributeOf(input, 'name'),
    attributeOf(input, 'value'),
  ]);
  return { action: new URL(attributeOf(attributes, 'action'), page.url), fields: Object.fromEntries(hidden) };
}

function attributeOf(attributes: string, name: string): string {
  return unescapeHtml(attributes.match(new RegExp(`(?:^|\\s)${name}="([^"]*)"`))?.[1] ?? '');
}

/** Undoes the escapes of `src/http/html.ts`. */
export function unescapeHtml(text: string): string {
  const characters: Record<string, string> = { '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'", '&amp;': '&' };
  return text.replace(/&(?:lt|gt|quot|#39|amp);/g, (entity) => characters[entity] ?? entity);
}
