import { describe, expect, it } from 'vitest';
import { eventRows, webhookId } from '../../../src/outbox/append.ts';
import { membershipEvent, userEvent } from '../../support/webhook-events.ts';

const now = new Date('2026-03-01T12:00:00.000Z');

describe('rows of the outbox', () => {
  it('carry the envelope as { type, timestamp, data }, in this order', () => {
    const event = membershipEvent({ at: new Date('2026-03-01T11:59:59.123Z') });
    const text = eventRows([event], now).payloads[0] as string;
    expect(Object.keys(JSON.parse(text))).toEqual(['type', 'timestamp', 'data']);
    expect(JSON.parse(text)).toEqual({ type: 'membership.created', timestamp: '2026-03-01T11:59:59.123Z', data: event.data });
  });

  it('have ids of UUID version 7 that embed the time, no two alike', () => {
    const { eventIds } = eventRows(
      Array.from({ length: 100 }, () => userEvent()),
      now,
    );
    expect(new Set(eventIds).size).toBe(100);
    for (const id of eventIds) {
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      expect(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)).toBe(now.getTime());
    }
  });

  it('keep workspace, user and order key of each event in its place', () => {
    const events = [userEvent(), membershipEvent()];
    const rows = eventRows(events, now);
    expect(rows.eventWorkspaceIds).toEqual([null, events[1]?.workspaceId]);
    expect(rows.eventUserIds).toEqual(events.map(({ userId }) => userId));
    expect(rows.orderKeys).toEqual(events.map(({ orderKey }) => orderKey));
  });
});

describe('the webhook id', () => {
  it('is evt_ and the event id without dashes', () => {
    expect(webhookId('018f4a3c-1b2d-7abc-8def-0123456789ab')).toBe('evt_018f4a3c1b2d7abc8def0123456789ab');
  });
});
