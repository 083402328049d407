import { Agent, type IncomingHttpHeaders, request } from 'node:http';

/**
 * Just enough of a browser for a login: cookies by origin, redirects one at a time, form posts. Cheap, so that a benchmark's load
 * process does not become the thing that is measured.
 */
export interface LoadBrowser {
  get(url: string): Promise<Page>;
  post(url: string, fields: Readonly<Record<string, string>>): Promise<Page>;
  /** Follows redirects until one leads to `until`, or until a page is shown. */
  follow(page: Page, until: (url: string) => boolean): Promise<Page>;
}

export interface Page {
  readonly url: string;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Absolute address of the redirect; null: this is a page. */
  readonly location: string | null;
}

/** @param agent shared by all browsers of a load test, so that connections are kept alive */
export function createLoadBrowser(agent: Agent = new Agent({ keepAlive: true })): LoadBrowser {
  const jars = new Map<string, Map<string, string>>();

  async function send(method: 'GET' | 'POST', url: string, body: string | null): Promise<Page> {
    const { origin } = new URL(url);
    const jar = jars.get(origin) ?? new Map<string, string>();
    jars.set(origin, jar);
    const headers: Record<string, string | number> = { accept: 'text/html' };
    if (jar.size > 0) headers.cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    if (body !== null) {
      headers['content-type'] = 'application/x-www-form-urlencoded';
      headers['content-length'] = Buffer.byteLength(body);
    }
    const answer = await exchange(agent, method, url, headers, body);
    for (const cookie of answer.headers['set-cookie'] ?? []) keep(jar, cookie);
    const { location } = answer.headers;
    return { url, ...answer, location: location === undefined ? null : new URL(location, url).href };
  }

  return {
    get: (url) => send('GET', url, null),
    post: (url, fields) => send('POST', url, new URLSearchParams(fields).toString()),
    async follow(page, until) {
      let current = page;
      for (let hops = 0; current.location !== null && !until(current.location); hops++) {
        if (hops > 10) throw new Error(`too many redirects, last to ${current.location}`);
        current = await send('GET', current.location, null);
      }
      return current;
    },
  };
}

/** One request over a shared agent. */
export function exchange(
  agent: Agent,
  method: 'GET' | 'POST',
  url: string,
  headers: Record<string, string | number>,
  body: string | null,
): Promise<{ status: number; headers: IncomingHttpHeaders; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, method, headers }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks).toString('utf8') }),
      );
    });
    sent.on('error', reject);
    sent.end(body ?? undefined);
  });
}

function keep(jar: Map<string, string>, cookie: string): void {
  const [pair = '', ...attributes] = cookie.split(';');
  const at = pair.indexOf('=');
  const name = pair.slice(0, at).trim();
  const gone = attributes.some((attribute) => /^\s*(max-age=0|expires=thu, 01 jan 1970)/i.test(attribute));
  if (gone) jar.delete(name);
  else jar.set(name, pair.slice(at + 1).trim());
}
