import type { IncomingMessage } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** RFC 6749 2.3.1: in the header both parts are form-encoded first. */
export function clientCredentials(
  request: IncomingMessage,
  form: URLSearchParams,
): { id: string; secret: string | null; method: string } {
  const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  if (basic === undefined) {
    const secret = form.get('client_secret');
    return { id: form.get('client_id') ?? '', secret, method: secret === null ? 'none' : 'client_secret_post' };
  }
  const [id = '', secret = ''] = Buffer.from(basic, 'base64').toString('utf8').split(':');
  const decode = (encoded: string) => decodeURIComponent(encoded.replaceAll('+', ' '));
  return { id: decode(id), secret: decode(secret), method: 'client_secret_basic' };
}

export async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

export function json(body: unknown, status = 200): Answer {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

export function text(status: number, body: string): Answer {
  return { status, headers: { 'content-type': 'text/plain' }, body };
}
