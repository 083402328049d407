import request from 'supertest';
import { describe, expect, it } from 'vitest';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import {
  accessLine,
  aServer,
  connectionId,
  interactionUid,
  loginId,
  pendingId,
  signedIn,
  type TestServerOptions,
} from '../../support/http-server.ts';

const acs = `/saml/${connectionId}/acs`;
const callback = `/callback/${connectionId}`;
const cookieName = `__Host-rollcall-login-${'p'.repeat(16)}`;
const answer = { SAMLResponse: 'PHg+', RelayState: pendingId };

const postAnswer = (options: TestServerOptions = {}, fields: object | string = answer) =>
  request(aServer(options).app).post(acs).type('form').send(fields);

describe('the answer of a SAML IdP', () => {
  it('leads on to the app and ends the cookie', async () => {
    const { status, headers } = await postAnswer();
    expect(status).toBe(303);
    expect(headers.location).toBe(`/interaction/${interactionUid}/finish`);
    expect(headers['set-cookie']).toEqual([`${cookieName}=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=None`]);
  });

  it('leaves the line of the login in the log, without anything of the answer', async () => {
    const server = aServer();
    await request(server.app)
      .post(`${acs}?email=ann@example.com`)
      .type('form')
      .send(answer)
      .set('Cookie', `${cookieName}=browser-token`);
    expect(accessLine(server.lines)).toMatchObject({ method: 'POST', path: acs, status: 303, loginId, connectionId });
    for (const secret of ['PHg+', pendingId, 'browser-token', 'ann@example.com']) expect(server.logText()).not.toContain(secret);
  });

  it('that is refused shows a page whose reference is the login’s, and the way back to the app', async () => {
    const error = new BrokerError('assertion_rejected', 'the audience is another one', { reason: 'audience_mismatch' });
    const refused = { kind: 'refused', error, loginId, interactionUid } as const;
    const server = aServer({ login: { completeSaml: async () => refused } });
    const { status, text } = await request(server.app).post(acs).type('form').send(answer);
    expect(status).toBe(403);
    expect(text).toContain(`<dd>${loginId}</dd>`);
    expect(text).toContain(`href="/interaction/${interactionUid}/finish"`);
    expect(text).not.toContain('audience');
    expect(accessLine(server.lines)).toMatchObject({ loginId, code: 'assertion_rejected', status: 403 });
  });

  it('that belongs to no login of this browser has no way back', async () => {
    const error = new BrokerError('login_expired', 'no login is waiting', { reason: 'unknown_login' });
    const refused = { kind: 'refused', error, loginId, interactionUid: null } as const;
    const { status, text } = await postAnswer({ login: { completeSaml: async () => refused } });
    expect(status).toBe(400);
    expect(text).not.toContain('/finish');
  });

  it('without RelayState is still judged: as an answer that nobody waits for', async () => {
    let seen: string | undefined;
    const completeSaml = async ({ pendingId: id }: { pendingId: string }) => {
      seen = id;
      return signedIn;
    };
    await postAnswer({ login: { completeSaml } }, { SAMLResponse: 'PHg+' });
    expect(seen).toBe('');
  });

  it.each([
    ['without SAMLResponse', 'RelayState=x'],
    ['with an empty SAMLResponse', 'SAMLResponse=&RelayState=x'],
    ['with two of them', 'SAMLResponse=a&SAMLResponse=b&RelayState=x'],
    ['with two RelayStates', 'SAMLResponse=a&RelayState=x&RelayState=y'],
  ])('%s is an invalid request', async (_case, fields) => {
    const server = aServer({ login: { completeSaml: async () => Promise.reject(new Error('must not be called')) } });
    const { status, text } = await request(server.app).post(acs).type('form').send(fields);
    expect(status).toBe(400);
    expect(text).toContain('The request cannot be understood');
  });

  it('over the limit is refused with 413, and one below it is read', async () => {
    const options = { settings: { maxFormBytes: 1_000 } };
    const large = await postAnswer(options, `SAMLResponse=${'A'.repeat(1_000)}`);
    expect(large.status).toBe(413);
    expect(large.text).toContain('The request is too large');
    expect((await postAnswer(options, `SAMLResponse=${'A'.repeat(980)}`)).status).toBe(303);
  });

  it.each([
    ['JSON', 'application/json', '{"SAMLResponse":"x"}'],
    ['plain text', 'text/plain', 'SAMLResponse=x'],
    ['a multipart form', 'multipart/form-data; boundary=x', '--x--'],
  ])('as %s is refused', async (_case, type, body) => {
    const { status } = await request(aServer().app).post(acs).set('Content-Type', type).send(body);
    expect(status).toBe(400);
  });

  it('with a thousand fields is refused', async () => {
    const fields = Array.from({ length: 1_000 }, (_, index) => `f${index}=1`).join('&');
    expect((await postAnswer({}, fields)).status).toBe(413);
  });

  it('to a path that names no connection finds nothing', async () => {
    for (const path of ['/saml/x/acs', '/saml/..%2f..%2fetc/acs', "/saml/1'%20OR%201=1/acs", '/saml/%00/acs']) {
      const { status } = await request(aServer().app).post(path).type('form').send(answer);
      expect(status).toBe(404);
    }
  });

  it('while Postgres is away is answered with 503 and when to try again', async () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const { status, headers, text } = await postAnswer({ login: { completeSaml: async () => Promise.reject(refused) } });
    expect(status).toBe(503);
    expect(headers['retry-after']).toBe('5');
    expect(text).toContain('Nothing was lost');
    expect(text).not.toContain('ECONNREFUSED');
  });

  it('that meets a mistake of ours is answered with 500 and none of its words; the log has them', async () => {
    const server = aServer({
      login: { completeSaml: async () => Promise.reject(new TypeError("Cannot read properties of undefined (reading 'x')")) },
    });
    const { status, text, headers } = await request(server.app).post(acs).type('form').send(answer);
    expect(status).toBe(500);
    expect(text).not.toContain('Cannot read');
    const line = server.lines.find(({ msg }) => msg === 'request failed');
    expect(line).toMatchObject({ level: 'error', requestId: headers['x-request-id'], code: 'internal' });
    expect(JSON.stringify(line)).toContain('Cannot read properties');
  });
});

describe('the answer of an OIDC IdP', () => {
  it('is handed on as the configured address with the query as it came, whatever Host says', async () => {
    const seen: { callbackUrl: URL; pendingId: string }[] = [];
    const completeOidc = async (given: { callbackUrl: URL; pendingId: string }) => {
      seen.push(given);
      return signedIn;
    };
    const query = `?state=${pendingId}&code=a%2Bb&iss=https%3A%2F%2Fidp.example.com`;
    const { status, headers } = await request(aServer({ login: { completeOidc } }).app)
      .get(callback + query)
      .set('Host', 'evil.example.com');
    expect(status).toBe(303);
    expect(headers.location).toBe(`/interaction/${interactionUid}/finish`);
    expect(seen.map(({ callbackUrl }) => callbackUrl.href)).toEqual([`https://login.example.com${callback}${query}`]);
    expect(seen[0]?.pendingId).toBe(pendingId);
  });

  it('with two states is an invalid request; with none it is an answer nobody waits for', async () => {
    const { app } = aServer();
    expect((await request(app).get(`${callback}?state=a&state=b&code=x`)).status).toBe(400);
    expect((await request(app).get(`${callback}?code=x`)).status).toBe(303);
  });
});
