import { createHash } from 'node:crypto';
import type { Request, Response } from 'express';
import { BrokerError } from '../domain/broker-error.ts';

/** Strong entity tag (RFC 9110 8.8.3) of what a single resource shows: two answers with the same tag are the same text. */
export function etagOf(view: unknown): string {
  return `"${createHash('sha256').update(JSON.stringify(view)).digest('base64url').slice(0, 27)}"`;
}

/**
 * Answers with a single resource and its tag; a GET that has it already (`If-None-Match`, RFC 9110 13.1.2) gets 304.
 * @param etag the tag, where it is not the one of the view
 */
export function sendTagged(req: Request, res: Response, view: unknown, etag = etagOf(view)): void {
  res.setHeader('etag', etag);
  const known = tagsOf(req.headers['if-none-match']);
  // Weak comparison: RFC 9110 13.1.2.
  if (req.method === 'GET' && known !== null && (known === 'any' || known.some((tag) => tag.replace(/^W\//, '') === etag))) {
    res.status(304).end();
    return;
  }
  res.json(view);
}

/**
 * RFC 9110 13.1.1: a change for what the sender read, not for what it became meanwhile. Call it where the state is locked, or is
 * written only if it did not move.
 * @param view what a GET would show now; null: there is nothing
 * @throws BrokerError `precondition_failed`
 */
export function checkIfMatch(req: Request, view: unknown, etag = view === null ? null : etagOf(view)): void {
  const wanted = tagsOf(req.headers['if-match']);
  if (wanted !== null && (etag === null || (wanted !== 'any' && !wanted.includes(etag)))) throw moved('etag_mismatch');
  // `If-None-Match: *` with a PUT: only if there is nothing yet.
  if (tagsOf(req.headers['if-none-match']) === 'any' && etag !== null) throw moved('exists');
}

/** Whether the request is to be refused when the resource moved. */
export function hasPrecondition(req: Request): boolean {
  return req.headers['if-match'] !== undefined || req.headers['if-none-match'] !== undefined;
}

function moved(reason: string): BrokerError {
  return new BrokerError('precondition_failed', 'the resource is not in the state that the request names', { reason });
}

function tagsOf(header: string | undefined): readonly string[] | 'any' | null {
  if (header === undefined) return null;
  if (header.trim() === '*') return 'any';
  // RFC 9110 8.8.3: a comma may stand within the quotes. What is no tag matches nothing.
  return header.match(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? [];
}
