import request from 'supertest';
import { describe, expect, it } from 'vitest';
import { accessLine, aServer, connectionId, interactionUid, loginId, signedInOutcome } from '../../support/http-server.ts';

const start = `/interaction/${interactionUid}`;

describe('finishing a login', () => {
  const finish = `${start}/finish`;

  it('hands the signed-in user to the provider', async () => {
    const server = aServer();
    const { status, headers } = await request(server.app).get(finish);
    expect(status).toBe(303);
    expect(headers.location).toBe('https://app.example.com/callback?code=for-user-1');
    expect(accessLine(server.lines)).toMatchObject({ loginId });
  });

  it('tells the app about a refusal', async () => {
    const outcome = { kind: 'refused', code: 'not_entitled', reason: 'no_matching_group', loginId } as const;
    const { headers } = await request(aServer({ login: { takeOutcome: async () => outcome } }).app).get(finish);
    expect(headers.location).toBe('https://app.example.com/callback?error=access_denied');
  });

  it('does not use up the outcome for a browser without the interaction', async () => {
    let waiting: typeof signedInOutcome | null = signedInOutcome;
    const takeOutcome = async () => {
      const taken = waiting;
      waiting = null;
      return taken;
    };
    const { app } = aServer({ login: { takeOutcome } });
    expect((await request(app).get('/interaction/of-another-browser/finish')).status).toBe(400);
    expect((await request(app).get(finish)).status).toBe(303);
    // A second time there is nothing left.
    expect((await request(app).get(finish)).status).toBe(400);
  });
});

describe('SP metadata', () => {
  it('is there for a SAML connection, and 404 for anything else', async () => {
    const { app } = aServer();
    const { status, headers, body } = await request(app).get(`/saml/${connectionId}/metadata`).buffer(true).responseType('blob');
    expect([status, headers['content-type']]).toEqual([200, 'application/samlmetadata+xml; charset=utf-8']);
    expect(String(body)).toBe('<EntityDescriptor/>');
    expect((await request(app).get('/saml/01890000-0000-7000-8000-0000000000ff/metadata')).status).toBe(404);
    expect((await request(app).get('/saml/x/metadata')).status).toBe(404);
  });
});
