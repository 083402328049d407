import express, { type Request } from 'express';

/** Parses the body of a posted form; 413 above the limit. */
export const parseForm = express.urlencoded({ extended: false, limit: '128kb' });

/** A field of a posted form or of a query; null if it is absent or was sent twice. */
export function fieldOf(fields: unknown, name: string): string | null {
  if (typeof fields !== 'object' || fields === null || !Object.hasOwn(fields, name)) return null;
  const value: unknown = Reflect.get(fields, name);
  return typeof value === 'string' ? value : null;
}

/** A part of the path; the router has matched it, so it is there. */
export function pathPart(request: Request, name: string): string {
  return fieldOf(request.params, name) ?? '';
}

/** The value of a cookie (RFC 6265 4.2.1), or null. */
export function cookieOf(request: Request, name: string): string | null {
  const pairs = (request.headers.cookie ?? '').split(';').map((pair) => pair.trim());
  return pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1) ?? null;
}
