import type { Browser, Page } from 'playwright-core';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDemoApp, type DemoApp } from '../../src/demo/app.ts';
import { createDemoIdp, type DemoIdp } from '../../src/demo/idp.ts';
import { browserMissing, launchBrowser } from '../support/browser.ts';

const missing = browserMissing();
const webhookSecret = `whsec_${Buffer.from('a secret of thirty-two bytes ...').toString('base64')}`;

let idp: DemoIdp;
let app: DemoApp;
let browser: Browser;

// The pages alone: the demo's own identity provider stands in for Rollcall.
describe.skipIf(missing !== null)(
  `demo pages in a browser${missing === null ? '' : ` (skipped: ${missing})`}`,
  { timeout: 60_000 },
  () => {
    beforeAll(async () => {
      idp = await createDemoIdp();
      const credentials = { clientId: 'demo-app', clientSecret: 'a-secret-of-the-test' };
      const rollcallApi = { url: 'http://localhost:1', apiKey: 'none' };
      app = await createDemoApp({
        ...credentials,
        webhookSecret,
        issuer: idp.oidcIssuer,
        rollcallApi,
        oidc: {},
        idpUrl: idp.url,
      });
      idp.registerOidcClient({ ...credentials, redirectUris: [app.redirectUri], name: 'Fieldnotes' });
      idp.linkTo({ name: 'demo app', url: app.url });
      browser = await launchBrowser();
    });
    afterAll(async () => {
      await browser?.close();
      await Promise.all([app.close(), idp.close()]);
    });

    /** A new visitor's page, with what the browser complained about. */
    async function visit(options: { javaScriptEnabled?: boolean } = {}) {
      const page = await (await browser.newContext(options)).newPage();
      page.setDefaultTimeout(10_000);
      const complaints: string[] = [];
      page.on('pageerror', (error) => complaints.push(String(error)));
      page.on('console', (message) => {
        if (message.type() === 'error') complaints.push(message.text());
      });
      return { page, complaints };
    }

    const heading = (page: Page) => page.getByRole('heading', { level: 1 }).textContent();

    test('signs in and out, and follows the link to the people and back', async () => {
      const { page, complaints } = await visit();
      await page.goto(app.url);
      await page.getByRole('link', { name: 'Sign in with OIDC' }).click();
      expect(await heading(page)).toBe('Who is signing in?');
      await page.getByRole('button', { name: /Chiara Marin/ }).click();
      await page.waitForURL(`${app.url}/`);
      expect(await heading(page)).toBe('Chiara Marin');
      await page.getByRole('link', { name: 'Change groups at the demo identity provider' }).click();
      expect(await heading(page)).toBe('People and groups');
      await page.getByRole('link', { name: 'Go to the demo app' }).click();
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByText('Welcome to Fieldnotes').waitFor();
      expect(complaints).toEqual([]);
    });

    test('changes the groups of a person', async () => {
      const { page, complaints } = await visit();
      await page.goto(idp.url);
      await page.getByLabel('Add Emil Novák to a group').fill('R&D "west"');
      await page.keyboard.press('Enter');
      await page.getByRole('button', { name: 'Remove Emil Novák from R&D "west"' }).waitFor();
      expect(idp.directory.find('emil')?.groups).toEqual(['R&D "west"']);
      await page.getByRole('button', { name: 'Remove Emil Novák from R&D "west"' }).click();
      await page.getByText('In no group').waitFor();
      expect(complaints).toEqual([]);
    });

    test('shows a webhook at once, and runs nothing of what it says', async () => {
      const { page, complaints } = await visit();
      await page.goto(app.url);
      await page.getByText('live', { exact: true }).waitFor();
      await sendWebhook('<img src=x onerror="document.title=1"> Devi');
      const item = page.getByRole('listitem').filter({ hasText: 'membership.created' });
      await item.getByText('signature verified').waitFor();
      expect(await item.textContent()).toContain('<img src=x onerror="document.title=1"> Devi');
      expect(await page.getByRole('status').first().textContent()).toBe('New webhook: membership.created');
      expect(await page.title()).toBe('Welcome · Fieldnotes');
      expect(complaints).toEqual([]);
    });

    test('works without scripts but for the live list', async () => {
      const { page } = await visit({ javaScriptEnabled: false });
      await page.goto(app.url);
      await page.getByRole('link', { name: 'Sign in', exact: true }).click();
      await page.getByRole('button', { name: /Ada Lindqvist/ }).click();
      expect(await heading(page)).toBe('Ada Lindqvist');
      await sendWebhook('Without scripts');
      await page.reload();
      expect(await page.textContent('#webhook-list')).toContain('Without scripts');
    });

    async function sendWebhook(name: string): Promise<void> {
      const id = `evt_${name.length}`;
      const body = JSON.stringify({
        type: 'membership.created',
        data: { workspace: { id: 'w', slug: 'tidewater' }, user: { id: name, name }, role: 'end-user', groups: [], version: 1 },
      });
      const at = new Date();
      const headers = {
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
        'webhook-signature': new Webhook(webhookSecret).sign(id, at, body),
      };
      expect((await fetch(app.webhookUrl, { method: 'POST', body, headers })).status).toBe(204);
    }
  },
);
