import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../src/infra/embedded-postgres.ts';
import { connectSaml } from '../../support/broker-connections.ts';
import { errorPageIn, expectErrorPage, tellApp } from '../../support/broker-evidence.ts';
import { answerSaml, beginSamlLogin, logInBySaml } from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { freePort, systemPostgresFolder } from '../../support/servers.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';

let dataFolder: string;
let server: EmbeddedPostgres | null = null;
/** The server may come back at another port; the broker knows the proxy's. */
const target = { host: '127.0.0.1', port: 0 };
let proxy: TcpProxy;
let world: BrokerWorld;

/** Starts the server on the folder, and tells by which address the broker reaches it. */
async function startServer(): Promise<URL> {
  const binariesFolder = systemPostgresFolder();
  server = await startEmbeddedPostgres({
    dataFolder,
    log: quietLog,
    durable: false,
    ...(binariesFolder !== null && { binariesFolder }),
  });
  const url = new URL(server.url);
  target.port = Number(url.port);
  url.port = String(proxy.port);
  return url;
}

async function stopServer(): Promise<void> {
  await server?.stop();
  server = null;
  target.port = await freePort();
}

beforeAll(async () => {
  dataFolder = await mkdtemp(join(tmpdir(), 'rollcall-test-restart-'));
  target.port = await freePort();
  proxy = await startTcpProxy(target);
});
afterAll(async () => {
  await world?.stop();
  await server?.stop();
  await proxy.close();
  await rm(dataFolder, { recursive: true, force: true });
});

test('a start without Postgres waits, says so, makes the schema when it comes, and serves', async () => {
  // The first start makes the data folder, and with it the password that the broker has to know.
  const databaseUrl = (await startServer()).href;
  await stopServer();
  const starting = startBrokerWorld({ databaseUrl });
  await sleep(600);
  await startServer();
  world = await starting;
  const said = (msg: string, level: string) => world.lines.some((line) => line.msg === msg && line.level === level);
  expect(said('waiting for Postgres', 'warn')).toBe(true);
  expect(said('schema brought up to date', 'info')).toBe(true);
  expect((await world.send(`${world.publicUrl}/readyz`, {})).status).toBe(200);
});

test('a start without Postgres gives up after the time that the settings say', async () => {
  const databaseUrl = `postgres://nobody@127.0.0.1:${await freePort()}/none`;
  const start = startBrokerWorld({ databaseUrl, settings: { postgres: { startWaitSeconds: 1 } } });
  await expect(start).rejects.toMatchObject({ code: 'unavailable', reason: 'database_unreachable' });
});

test('a restart of Postgres in the middle of a login: a clear page, and everything is there again afterwards', async () => {
  const idp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  await world.api.workspace('acme', { design: null });
  const saml = await connectSaml(world, idp, { workspace: 'acme' });
  const person = { nameId: 'ada', email: 'ada@customer.example', groups: ['design'] };
  const before = await logInBySaml(world, saml, person);

  const login = await beginSamlLogin(world, saml);
  await stopServer();
  const visit = await answerSaml(login, saml, { ...person, groups: [] });
  expect(errorPageIn(visit).title).toBe('Signing in is not possible at the moment');
  await startServer();
  const refusal = await expectErrorPage(world, visit, { code: 'unavailable', traced: false, back: true });
  expect(await tellApp(world, login, refusal)).toBe('temporarily_unavailable');

  const after = await logInBySaml(world, saml, person);
  expect(after.sub).toBe(before.sub);
  expect(after.memberships).toEqual(before.memberships);
});
