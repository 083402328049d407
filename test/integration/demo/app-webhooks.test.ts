import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDemoApp, type DemoApp } from '../../../src/demo/app.ts';
import { createHttpBrowser } from '../../support/http-browser.ts';

const webhookSecret = `whsec_${Buffer.from('a secret of thirty-two bytes ...').toString('base64')}`;

let app: DemoApp;
beforeAll(async () => {
  app = await createDemoApp({
    issuer: 'http://localhost:1/oidc',
    clientId: 'demo-app',
    clientSecret: 'none',
    webhookSecret,
    rollcallApi: { url: 'http://localhost:1', apiKey: 'none' },
  });
});
afterAll(() => app.close());

describe('demo app, webhooks', () => {
  const event = (name: string, version: number) =>
    JSON.stringify({
      type: 'membership.updated',
      data: {
        workspace: { id: 'w1', slug: 'tidewater' },
        user: { id: name, name, email: null },
        role: 'builder',
        groups: [{ id: 'g', name: 'engineering' }],
        version,
        previous: { role: 'end-user', groups: [] },
        added: [{ id: 'g', name: 'engineering' }],
        removed: [],
      },
    });

  /** @param sent what goes over the wire, if it is not what was signed */
  const post = (id: string, body: string, sent = body) => {
    const at = new Date();
    return fetch(app.webhookUrl, {
      method: 'POST',
      body: sent,
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
        'webhook-signature': new Webhook(webhookSecret).sign(id, at, body),
      },
    });
  };
  const home = async () => (await createHttpBrowser().open(app.url)).text.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ');

  test('shows a signed event with its change, newest first', async () => {
    expect((await post('evt_1', event('Devi', 2))).status).toBe(204);
    expect((await post('evt_2', event('Bruno', 1))).status).toBe(204);
    expect(await home()).toMatch(
      /Bruno in tidewater version 1 .* Devi in tidewater version 2 Role end-user → builder Group engineering added signature verified/,
    );
  });

  test('refuses a forged event and shows nothing of it but that it came', async () => {
    expect((await post('evt_3', event('Devi', 9), event('Mallory', 9))).status).toBe(401);
    expect(await home()).toMatch(/Refused for a wrong or missing signature: 1/);
    expect(await home()).not.toContain('Mallory');
  });

  test('says of a copy and of an older version that they changed nothing', async () => {
    expect((await post('evt_1', event('Devi', 2))).status).toBe(204);
    expect((await post('evt_0', event('Devi', 1))).status).toBe(204);
    expect(await home()).toContain('came 2 times, counted once');
    expect(await home()).toContain('older than what is known, ignored');
  });

  test('writes names with markup in them as text', async () => {
    await post('evt_4', event('<script>alert(1)</script>', 1));
    expect((await createHttpBrowser().open(app.url)).text).not.toContain('<script>alert');
  });

  test('sends the new list to open pages', async () => {
    const controller = new AbortController();
    const response = await fetch(`${app.url}/webhooks/live`, { signal: controller.signal });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const lists = readEvents(response);
    expect((await lists.next()).value).not.toContain('Emil');
    await post('evt_5', event('Emil', 1));
    expect((await lists.next()).value).toContain('data-id="evt_5"');
    controller.abort();
  });
});

/** The data of each server-sent event, decoded. */
async function* readEvents(response: Response): AsyncGenerator<string, void> {
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString('utf8');
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      yield JSON.parse(text.slice('data: '.length, end));
      text = text.slice(end + 2);
    }
  }
}
