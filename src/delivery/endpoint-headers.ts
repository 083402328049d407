import { z } from 'zod';

const maxHeaders = 20;
const maxNameCharacters = 100;
const maxValueCharacters = 1_000;
/** Receivers commonly take 8 KiB of headers in all. */
const maxTotalCharacters = 4_000;

/** RFC 9110 5.6.2: token. */
const tokenPattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110 5.5, of it visible ASCII, with blanks and tabs between: nothing that could end the line. */
const valuePattern = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/;

/** What Rollcall itself says, what belongs to the connection (RFC 9110 7.6.1), and what changes how body or answer are read. */
const reservedNames = new Set([
  'accept-encoding',
  'connection',
  'cookie',
  'date',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
  'via',
]);
const reservedPrefixes = ['content-', 'proxy-', 'sec-', 'webhook-'];

/** Header lines that go with every delivery; names in lower case. Their values may be secrets. */
export type EndpointHeaders = Readonly<Record<string, string>>;

const value = z
  .string()
  .max(maxValueCharacters)
  .regex(valuePattern, 'give visible ASCII characters, with blanks only between them');

/** All headers of an endpoint. */
export const endpointHeaders = z.record(z.string(), value).superRefine(checkNames).transform(inLowerCase);

/** A change of some: null takes one away, what is not named stays (RFC 7396). */
export const endpointHeadersPatch = z.record(z.string(), value.nullable()).superRefine(checkNames).transform(inLowerCase);

/** Null, or why there are too many. */
export function headersProblem(headers: EndpointHeaders): string | null {
  const entries = Object.entries(headers);
  if (entries.length > maxHeaders) return `give at most ${maxHeaders} headers`;
  const total = entries.reduce((sum, [name, text]) => sum + name.length + text.length, 0);
  return total > maxTotalCharacters ? `keep names and values within ${maxTotalCharacters} characters in all` : null;
}

function checkNames(headers: Readonly<Record<string, string | null>>, context: z.RefinementCtx): void {
  const seen = new Set<string>();
  for (const name of Object.keys(headers)) {
    const problem = nameProblem(name) ?? (seen.has(name.toLowerCase()) ? 'it is given twice: case makes no difference' : null);
    if (problem !== null) context.addIssue({ code: 'custom', path: [name.slice(0, maxNameCharacters)], message: problem });
    seen.add(name.toLowerCase());
  }
  const given = Object.fromEntries(Object.entries(headers).flatMap(([name, text]) => (text === null ? [] : [[name, text]])));
  const problem = headersProblem(given);
  if (problem !== null) context.addIssue({ code: 'custom', path: [], message: problem });
}

function nameProblem(name: string): string | null {
  const lower = name.toLowerCase();
  if (!tokenPattern.test(name) || name.length > maxNameCharacters) return 'this is no name of a header';
  const isReserved = reservedNames.has(lower) || reservedPrefixes.some((prefix) => lower.startsWith(prefix));
  return isReserved ? 'this header is set by Rollcall or belongs to the connection' : null;
}

function inLowerCase<Value>(headers: Readonly<Record<string, Value>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(headers).map(([name, text]) => [name.toLowerCase(), text]));
}
