/** A cookie as the browser holds it. */
export interface HeldCookie {
  readonly name: string;
  readonly host: string;
  readonly path: string;
  readonly secure: boolean;
  readonly httpOnly: boolean;
  readonly sameSite: string | null;
  value: string;
}

/** Where a navigation ended: at a page of the broker, or at a redirect that leads out of it. */
export interface Visit {
  readonly url: string;
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The address outside of the broker to which the last redirect leads; null: a page is shown. */
  readonly leadsTo: string | null;
}

export interface Navigation {
  /** Origin of the page whose link or form leads here; null: typed by the person. */
  readonly from?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** False: the first redirect is not followed; `leadsTo` says where it leads. */
  readonly follow?: boolean;
}

export interface BrokerBrowser {
  readonly cookies: HeldCookie[];
  /** Every `Set-Cookie` as it came. */
  readonly setCookieLines: string[];
  /** Opens an address and follows redirects within the broker. */
  open(url: string, navigation?: Navigation): Promise<Visit>;
  /** Sends a form, then follows redirects within the broker. */
  post(url: string, fields: Readonly<Record<string, string>> | string, navigation?: Navigation): Promise<Visit>;
}

export type SendRequest = (url: string, init: RequestInit) => Promise<Response>;

/**
 * One person's browser, strict about cookies as real ones are (RFC 6265bis): host, path, `Secure`, the `__Host-` and `__Secure-`
 * prefixes, and `SameSite` by the page that a navigation comes from. Ports make no other host and no other site.
 */
export function createBrokerBrowser(options: {
  /** Brings requests to where the host really listens. */
  readonly send: SendRequest;
  readonly isBroker: (url: string) => boolean;
}): BrokerBrowser {
  const cookies: HeldCookie[] = [];
  const setCookieLines: string[] = [];

  async function navigate(
    start: string,
    init: RequestInit,
    { from = null, headers = {}, follow = true }: Navigation,
  ): Promise<Visit> {
    let url = start;
    let request = init;
    for (let hop = 0; hop < 20; hop += 1) {
      const cookie = cookieHeader(cookies, new URL(url), { from, method: request.method ?? 'GET' });
      const origin: Record<string, string> = request.method === 'POST' && from !== null ? { origin: from } : {};
      const response = await options.send(url, {
        ...request,
        headers: { accept: 'text/html', ...origin, ...headers, ...(cookie && { cookie }) },
        redirect: 'manual',
      });
      for (const line of response.headers.getSetCookie()) {
        setCookieLines.push(line);
        keep(cookies, new URL(url), line);
      }
      const text = await response.text();
      const location = response.headers.get('location');
      const next = location === null ? null : new URL(location, url).href;
      const leadsTo = next !== null && follow && options.isBroker(next) ? null : next;
      if (next === null || leadsTo !== null) return { url, status: response.status, headers: response.headers, text, leadsTo };
      url = next;
      // Every redirect of the broker turns the request into a GET: 302 and 303 do.
      request = {};
    }
    throw new Error(`more than 20 redirects, last to ${url}`);
  }

  return {
    cookies,
    setCookieLines,
    open: (url, navigation = {}) => navigate(url, {}, navigation),
    post: (url, fields, navigation = {}) => navigate(url, { method: 'POST', body: new URLSearchParams(fields) }, navigation),
  };
}

function cookieHeader(
  cookies: readonly HeldCookie[],
  url: URL,
  { from, method }: { readonly from: string | null; readonly method: string },
): string {
  const crossSite = from !== null && siteOf(new URL(from)) !== siteOf(url);
  const fitting = cookies.filter(({ host, path, secure, sameSite }) => {
    if (host !== url.hostname || (secure && url.protocol !== 'https:') || !pathMatches(path, url.pathname)) return false;
    if (!crossSite || sameSite === 'none') return true;
    // RFC 6265bis 5.6.7.1: what has no attribute counts as Lax, which comes along with top-level navigations by safe methods only.
    return sameSite !== 'strict' && method === 'GET';
  });
  return fitting.map(({ name, value }) => `${name}=${value}`).join('; ');
}

/** Scheme and host: test hosts have no common registrable domain. */
function siteOf({ protocol, hostname }: URL): string {
  return `${protocol}//${hostname}`;
}

function pathMatches(path: string, pathname: string): boolean {
  return path === '/' || pathname === path || pathname.startsWith(path.endsWith('/') ? path : `${path}/`);
}

function keep(cookies: HeldCookie[], url: URL, line: string): void {
  const [pair = '', ...parts] = line.split(';').map((part) => part.trim());
  const attributes = new Map(
    parts.map((part) => {
      const [name = '', value = ''] = part.split('=', 2);
      return [name.toLowerCase(), value] as const;
    }),
  );
  const at = pair.indexOf('=');
  const cookie: HeldCookie = {
    name: pair.slice(0, at),
    host: url.hostname,
    path: attributes.get('path') ?? '/',
    secure: attributes.has('secure'),
    httpOnly: attributes.has('httponly'),
    sameSite: attributes.get('samesite')?.toLowerCase() ?? null,
    value: pair.slice(at + 1),
  };
  if (!acceptable(cookie, url, attributes)) return;
  const old = cookies.findIndex(({ name, host, path }) => name === cookie.name && host === cookie.host && path === cookie.path);
  if (old >= 0) cookies.splice(old, 1);
  const maxAge = attributes.get('max-age');
  const expires = attributes.get('expires');
  const expired = maxAge !== undefined ? Number(maxAge) <= 0 : expires !== undefined && Date.parse(expires) <= Date.now();
  if (!expired) cookies.push(cookie);
}

/** RFC 6265bis 5.7: browsers drop these without a word. */
function acceptable(cookie: HeldCookie, url: URL, attributes: ReadonlyMap<string, string>): boolean {
  const overHttps = url.protocol === 'https:';
  if (cookie.secure && !overHttps) return false;
  if (cookie.sameSite === 'none' && !cookie.secure) return false;
  if (cookie.name.startsWith('__Secure-') && !cookie.secure) return false;
  return !cookie.name.startsWith('__Host-') || (cookie.secure && cookie.path === '/' && !attributes.has('domain'));
}
