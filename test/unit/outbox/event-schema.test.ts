import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { userDeletedEvent } from '../../../src/membership/events.ts';
import { eventRows } from '../../../src/outbox/append.ts';
import { eventJsonSchema, eventSchemas, everyEventType } from '../../../src/outbox/event-schema.ts';
import { membershipEvent, syncHeldEvent, userEvent } from '../../support/webhook-events.ts';

const folder = new URL('../../../docs/events/', import.meta.url);

describe('docs/events', () => {
  // `vitest run test/unit/outbox -u` writes the files anew after a change of the schemas.
  it.each(everyEventType)('holds the JSON Schema of %s as the code has it', async (type) => {
    const text = `${JSON.stringify(eventJsonSchema(type), null, 2)}\n`;
    await expect(text).toMatchFileSnapshot(new URL(`${type}.schema.json`, folder).pathname);
  });

  it('holds nothing else', () => {
    expect(readdirSync(folder).sort()).toEqual(everyEventType.map((type) => `${type}.schema.json`).sort());
  });

  it('permits fields that later versions add, and requires those of today', () => {
    const text = JSON.stringify(eventJsonSchema('membership.updated'));
    expect(text).not.toContain('additionalProperties');
    expect(eventJsonSchema('membership.updated')).toMatchObject({
      required: ['type', 'timestamp', 'data'],
      properties: { type: { const: 'membership.updated' } },
    });
  });
});

describe('event schemas', () => {
  const events = [
    userEvent('user.created'),
    userEvent('user.updated'),
    userEvent('user.archived'),
    userEvent('user.restored'),
    userDeletedEvent('018f0000-0000-7000-8000-0000000000b1', new Date()),
    membershipEvent({ version: 1 }),
    membershipEvent({ version: 2 }),
    { ...membershipEvent({ version: 3 }), type: 'membership.removed' as const },
    syncHeldEvent(),
  ];

  it.each(events.map((event) => [event.type, event] as const))('fit the envelope of %s', (type, event) => {
    const envelope = JSON.parse(eventRows([event], new Date()).payloads[0] as string);
    expect(eventSchemas[type].parse(envelope)).toEqual(envelope);
  });

  it('refuse a field that they do not describe', () => {
    const envelope = JSON.parse(eventRows([syncHeldEvent()], new Date()).payloads[0] as string);
    expect(eventSchemas['sync.held'].safeParse(envelope).success).toBe(true);
    envelope.data.email = 'ada@example.com';
    expect(eventSchemas['sync.held'].safeParse(envelope).success).toBe(false);
  });
});
