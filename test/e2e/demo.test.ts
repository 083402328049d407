import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startDemo } from '../../src/demo/demo.ts';
import { browserMissing, launchBrowser } from '../support/browser.ts';

const missing = browserMissing();

let demo: Awaited<ReturnType<typeof startDemo>>;
let dataFolder: string;
let browser: Browser;

// From the click in the browser to the webhook in the app: identity provider, Rollcall on Postgres, and an app on openid-client.
describe.skipIf(missing !== null)(
  `the demo, end to end${missing === null ? '' : ` (skipped: ${missing})`}`,
  { timeout: 60_000 },
  () => {
    beforeAll(async () => {
      dataFolder = await mkdtemp(path.join(tmpdir(), 'rollcall-demo-'));
      // Where root runs the tests, Postgres runs as somebody else, who must be able to enter.
      await chmod(dataFolder, 0o711);
      demo = await startDemo({ ports: 0, dataFolder });
      browser = await launchBrowser();
    }, 120_000);
    afterAll(async () => {
      await browser?.close();
      await demo?.stop();
      await rm(dataFolder, { recursive: true, force: true });
    }, 60_000);

    const cases = [
      {
        way: 'SAML',
        person: 'Chiara Marin',
        first: {
          role: 'end-user',
          groups: 'marketing',
          because: 'Rule 1 “Marketing Team → marketing” names the IdP group “Marketing Team”.',
        },
        change: { add: 'Engineering', remove: 'Marketing Team' },
        second: {
          role: 'builder',
          groups: 'engineering',
          because: 'Being in “engineering” requires at least this role; the IdP group “Engineering” led there.',
          webhook: ['Role end-user → builder', 'Group engineering added', 'Group marketing removed'],
        },
      },
      {
        way: 'OIDC',
        person: 'Bruno Okafor',
        first: {
          role: 'builder',
          groups: 'engineering',
          because: 'Rule 2 “Engineering → engineering” names the IdP group “Engineering”.',
        },
        change: { add: 'admin', remove: 'Engineering' },
        second: {
          role: 'admin',
          groups: 'none',
          because: 'The name of the IdP group “admin” is the name of this role.',
          webhook: ['Role builder → admin', 'Group engineering removed'],
        },
      },
    ];

    test.each(cases)(
      'R14 R19 R29 R37 a changed group follows the next sign-in, by $way',
      async ({ way, person, first, change, second }) => {
        const page = await newPage();
        await page.goto(demo.urls.app);
        await signIn(page, { way, person });
        expect(await facts(page)).toContain(`Role ${first.role} Groups ${first.groups} Version 1 from the ID token`);
        expect(await facts(page)).toContain(first.because);
        const created = webhook(page, { type: 'membership.created', person });
        await created.getByText('signature verified').waitFor();
        expect(await words(created)).toContain(`Role ${first.role}`);

        await changeGroups(page, person, change);
        await page.goto(demo.urls.app);
        await signIn(page, { way, person });
        expect(await facts(page)).toContain(`Role ${second.role} Groups ${second.groups} Version 2 from the ID token`);
        expect(await facts(page)).toContain(second.because);
        const updated = webhook(page, { type: 'membership.updated', person });
        await updated.getByText('signature verified').waitFor();
        for (const line of second.webhook) expect(await words(updated)).toContain(line);
        expect(await words(updated)).toContain('version 2');
      },
    );

    test('R26 asks the identity provider at each sign-in, and brings no webhook when nothing changed', async () => {
      const page = await newPage();
      await page.goto(demo.urls.app);
      for (const round of ['first', 'second']) {
        await signIn(page, { way: 'SAML', person: 'Ada Lindqvist' });
        expect(await facts(page), round).toContain('Role admin Groups none Version 1');
      }
      await webhook(page, { type: 'membership.created', person: 'Ada Lindqvist' }).waitFor();
      expect(await webhook(page, { type: 'membership.updated', person: 'Ada Lindqvist' }).count()).toBe(0);
    });

    test('R22 a person in no group gets the fallback role, by the default connection', async () => {
      const page = await newPage();
      await page.goto(demo.urls.app);
      await page.getByRole('link', { name: 'Sign in', exact: true }).click();
      await choose(page, 'Emil Novák');
      expect(await facts(page)).toContain('Role end-user Groups none');
      expect(await facts(page)).toContain('No group gave a role, so the lowest one applies.');
    });

    test('R16 a near miss gives nothing, and the app says so', async () => {
      const page = await newPage();
      await changeGroups(page, 'Emil Novák', { add: 'marketing team' });
      await page.goto(demo.urls.app);
      await signIn(page, { way: 'SAML', person: 'Emil Novák' });
      expect(await facts(page)).toContain('Role end-user Groups none');
      expect(await facts(page)).toContain(
        '“marketing team” gave nothing. It differs from “Marketing Team” only in upper and lower case.',
      );
    });

    test('R40 the copy of the app is in step; when it is not, the app sees it and makes it anew', async () => {
      const page = await newPage();
      await page.goto(demo.urls.app);
      await signIn(page, { way: 'SAML', person: 'Ada Lindqvist' });
      await page.getByRole('link', { name: 'Compare the app’s copy with Rollcall' }).click();
      const card = page.getByRole('region', { name: 'Workspace tidewater' });
      await card.getByText('in step', { exact: true }).waitFor();
      await card.getByRole('button', { name: 'Spoil a row, to try it' }).click();
      await card.getByText('drift', { exact: true }).waitFor();
      const digests = () => card.locator('code').allTextContents();
      expect(new Set(await digests()).size).toBe(2);
      await card.getByRole('button', { name: 'Make the copy anew' }).click();
      await card.getByText('in step', { exact: true }).waitFor();
      expect(new Set(await digests()).size).toBe(1);
      expect(await words(card)).toContain('Ada Lindqvist admin version 1');
    });

    test.each(['SAML', 'OIDC'])(
      'who cancels at the identity provider comes back to the app without a session, by %s',
      async (way) => {
        const page = await newPage();
        await page.goto(demo.urls.app);
        await page.getByRole('link', { name: `Sign in with ${way}` }).click();
        await page.getByRole('button', { name: 'Cancel and go back' }).click();
        await page.getByRole('heading', { name: 'Your identity provider did not sign you in' }).waitFor();
        await page.getByRole('link', { name: 'Back to the application' }).click();
        await page.getByRole('heading', { name: 'You are not signed in' }).waitFor();
        expect(await page.getByRole('main').textContent()).toContain('access_denied');
        await page.goto(demo.urls.app);
        await page.getByText('Welcome to Fieldnotes').waitFor();
      },
    );

    async function newPage(): Promise<Page> {
      const page = await (await browser.newContext()).newPage();
      page.setDefaultTimeout(15_000);
      return page;
    }

    async function signIn(page: Page, { way, person }: { way: string; person: string }): Promise<void> {
      await page.getByRole('link', { name: `Sign in with ${way}` }).click();
      await choose(page, person);
      await page.getByText(`Signed in with ${way}`).waitFor();
    }

    async function choose(page: Page, person: string): Promise<void> {
      await page.getByRole('button', { name: new RegExp(person) }).click();
      await page.waitForURL(`${demo.urls.app}/`);
      await page.getByRole('heading', { name: person, level: 1 }).waitFor();
    }

    async function changeGroups(page: Page, person: string, { add, remove }: { add: string; remove?: string }): Promise<void> {
      await page.goto(demo.urls.idp);
      await page.getByLabel(`Add ${person} to a group`).fill(add);
      await page.keyboard.press('Enter');
      await page.getByRole('button', { name: `Remove ${person} from ${add}` }).waitFor();
      if (remove === undefined) return;
      const button = page.getByRole('button', { name: `Remove ${person} from ${remove}` });
      await button.click();
      await button.waitFor({ state: 'detached' });
    }

    /** What the app says about the membership and why, as one line of plain text. */
    function facts(page: Page): Promise<string> {
      return words(page.getByRole('region', { name: 'Workspace tidewater' }));
    }

    function webhook(page: Page, { type, person }: { type: string; person: string }) {
      return page
        .getByRole('region', { name: 'Webhooks' })
        .locator('[data-id]')
        .filter({ hasText: type })
        .filter({ hasText: person });
    }

    /** Plain text with the quotation marks that the style sheet adds, and one space between words. */
    async function words(locator: ReturnType<Page['locator']>): Promise<string> {
      const text = await locator.evaluate((element) => {
        const copy = element.cloneNode(true) as typeof element;
        for (const quote of copy.querySelectorAll('q')) quote.textContent = `“${quote.textContent}”`;
        return copy.textContent ?? '';
      });
      return text.replace(/\s+/g, ' ').trim();
    }
  },
);
