import { describe, expect, test } from 'vitest';
import { readExplanation } from '../../../src/demo/app-explanation.ts';
import { homePage, type MembershipView } from '../../../src/demo/app-pages.ts';
import { createWebhookInbox } from '../../../src/demo/app-webhooks.ts';

const at = new Date('2026-05-01T10:00:00Z');
const inbox = createWebhookInbox({ secret: 'whsec_c2VjcmV0', now: () => at });
const membership = { workspaceId: 'w1', workspace: 'tidewater', role: 'builder', groups: ['engineering'], version: 3 };
const both = { saml: true, oidc: true };

function page(view: Partial<MembershipView> = {}, name = 'Ada Lindqvist') {
  const signedIn = { userId: 'u1', name, email: 'ada@tidewater.example', memberships: [membership], at };
  const memberships = [{ membership, explanation: null, newer: null, ...view }];
  return homePage({ signedIn, way: 'SAML', memberships, ways: both, inbox, idpUrl: 'http://localhost:1' });
}
const text = (html: string) => html.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ');

describe('home page of the demo app', () => {
  test('shows person, role, groups and version of each workspace', () => {
    expect(text(page())).toContain('Ada Lindqvist ada@tidewater.example');
    expect(text(page())).toContain('Workspace tidewater Role builder Groups engineering Version 3 from the ID token');
  });

  test('R37 shows why, or that Rollcall did not say', () => {
    const explanation = readExplanation({
      reasons: [{ grant: { kind: 'role', role: 'builder' }, idpGroup: null, via: { kind: 'fallback' } }],
    });
    expect(text(page({ explanation }))).toContain('Role builder No group gave a role, so the lowest one applies.');
    expect(text(page({ explanation: null }))).toContain('Rollcall did not explain it just now.');
  });

  test('tells what webhooks said since the ID token', () => {
    expect(text(page({ newer: { role: 'admin', groups: [], version: 4, active: true } }))).toContain(
      'Webhooks since: version 4, role admin , no groups.',
    );
    const removed = { role: 'admin', groups: [], version: 5, active: false };
    expect(text(page({ newer: removed }))).toContain('Webhooks since: version 5, no longer a member .');
    expect(text(page())).not.toContain('Webhooks since');
  });

  test('writes what others chose as text', () => {
    expect(page({}, '<script>alert(1)</script>')).not.toContain('<script>alert');
  });

  test('has a button for each way that is set up', () => {
    const welcome = (ways: typeof both) =>
      text(homePage({ signedIn: null, way: '', memberships: [], ways, inbox, idpUrl: null }));
    expect(welcome(both)).toMatch(/Sign in with SAML Sign in with OIDC Sign in /);
    expect(welcome({ saml: false, oidc: true })).not.toContain('Sign in with SAML');
  });
});
