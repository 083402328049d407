import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { generateKey } from '../../../src/infra/instance-key-kinds.ts';
import { createSealedBox } from '../../../src/infra/sealed-box.ts';

test('no key has an id that a command line would take for an option', async () => {
  const sealedBox = createSealedBox({ keys: [`k:${randomBytes(32).toString('base64')}`] });
  const kind = { purpose: 'webhook-signing', algorithm: 'Ed25519', certificateName: null } as const;
  const keys = await Promise.all(Array.from({ length: 600 }, () => generateKey(kind, { sealedBox, now: new Date() })));
  expect(keys.filter(({ key_id: keyId }) => !/^\w[\w-]{42}$/.test(keyId))).toEqual([]);
});
