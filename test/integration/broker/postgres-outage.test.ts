import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { errorFaces } from '../../../src/domain/broker-error.ts';
import type { ProblemBody } from '../../support/broker-api.ts';
import { appCallback } from '../../support/broker-app.ts';
import type { Visit } from '../../support/broker-browser.ts';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { errorPageIn, type Refusal, storedState, tellApp } from '../../support/broker-evidence.ts';
import {
  answerOidc,
  answerSaml,
  type BegunLogin,
  beginLogin,
  beginOidcLogin,
  beginSamlLogin,
  logInByOidc,
  logInBySaml,
  type OidcConnection,
  type SamlConnection,
} from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';

let database: TestDatabase;
let proxy: TcpProxy;
let world: BrokerWorld;
let idp: OidcIdp;
let saml: SamlConnection;
let oidc: OidcConnection;

beforeAll(async () => {
  const samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  [database, idp] = await Promise.all([createTestDatabase({ poolSize: 3 }), startOidcIdp()]);
  const { hostname: host, port } = new URL(database.url);
  proxy = await startTcpProxy({ host, port: Number(port) });
  world = await startBrokerWorld({
    databaseUrl: throughProxy(database.url),
    settings: { postgres: { statementTimeoutSeconds: 1 } },
  });
  await world.api.workspace('acme', { design: null });
  saml = await connectSaml(world, samlIdp, { workspace: 'acme' });
  oidc = await connectOidc(world, idp, { workspace: 'acme' });
});
afterEach(() => proxy.restore());
afterAll(async () => {
  await world.stop();
  await Promise.all([proxy.close(), idp.stop(), database.drop()]);
});

function throughProxy(databaseUrl: string): string {
  const url = new URL(databaseUrl);
  url.hostname = '127.0.0.1';
  url.port = String(proxy.port);
  return url.href;
}

const person = { nameId: 'ada', email: 'ada@customer.example', groups: ['design'] };
const user = { sub: 'ada', email: 'ada@customer.example', groups: ['design'] };

/** The page of an instance without Postgres: its reference stands in the log, since there can be no trace. */
function expectUnavailable(visit: Visit): Refusal {
  const page = errorPageIn(visit);
  const { status, title, advice } = errorFaces.unavailable;
  expect({ status: visit.status, title: page.title, advice: page.advice }).toEqual({ status, title, advice });
  expect(visit.headers.get('retry-after')).toBe('5');
  const found = world.lines.filter(({ loginId, requestId }) => loginId === page.reference || requestId === page.reference);
  expect(found.some(({ code, level }) => code === 'unavailable' && level === 'error')).toBe(true);
  return { ...page, visit, trace: null };
}

/** Ends its connections and refuses new ones, or takes them and says nothing. */
const ways = ['cut', 'hang'] as const;

/** Takes Postgres away for a while, in which nothing is stored; afterwards both kinds of login work. */
async function without(how: (typeof ways)[number], act: () => Promise<unknown>): Promise<void> {
  const before = await storedState(database.db);
  await proxy[how]();
  await act();
  await proxy.restore();
  expect(await storedState(database.db)).toEqual(before);
  await world.stores.db.raw('SELECT 1').catch(() => {});
  expect((await logInBySaml(world, saml, person)).memberships).toHaveLength(1);
  expect((await logInByOidc(world, oidc, user)).memberships).toHaveLength(1);
}

async function expectAppIsTold(login: BegunLogin, visit: Visit): Promise<void> {
  expect(await tellApp(world, login, expectUnavailable(visit))).toBe('temporarily_unavailable');
}

describe('Postgres is away during a login', () => {
  test('when it begins, with a client that is not known yet', async () => {
    await without('cut', async () => {
      const { url } = await world.app.request();
      const visit = await world.newBrowser().open(url.replace('client_id=app', 'client_id=other'));
      const page = errorPageIn(visit);
      const { title } = errorFaces.unavailable;
      expect({ status: visit.status, title: page.title, back: page.back }).toEqual({ status: 503, title, back: null });
      expect(world.lines.some(({ requestId, level }) => requestId === page.reference && level === 'error')).toBe(true);
    });
  });

  test.each(ways)('when the connection is looked up (%s)', async (how) => {
    const fresh = await connectSaml(world, saml.idp, { workspace: 'acme' });
    // The app is known to the process.
    await beginLogin(world, { parameters: { connection: saml.id } });
    await without(how, async () => {
      const login = await beginLogin(world, { parameters: { connection: fresh.id } });
      await expectAppIsTold(login, login.visit);
    });
  });

  test.each(ways)('when the SAML answer comes: nothing half-written (%s)', async (how) => {
    const login = await beginSamlLogin(world, saml);
    await without(how, async () => expectAppIsTold(login, await answerSaml(login, saml, { ...person, nameId: 'new' })));
  });

  test('when the OpenID Connect answer comes: nothing half-written', async () => {
    const login = await beginOidcLogin(world, oidc, { ...user, sub: 'new' });
    await without('cut', async () => expectAppIsTold(login, await answerOidc(login)));
  });

  test.each(ways)('when the app exchanges the code: it is told to come again (%s)', async (how) => {
    const login = await beginSamlLogin(world, saml);
    const { leadsTo } = await answerSaml(login, saml, person);
    expect(leadsTo).toContain(`${appCallback}?code=`);
    await without(how, async () => {
      const exchange = world.app.redeem(login.request, leadsTo ?? '');
      const answer = await exchange.then(
        () => null,
        ({ cause }: { cause: Response }) => cause,
      );
      expect(answer?.status).toBe(503);
      expect(await answer?.json()).toMatchObject({ error: 'temporarily_unavailable' });
    });
  });
});

describe('Postgres is away', () => {
  test('the API says so, the probes too, and the process lives', async () => {
    await without('cut', async () => {
      const { status, body } = await world.api.call<ProblemBody>('GET', '/v1/workspaces');
      expect({ status, code: body.code }).toEqual({ status: 503, code: 'unavailable' });
      expect((await world.send(`${world.publicUrl}/readyz`, {})).status).toBe(503);
      expect((await world.send(`${world.publicUrl}/livez`, {})).status).toBe(200);
    });
    expect((await world.send(`${world.publicUrl}/readyz`, {})).status).toBe(200);
  });

  test('law 2 a connection that breaks in the middle of the transaction leaves nothing behind', async () => {
    const login = await beginSamlLogin(world, saml);
    const before = await storedState(database.db);
    let visit: Promise<Visit> | undefined;
    await database.db.transaction(async (tx) => {
      // The sync has marked the answer as used and made the user by the time it comes to the memberships.
      await tx.raw('LOCK TABLE memberships IN ACCESS EXCLUSIVE MODE');
      visit = answerSaml(login, saml, { ...person, nameId: 'broken off' });
      await vi.waitFor(async () => {
        const { rows } = await database.db.raw(
          `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND relation = 'memberships'::regclass`,
        );
        expect(rows).toHaveLength(1);
      });
    });
    await expectAppIsTold(login, await (visit as Promise<Visit>));
    expect(await storedState(database.db)).toEqual(before);
    expect((await logInBySaml(world, saml, { ...person, nameId: 'broken off' })).memberships).toMatchObject([
      { membership_version: 1 },
    ]);
  });
});
