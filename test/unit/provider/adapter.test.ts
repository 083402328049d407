import { describe, expect, it } from 'vitest';
import type { ExpiringStore } from '../../../src/infra/expiring-store.ts';
import { createMemoryStore } from '../../../src/infra/expiring-store-memory.ts';
import { createAdapter } from '../../../src/provider/adapter.ts';
import { formatGrantId } from '../../../src/provider/login-grant.ts';
import { createRevocation } from '../../../src/provider/revocation.ts';

function createWorld(keepsSessions = false) {
  const now = () => new Date();
  const inner = createMemoryStore({ now, maxEntries: 100 });
  const written: string[] = [];
  const store: ExpiringStore = {
    ...inner,
    set: (key, value, ttl) => {
      written.push(`${key} ${value} ${ttl}`);
      return inner.set(key, value, ttl);
    },
  };
  const revocation = createRevocation({ store, now, longestLifetimeSeconds: 600 });
  const adapter = createAdapter({ store, revocation, findClient: async () => null, keepsSessions });
  return { adapter, revocation, written };
}

const grantId = formatGrantId({
  grantKey: 'key',
  userId: 'ada',
  clientId: 'app',
  scope: 'openid email',
  connectionId: 'c1',
  loginId: 'l1',
  signedInAt: 1_000,
  expiresAt: 2_000,
  selector: '',
});

describe('what the provider stores', () => {
  it.each(['AuthorizationCode', 'AccessToken'])('is no usable %s', async (model) => {
    const { adapter, revocation, written } = createWorld();
    const token = 'tokenThatOpensEveryDoor';
    await adapter(model).upsert(token, { jti: token, accountId: 'ada', grantId }, 60);
    await revocation.useGrant(grantId);
    expect(written.join()).not.toContain(token);
    expect(await adapter(model).find(token)).toEqual({ jti: token, accountId: 'ada', grantId });
    expect(await adapter(model).find('another')).toBeUndefined();
  });

  it('is no grant: its id says everything', async () => {
    const { adapter, written } = createWorld();
    expect(await adapter('Grant').find(grantId)).toEqual({
      jti: grantId,
      accountId: 'ada',
      clientId: 'app',
      openid: { scope: 'openid email' },
      exp: 2_000,
    });
    expect(await adapter('Grant').find('made up')).toBeUndefined();
    expect(written).toEqual([]);
  });

  it('R26 is no session of a signed-in user, unless the operator wants sessions', async () => {
    for (const keepsSessions of [false, true]) {
      const { adapter } = createWorld(keepsSessions);
      const session = { jti: 's1', uid: 'u1', accountId: 'ada' };
      await adapter('Session').upsert('s1', session, 60);
      expect(await adapter('Session').find('s1')).toEqual(keepsSessions ? session : undefined);
      expect(await adapter('Session').findByUid('u1')).toEqual(keepsSessions ? session : undefined);
      await adapter('Session').upsert('s2', { jti: 's2', uid: 'u2' }, 60);
      expect(await adapter('Session').find('s2')).toEqual({ jti: 's2', uid: 'u2' });
      await adapter('Session').destroy('s2');
      expect(await adapter('Session').find('s2')).toBeUndefined();
    }
  });

  it('lives at least a second: the store takes no less', async () => {
    const { adapter, written } = createWorld();
    await adapter('Interaction').upsert('i1', {}, 0);
    await adapter('Interaction').upsert('i2', {}, 1.9);
    expect(written.map((line) => line.split(' ').at(-1))).toEqual(['1', '1']);
  });
});

describe('features that are off', () => {
  it.each(['RefreshToken', 'PushedAuthorizationRequest', 'DeviceCode', '__proto__', 'constructor'])(
    'have no place for a %s',
    (model) => {
      const { adapter } = createWorld();
      expect(() => adapter(model)).toThrow(TypeError);
      expect(() => adapter('AccessToken')).not.toThrow();
    },
  );

  it('have no operation on what is stored', async () => {
    const { adapter } = createWorld();
    await expect(adapter('AccessToken').findByUserCode('x')).rejects.toThrow(TypeError);
    await expect(adapter('Client').upsert('app', {}, 1)).rejects.toThrow(TypeError);
    expect(await adapter('Client').find('app')).toBeUndefined();
  });
});
