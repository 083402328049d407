import { describe, expect, it } from 'vitest';
import { createMemoryStore } from '../../../src/infra/expiring-store-memory.ts';
import { formatGrantId } from '../../../src/provider/login-grant.ts';
import { createRevocation } from '../../../src/provider/revocation.ts';

function createWorld() {
  const clock = { now: new Date('2026-01-01T00:00:00Z') };
  const now = () => clock.now;
  const revocation = createRevocation({ store: createMemoryStore({ now, maxEntries: 100 }), now, longestLifetimeSeconds: 600 });
  return { clock, revocation };
}

function grantId(grantKey: string): string {
  const parts = { userId: 'ada', clientId: 'app', scope: 'openid', connectionId: 'c', loginId: 'l', selector: '' };
  return formatGrantId({ ...parts, grantKey, signedInAt: 0, expiresAt: 0 });
}

describe('grants', () => {
  it('come into use once, whatever number asks at the same moment', async () => {
    const { revocation } = createWorld();
    const answers = await Promise.all(Array.from({ length: 20 }, () => revocation.useGrant(grantId('a'))));
    expect(answers.filter(Boolean)).toHaveLength(1);
    expect(await revocation.isGrantInUse(grantId('a'))).toBe(true);
    expect(await revocation.isGrantInUse(grantId('b'))).toBe(false);
  });

  it('are out of use once revoked, and cannot come into use then', async () => {
    const { revocation } = createWorld();
    await revocation.useGrant(grantId('used'));
    await revocation.revokeGrant(grantId('used'));
    await revocation.revokeGrantKey('unused');
    expect(await revocation.isGrantInUse(grantId('used'))).toBe(false);
    expect(await revocation.useGrant(grantId('unused'))).toBe(false);
    expect(await revocation.useGrant(grantId('another'))).toBe(true);
  });

  it('that are none of ours never come into use', async () => {
    const { revocation } = createWorld();
    for (const id of ['', 'opaque', '[]']) {
      expect(await revocation.useGrant(id)).toBe(false);
      expect(await revocation.isGrantInUse(id)).toBe(false);
      await revocation.revokeGrant(id);
    }
  });
});

describe('revoked users', () => {
  it('lose what came before, keep what comes after, and nobody else is touched', async () => {
    const { clock, revocation } = createWorld();
    const revokedAt = clock.now.getTime();
    await revocation.revokeUser('ada');
    const signedIn = (userId: string, signedInAt: number) => revocation.isUserRevoked({ userId, signedInAt });
    expect(await signedIn('ada', revokedAt - 1)).toBe(true);
    expect(await signedIn('ada', revokedAt)).toBe(true);
    expect(await signedIn('ada', revokedAt + 1)).toBe(false);
    expect(await signedIn('bob', revokedAt - 1)).toBe(false);
    clock.now = new Date(revokedAt + 599_000);
    expect(await signedIn('ada', revokedAt - 1)).toBe(true);
  });
});
