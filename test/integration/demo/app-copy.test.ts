import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDemoApp, type DemoApp } from '../../../src/demo/app.ts';

let app: DemoApp;
const reported: unknown[] = [];

beforeAll(async () => {
  app = await createDemoApp({
    issuer: 'http://localhost:1/oidc',
    clientId: 'demo-app',
    clientSecret: 'none',
    webhookSecret: `whsec_${Buffer.from('a secret of thirty-two bytes ...').toString('base64')}`,
    rollcallApi: { url: 'http://localhost:1', apiKey: 'none' },
    reportError: (error) => reported.push(error),
  });
  app.copy.apply('w1', { userId: 'u1', email: null, name: null, role: 'admin', groups: [], active: true, version: 1 });
});
afterAll(() => app.close());

const post = (action: string, headers: Record<string, string>) =>
  fetch(`${app.url}/copy/w1/${action}`, { method: 'POST', headers, redirect: 'manual' });

test('R40 a Rollcall that does not answer changes nothing in the copy', async () => {
  const before = app.copy.members('w1');
  const page = await fetch(`${app.url}/copy`);
  expect([page.status, await page.text()]).toEqual([502, expect.stringContaining('Rollcall did not answer')]);
  expect((await post('reconcile', { origin: app.url })).status).toBe(303);
  expect(app.copy.members('w1')).toEqual(before);
  expect(reported).toHaveLength(2);
});

test.each(['reconcile', 'spoil'])('a form of another site cannot %s the copy, one of the page can', async (action) => {
  const before = app.copy.digest('w1');
  expect((await post(action, { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' })).status).toBe(403);
  expect(app.copy.digest('w1')).toEqual(before);
  expect((await post(action, { origin: app.url, 'sec-fetch-site': 'same-origin' })).status).toBe(303);
  expect(app.copy.digest('w1').digest === before.digest).toBe(action === 'reconcile');
});
