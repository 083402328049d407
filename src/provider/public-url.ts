import type Provider from 'oidc-provider';

/**
 * Every address that the provider gives out, and whether its cookies are `Secure`, follows from the configured issuer: never from
 * `Host`, `X-Forwarded-*` or an absolute request target, which the sender of a request chooses. So it works behind any proxy, and
 * none has to be trusted.
 */
export function pinPublicUrl(provider: Provider): void {
  const { protocol, host, origin, pathname } = new URL(provider.issuer);
  const mountPath = pathname.replace(/\/$/, '');
  Object.defineProperties(provider.request, {
    protocol: { value: protocol.slice(0, -1) },
    host: { value: host },
    href: {
      get(this: Provider['request']) {
        return origin + mountPath + this.url;
      },
    },
  });
}
