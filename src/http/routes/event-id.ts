import type { Request } from 'express';
import { z } from 'zod';
import { BrokerError } from '../../domain/broker-error.ts';

/** An event's id as everybody sees it (`evt_…`, the `webhook-id` of its deliveries), turned into that of the database; null: it is none. */
export function eventIdOf(webhookId: string): string | null {
  const match = /^evt_([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$/.exec(webhookId);
  return match?.slice(1).join('-') ?? null;
}

/** In a body or query. */
export const eventIdInput = z.string().transform((text, context) => {
  const eventId = eventIdOf(text);
  if (eventId !== null) return eventId;
  context.addIssue('give the id of an event: "evt_" and 32 hexadecimal digits');
  return z.NEVER;
});

/** From the path: anything else names nothing. */
export function pathEventId(req: Request): string {
  const { event_id: given } = req.params;
  const eventId = typeof given === 'string' ? eventIdOf(given) : null;
  if (eventId === null) throw new BrokerError('not_found', 'the event_id in the path is no id of an event');
  return eventId;
}
