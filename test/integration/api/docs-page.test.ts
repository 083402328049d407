import type { Browser } from 'playwright-core';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { browserMissing, launchBrowser } from '../../support/browser.ts';
import { aServer } from '../../support/http-server.ts';

describe('the page that shows the API', () => {
  const { app } = aServer();

  it('needs no key, runs nothing but what comes from here, and says so', async () => {
    const { status, headers, text } = await request(app).get('/v1/docs');
    expect([status, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
    const policy = headers['content-security-policy'] as string;
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    expect(text).not.toMatch(/(?:src|href)="(?!\/v1\/|data:,)/);
    expect(text).not.toMatch(/<script>|<style|\son\w+=/);
  });

  it('gives the parts that the page names, and nothing else of the viewer', async () => {
    const { text } = await request(app).get('/v1/docs');
    const parts = [...text.matchAll(/"(\/v1\/docs\/assets\/[^"]+)"/g)].map(([, part]) => part as string);
    expect(parts).toHaveLength(4);
    for (const part of parts) {
      const { status, headers } = await request(app).get(part);
      expect([status, headers['x-content-type-options']]).toEqual([200, 'nosniff']);
      expect(headers['content-type']).toMatch(part.endsWith('.css') ? /^text\/css/ : /javascript/);
    }
    for (const other of [
      'package.json',
      'index.html',
      '..%2fpackage.json',
      '__proto__',
      'constructor',
      'swagger-ui-bundle.js.map',
    ]) {
      expect((await request(app).get(`/v1/docs/assets/${other}`)).status).toBe(404);
    }
  });
});

const missing = browserMissing();

describe.skipIf(missing !== null)(`in a browser${missing === null ? '' : ` (skipped: ${missing})`}`, { timeout: 60_000 }, () => {
  let browser: Browser;
  let url = '';
  const server = aServer();
  beforeAll(async () => {
    browser = await launchBrowser();
    url = `http://127.0.0.1:${await server.listen({ host: '127.0.0.1', port: 0 })}`;
  });
  afterAll(async () => {
    await browser?.close();
    await server.close();
  });

  it('shows every group of operations under its own policy, asks nobody else, and breaks no rule', async () => {
    const page = await browser.newPage();
    const complaints: string[] = [];
    const asked: string[] = [];
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('request', (each) => asked.push(each.url()));
    await page.goto(`${url}/v1/docs`);
    await page.getByText('List workspaces').waitFor();
    for (const tag of ['Workspaces', 'Connections', 'API keys', 'Audit log'])
      expect(await page.locator(`[data-tag="${tag}"]`).count()).toBe(1);
    await page.getByText('List workspaces').click();
    await page.getByText('next_cursor').first().waitFor();
    expect(complaints).toEqual([]);
    expect(asked.filter((each) => !each.startsWith(url) && !each.startsWith('data:'))).toEqual([]);
  });
});
