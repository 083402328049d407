import type { Request, Response } from 'express';

/**
 * The cookie that binds a pending login to the browser that started it. Over https: `__Host-` (RFC 6265bis 4.1.3.2: secure, this host
 * only, whole path; no subdomain can plant it) and `SameSite=None`, because a SAML answer is a POST from another site. On plain http,
 * which only loopback uses, browsers take neither; there `Lax` serves, as ports do not make another site.
 */
export interface LoginCookies {
  set(req: Request, res: Response, cookie: { readonly pendingId: string; readonly value: string }): void;
  read(req: Request, pendingId: string): string | undefined;
  clear(res: Response, pendingId: string): void;
}

/** Logins that one browser can have open: abandoned ones must not fill its cookie header until servers refuse it. */
const maxOpenLogins = 10;

export function createLoginCookies({ publicUrl, lifetimeSeconds }: { publicUrl: string; lifetimeSeconds: number }): LoginCookies {
  const secure = new URL(publicUrl).protocol === 'https:';
  const prefix = `${secure ? '__Host-' : ''}rollcall-login-`;
  const attributes = `; Path=/; HttpOnly; ${secure ? 'Secure; SameSite=None' : 'SameSite=Lax'}`;
  const expired = `=; Max-Age=0${attributes}`;

  return {
    set(req, res, { pendingId, value }) {
      // RFC 6265 5.4: of equal paths the older cookie is sent first.
      const open = readCookies(req).filter(([name]) => name.startsWith(prefix) && isPart(name.slice(prefix.length)));
      const surplus = open.slice(0, Math.max(0, open.length + 1 - maxOpenLogins)).map(([name]) => name + expired);
      res.append('Set-Cookie', [...surplus, `${prefix}${partOf(pendingId)}=${value}; Max-Age=${lifetimeSeconds}${attributes}`]);
    },

    read(req, pendingId) {
      if (!isPart(partOf(pendingId))) return undefined;
      const name = prefix + partOf(pendingId);
      const values = readCookies(req).filter((cookie) => cookie[0] === name);
      // Two of one name: one was planted from a subdomain or another path, and nothing says which.
      return values.length === 1 ? values[0]?.[1] : undefined;
    },

    clear(res, pendingId) {
      if (isPart(partOf(pendingId))) res.append('Set-Cookie', prefix + partOf(pendingId) + expired);
    },
  };
}

/** Enough of the pending login's id to tell several logins of one browser apart. */
function partOf(pendingId: string): string {
  return pendingId.slice(0, 16);
}

function isPart(value: string): boolean {
  return /^[A-Za-z0-9_-]{16}$/.test(value);
}

function readCookies(req: Request): (readonly [name: string, value: string])[] {
  const header = req.headers.cookie;
  if (header === undefined) return [];
  return header.split(';').flatMap((pair) => {
    const at = pair.indexOf('=');
    return at < 1 ? [] : [[pair.slice(0, at).trim(), pair.slice(at + 1).trim()] as const];
  });
}
