import request from 'supertest';
import { describe, expect, it } from 'vitest';
import { aServer, connectionId, interactionUid, pendingId, signedIn } from '../../support/http-server.ts';

const cookieName = `__Host-rollcall-login-${'p'.repeat(16)}`;
const answer = { SAMLResponse: 'PHg+', RelayState: pendingId };

describe('the cookie of a login', () => {
  const browserTokenFrom = async (cookie: string[]) => {
    let seen: string | undefined = 'nothing was read';
    const completeSaml = async ({ browserToken }: { browserToken: string | undefined }) => {
      seen = browserToken;
      return signedIn;
    };
    await request(aServer({ login: { completeSaml } }).app)
      .post(`/saml/${connectionId}/acs`)
      .type('form')
      .send(answer)
      .set('Cookie', cookie);
    return seen;
  };

  it('is read by the name that belongs to the answer', async () => {
    expect(await browserTokenFrom(['other=1', `${cookieName}=browser-token`])).toBe('browser-token');
  });

  it.each([
    ['is missing', ['other=1']],
    ['lacks the __Host- prefix that subdomains cannot plant', [`rollcall-login-${'p'.repeat(16)}=planted`]],
    ['is there twice', [`${cookieName}=planted`, `${cookieName}=browser-token`]],
    ['belongs to another login', [`__Host-rollcall-login-${'q'.repeat(16)}=browser-token`]],
  ])('counts for nothing when it %s', async (_case, cookies) => {
    expect(await browserTokenFrom(cookies)).toBeUndefined();
  });

  it('does not grow into a header that servers refuse: the oldest of many open logins give way', async () => {
    const open = Array.from({ length: 12 }, (_, index) => `__Host-rollcall-login-${String(index).padStart(16, '0')}`);
    const { headers } = await request(aServer().app)
      .get(`/interaction/${interactionUid}`)
      .set(
        'Cookie',
        open.map((name) => `${name}=x`),
      );
    const cookies = headers['set-cookie'] as unknown as string[];
    const expired = cookies.filter((cookie) => cookie.includes('Max-Age=0')).map((cookie) => cookie.split('=', 1)[0]);
    expect(expired).toEqual(open.slice(0, 3));
    expect(cookies.at(-1)).toContain(`${cookieName}=browser-token`);
  });
});
