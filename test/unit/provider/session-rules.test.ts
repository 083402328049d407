import { describe, expect, it } from 'vitest';
import { formatGrantId, type LoginGrant } from '../../../src/provider/login-grant.ts';
import { createSessionRules } from '../../../src/provider/session-rules.ts';

const start = Date.parse('2026-01-01T00:00:00Z');

function createWorld(sessionLifetimeSeconds: number, secondsLater = 0) {
  const rules = createSessionRules({ now: () => new Date(start + secondsLater * 1_000), sessionLifetimeSeconds });
  const grant = (changes: Partial<LoginGrant> = {}): string =>
    formatGrantId({
      grantKey: 'k',
      userId: 'ada',
      clientId: 'app',
      scope: 'openid',
      connectionId: 'c1',
      loginId: 'l1',
      signedInAt: start,
      expiresAt: 0,
      selector: rules.selectorOf({}),
      ...changes,
    });
  const session = (...grantIds: readonly string[]) => ({
    accountId: 'ada',
    authorizations: Object.fromEntries(grantIds.map((grantId, index) => [`client-${index}`, { grantId }])),
  });
  return { rules, grant, session };
}

describe('the login of a session', () => {
  it('is the newest one of its user', () => {
    const { rules, grant, session } = createWorld(3_600);
    const newest = grant({ connectionId: 'c2', signedInAt: start + 5 });
    const ofAnother = grant({ userId: 'bob', connectionId: 'c3', signedInAt: start + 9 });
    expect(rules.loginOf(session(grant(), newest, ofAnother))?.connectionId).toBe('c2');
  });

  it('is none where nobody is signed in, nothing was granted, or the grant is not ours', () => {
    const { rules, grant, session } = createWorld(3_600);
    expect(rules.loginOf(undefined)).toBeNull();
    expect(rules.loginOf({ ...session(grant()), accountId: undefined })).toBeNull();
    expect(rules.loginOf({ accountId: 'ada' })).toBeNull();
    expect(rules.loginOf(session('opaque'))).toBeNull();
    expect(rules.loginOf(session(grant()))?.loginId).toBe('l1');
  });

  it('R26 is none without a lifetime, whatever the store still holds', () => {
    const { rules, grant, session } = createWorld(0);
    expect(rules.loginOf(session(grant()))).toBeNull();
  });

  it.each([
    [0, 3_600],
    [3_000, 600],
    [3_599, 1],
    [9_000, 1],
  ])('after %d s is kept for %d s', (secondsLater, kept) => {
    const { rules, grant, session } = createWorld(3_600, secondsLater);
    expect(rules.secondsToKeep(session(grant()))).toBe(kept);
  });

  it('that has no login is kept for a logout to be confirmed', () => {
    expect(createWorld(3_600).rules.secondsToKeep({})).toBe(600);
    expect(createWorld(0).rules.secondsToKeep({})).toBe(600);
  });
});

describe('the way to sign in that a request asks for', () => {
  const { rules } = createWorld(3_600);
  const selectors = [
    {},
    { workspace: 'acme' },
    { connection: 'acme' },
    { login_hint: 'acme' },
    { workspace: 'acme', connection: 'c1' },
    { workspace: 'acme', login_hint: 'c1' },
  ];

  it('is the same for the same parameters, others aside, and differs where one of them does', () => {
    for (const parameters of selectors) {
      expect(rules.selectorOf({ ...parameters, state: 'x' })).toBe(rules.selectorOf(parameters));
    }
    expect(new Set(selectors.map((parameters) => rules.selectorOf(parameters))).size).toBe(selectors.length);
  });

  it('is not kept without sessions, since a login hint is somebody’s address', () => {
    expect(createWorld(0).rules.selectorOf({ login_hint: 'ada@example.com' })).toBe('');
  });
});

describe('a session answers in place of the IdP', () => {
  const asked = (world: ReturnType<typeof createWorld>, changes: object = {}) => {
    const session = { ...world.session(world.grant()), past: (age: number) => age < 100 };
    const account = { accountId: 'ada', claims: async () => ({ sub: 'ada' }) };
    return { session, account, params: {}, ...changes } as unknown as Parameters<typeof world.rules.answers>[0];
  };

  it('R26 within its lifetime', () => {
    const [within, after] = [createWorld(3_600, 3_599), createWorld(3_600, 3_600)];
    expect(within.rules.answers(asked(within))).toBe(true);
    expect(after.rules.answers(asked(after))).toBe(false);
  });

  it.each([
    ['without a lifetime', 0, {}],
    ['of nobody', 3_600, { session: undefined }],
    ['of an account that is gone', 3_600, { account: undefined }],
    ['of another account', 3_600, { account: { accountId: 'bob' } }],
    ['older than the app accepts', 3_600, { params: { max_age: '99' } }],
    ['for another workspace', 3_600, { params: { workspace: 'acme' } }],
  ])('but not %s', (_name, lifetime, changes) => {
    const world = createWorld(lifetime);
    expect(world.rules.answers(asked(world, changes))).toBe(false);
    const twin = createWorld(3_600);
    expect(twin.rules.answers(asked(twin, { params: { max_age: '100', state: 'x' } }))).toBe(true);
  });
});
