import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { EventBody, TestWorkspace } from '../../support/broker-api.ts';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { logInByOidc, logInBySaml, type OidcConnection, type SamlConnection } from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';
import { type ReceivedWebhook, startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts';

let world: BrokerWorld;
let oidcIdp: OidcIdp;
let receiver: WebhookReceiver;
let secret: string;
let acme: TestWorkspace;
let saml: SamlConnection;
let oidc: OidcConnection;

beforeAll(async () => {
  const samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  [world, oidcIdp, receiver] = await Promise.all([
    startBrokerWorld({ settings: { delivery: { enabled: true, pollSeconds: 60 } } }),
    startOidcIdp(),
    startWebhookReceiver(),
  ]);
  acme = await world.api.workspace('acme', { design: null, platform: 'builder' });
  saml = await connectSaml(world, samlIdp, { workspace: 'acme' });
  oidc = await connectOidc(world, oidcIdp, { workspace: 'acme' });
  ({ secret } = await world.api.post<{ secret: string }>('/v1/endpoints', { url: receiver.url }));
  receiver.secrets.push(secret);
});
afterAll(async () => {
  await world.stop();
  await Promise.all([oidcIdp.stop(), receiver.close()]);
});

const ofUser = (userId: string) => receiver.accepted().filter((webhook) => webhook.userId === userId);

/** As an app verifies it: throws unless the signature holds. */
const opened = ({ text, headers }: ReceivedWebhook) => new Webhook(secret).verify(text, headers) as Omit<EventBody, 'id'>;

describe('a login that changes something tells the app by signed webhooks', () => {
  test.each(['SAML', 'OpenID Connect'])('by %s: created, then updated, each with the whole state', async (protocol) => {
    const logIn = (groups: string[]) =>
      protocol === 'SAML'
        ? logInBySaml(world, saml, { nameId: 'ada', email: 'ada@customer.example', groups })
        : logInByOidc(world, oidc, { sub: 'ada', email: 'ada@customer.example', groups });
    const { sub } = await logIn(['design']);
    await logIn(['design']);
    const { memberships } = await logIn(['platform', 'admin']);
    await receiver.until(() => ofUser(sub).length >= 3);

    const events = ofUser(sub).map(opened);
    expect(events.map(({ type }) => type).sort()).toEqual(['membership.created', 'membership.updated', 'user.created']);
    const design = { id: acme.groups.design, name: 'design' };
    const platform = { id: acme.groups.platform, name: 'platform' };
    expect(events.find(({ type }) => type === 'membership.updated')?.data).toMatchObject({
      workspace: { id: acme.id, slug: 'acme' },
      user: { id: sub, email: 'ada@customer.example' },
      role: 'admin',
      groups: [platform],
      version: 2,
      previous: { role: 'end-user', groups: [design] },
      added: [platform],
      removed: [design],
      cause: { kind: 'login', connection_id: protocol === 'SAML' ? saml.id : oidc.id },
    });
    expect(memberships[0]?.membership_version).toBe(2);
    // In order: what the app applies last is what holds.
    const versions = ofUser(sub).filter(({ type }) => type.startsWith('membership.'));
    expect(versions.map(({ version }) => version)).toEqual([1, 2]);
  });

  test('the event log of the API holds the same events under the same ids', async () => {
    const { sub } = await logInBySaml(world, saml, { nameId: 'bob', groups: ['design'] });
    await receiver.until(() => ofUser(sub).length >= 2);
    const received = ofUser(sub).map((webhook) => ({ id: webhook.id, ...opened(webhook) }));
    expect(received).toHaveLength(2);
    // The log waits for older transactions of the whole server.
    await vi.waitFor(async () => {
      const logged = (await world.api.events()).filter(({ data }) => data.user.id === sub);
      expect(logged).toHaveLength(2);
      expect(logged).toEqual(expect.arrayContaining(received));
    }, 10_000);
  });

  test('a webhook signed by another secret does not verify, and this one does', async () => {
    const { sub } = await logInBySaml(world, saml, { nameId: 'carol', groups: ['design'] });
    await receiver.until(() => ofUser(sub).length >= 2);
    const [webhook] = ofUser(sub);
    if (!webhook) throw new Error('nothing came');
    const other = new Webhook(`whsec_${Buffer.alloc(32, 7).toString('base64')}`);
    expect(() => other.verify(webhook.text, webhook.headers)).toThrow();
    expect(() => new Webhook(secret).verify(webhook.text.replace('design', 'admin'), webhook.headers)).toThrow();
    expect(opened(webhook).data.user.id).toBe(sub);
    expect(receiver.refused).toBe(0);
  });

  test('R25 an answer without groups is told as sync.held', async () => {
    const { sub } = await logInBySaml(world, saml, { nameId: 'dora', groups: ['design'] });
    await logInBySaml(world, saml, { nameId: 'dora' });
    await receiver.until(() => ofUser(sub).some(({ type }) => type === 'sync.held'));
    const held = ofUser(sub).find(({ type }) => type === 'sync.held') as ReceivedWebhook;
    expect(opened(held).data).toMatchObject({ reason: 'groups_absent', version: 1, workspace: { id: acme.id } });
  });
});
