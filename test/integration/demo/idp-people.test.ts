import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDemoIdp, type DemoIdp } from '../../../src/demo/idp.ts';
import { createHttpBrowser } from '../../support/http-browser.ts';

let idp: DemoIdp;
beforeAll(async () => {
  idp = await createDemoIdp();
});
afterAll(() => idp.close());

const groupsOf = (personId: string) => idp.directory.find(personId)?.groups;
const addGroup = (personId: string, group: string, headers: Record<string, string> = {}) =>
  fetch(`${idp.url}/people/${personId}/groups/add`, {
    method: 'POST',
    body: new URLSearchParams({ group }),
    headers,
    redirect: 'manual',
  });

describe('demo identity provider, people page', () => {
  test('shows everyone with their groups', async () => {
    const page = await createHttpBrowser().open(idp.url);
    for (const { name, email, groups } of idp.directory.all()) {
      expect(page.text).toContain(name);
      expect(page.text).toContain(email);
      for (const group of groups) expect(page.text).toContain(`value="${group}"`);
    }
    expect(page.text).toContain('In no group');
  });

  test('adds a group and takes it away', async () => {
    const browser = createHttpBrowser();
    const before = await browser.open(idp.url);
    const added = await browser.submit(before, { group: 'Finance' }, { formId: 'add-emil' });
    expect(added.status).toBe(200);
    expect(groupsOf('emil')).toEqual(['Finance']);
    await browser.submit(added, { group: 'Finance' }, { formId: 'remove-emil' });
    expect(groupsOf('emil')).toEqual([]);
  });

  test('keeps a name once, and upper and lower case apart', async () => {
    for (const group of ['Sales', 'Sales', 'sales', '  Sales ']) await addGroup('emil', group);
    expect(groupsOf('emil')).toEqual(['Sales', 'sales']);
    idp.directory.setGroups('emil', []);
  });

  test('writes a name with markup in it as text', async () => {
    await addGroup('emil', `<script>alert("1")</script>`);
    const page = await createHttpBrowser().open(idp.url);
    expect(page.text).not.toContain('<script>alert');
    expect(page.text).toContain('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;');
    idp.directory.setGroups('emil', []);
  });

  test.each([
    ['empty', '  ', 'Type a group name.'],
    ['too long', 'x'.repeat(101), 'at most 100 characters'],
    ['with a control character', 'a\u0000b', 'no control characters'],
  ])('refuses a name that is %s, and says why beside the field', async (_name, group, words) => {
    const response = await addGroup('emil', group);
    expect(response.status).toBe(422);
    expect(await response.text()).toContain(words);
    expect(groupsOf('emil')).toEqual([]);
  });

  test.each([
    ['another site by fetch metadata', { 'sec-fetch-site': 'cross-site' }],
    ['another port of the same host', { 'sec-fetch-site': 'same-site', origin: 'http://localhost:1' }],
    ['another origin in an old browser', { origin: 'http://evil.example' }],
  ])('refuses a form of %s', async (_name, headers) => {
    expect((await addGroup('emil', 'admin', headers)).status).toBe(403);
    expect(groupsOf('emil')).toEqual([]);
  });

  test('takes the form of its own page', async () => {
    expect((await addGroup('emil', 'admin', { 'sec-fetch-site': 'same-origin', origin: idp.url })).status).toBe(303);
    expect(groupsOf('emil')).toEqual(['admin']);
    idp.directory.setGroups('emil', []);
  });

  test('answers to its own host name only', async () => {
    const { hostname, port, host } = new URL(idp.url);
    const statusFor = (name: string) =>
      new Promise((resolve, reject) => {
        request({ hostname, port, headers: { host: name } }, (response) => resolve(response.resume().statusCode))
          .on('error', reject)
          .end();
      });
    expect(await statusFor('rebound.example')).toBe(421);
    expect(await statusFor(host)).toBe(200);
  });

  test('allows no script but its own and no frame', async () => {
    const policy = (await createHttpBrowser().open(idp.url)).headers.get('content-security-policy');
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('unsafe');
  });

  test('says that an unknown address, person and an oversized form are errors', async () => {
    expect((await createHttpBrowser().open(`${idp.url}/nothing`)).status).toBe(404);
    expect((await addGroup('nobody', 'x')).status).toBe(303);
    expect((await addGroup('emil', 'x'.repeat(200_000))).status).toBe(413);
  });

  test('says in plain words that its port is taken', async () => {
    const port = Number(new URL(idp.url).port);
    await expect(createDemoIdp({ port })).rejects.toThrow(`The demo identity provider cannot start: port ${port} is in use`);
  });
});
