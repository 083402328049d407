import { describe, expect, it } from 'vitest';
import type { LoginHints } from '../../../src/login/connection-candidates.ts';
import { chooseConnections } from '../../../src/login/home-realm.ts';

const choice = (connectionId: string) => ({ connectionId, displayName: connectionId, isDefault: false });
const [okta, entra, google] = [choice('okta'), choice('entra'), choice('google')];

const choose = (wanted: Parameters<typeof chooseConnections>[1]) =>
  chooseConnections(
    {
      candidates: async ({ workspace, connection }: LoginHints) =>
        connection !== undefined ? [choice(connection)] : workspace === 'acme' ? [okta, entra] : [google],
      homeRealm: {
        connectionsOf: async (domain) => (domain === 'acme.example' ? [okta] : domain === 'two.example' ? [okta, entra] : []),
        exists: async () => true,
      },
    },
    wanted,
  );

describe('home-realm discovery', () => {
  it.each([
    ['a typed address', { email: 'ann@acme.example' }, [okta]],
    ['a login_hint', { loginHint: 'ann@ACME.example' }, [okta]],
    ['a domain of two connections', { email: 'ann@two.example' }, [okta, entra]],
    ['a typed address before the login_hint', { email: 'ann@acme.example', loginHint: 'x@two.example' }, [okta]],
    ['a typed address within the workspace', { workspace: 'acme', email: 'ann@acme.example' }, [okta]],
    ['a named connection, whatever the address', { connection: 'entra', loginHint: 'ann@acme.example' }, [entra]],
    ['a named workspace, whatever the login_hint', { workspace: 'acme', loginHint: 'ann@acme.example' }, [okta, entra]],
    ['a login_hint that is no address', { loginHint: 'ann' }, [google]],
    ['a login_hint of no known domain', { loginHint: 'ann@nowhere.example' }, [google]],
  ])('R33 follows %s', async (_what, wanted, connections) => {
    expect(await choose(wanted)).toEqual({ connections, notice: null });
  });

  it.each([
    ['of no known domain', { email: 'ann@nowhere.example' }, [google], 'email_domain_unknown'],
    ['that is none', { email: 'ann' }, [google], 'email_unreadable'],
    ['that was left empty', { email: '' }, [google], 'email_unreadable'],
    [
      'whose connection does not serve the workspace that the app named',
      { workspace: 'globex', email: 'ann@acme.example' },
      [google],
      'email_domain_unknown',
    ],
  ])('R33 shows the page again for an address %s', async (_what, wanted, connections, notice) => {
    expect(await choose(wanted)).toEqual({ connections, notice });
  });
});
