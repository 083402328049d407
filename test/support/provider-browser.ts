/** A cookie as the browser holds it; tests may change it, which is what an attacker would do. */
export interface HeldCookie {
  readonly name: string;
  readonly path: string;
  readonly attributes: readonly string[];
  value: string;
}

export interface ProviderBrowser {
  readonly cookies: HeldCookie[];
  /** One request, no redirect followed. */
  visit(url: string, init?: RequestInit): Promise<Response>;
  /** Follows redirects while they stay on the first address's origin and no page is shown. */
  follow(url: string): Promise<{ readonly url: string; readonly response: Response | null }>;
}

/** One person's browser, with its cookies by path, open to tampering. */
export function createProviderBrowser(): ProviderBrowser {
  const cookies: HeldCookie[] = [];

  function keep(url: string, line: string): void {
    const [pair = '', ...attributes] = line.split(';').map((part) => part.trim());
    const at = pair.indexOf('=');
    const name = pair.slice(0, at);
    const path = attributes.find((attribute) => attribute.startsWith('path='))?.slice(5) ?? new URL(url).pathname;
    const old = cookies.findIndex((cookie) => cookie.name === name && cookie.path === path);
    if (old >= 0) cookies.splice(old, 1);
    const expires = attributes.find((attribute) => attribute.startsWith('expires='))?.slice(8);
    if (expires !== undefined && Date.parse(expires) <= Date.now()) return;
    cookies.push({ name, path, attributes, value: pair.slice(at + 1) });
  }

  async function visit(url: string, init: RequestInit = {}): Promise<Response> {
    const { pathname } = new URL(url);
    const fitting = cookies.filter(({ path }) => path === '/' || pathname === path || pathname.startsWith(`${path}/`));
    const cookie = fitting.map(({ name, value }) => `${name}=${value}`).join('; ');
    const headers = { accept: 'text/html', ...init.headers, ...(cookie !== '' && { cookie }) };
    const response = await fetch(url, { ...init, headers, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) keep(url, line);
    return response;
  }

  return {
    cookies,
    visit,
    async follow(start) {
      let url = start;
      for (let hop = 0; hop < 12; hop += 1) {
        if (new URL(url).origin !== new URL(start).origin) return { url, response: null };
        const response = await visit(url);
        const location = response.headers.get('location');
        if (location === null) return { url, response };
        url = new URL(location, url).href;
      }
      throw new Error(`more than 12 redirects, last to ${url}`);
    },
  };
}
