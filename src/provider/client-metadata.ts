import { z } from 'zod';
import { tokenSigningAlgorithms } from './signing-keys.ts';

export const clientIdPattern = /^[A-Za-z0-9._~-]{1,128}$/;

const redirectUri = z.string().superRefine((value, context) => {
  const message = redirectUriProblem(value);
  if (message !== null) context.addIssue({ code: 'custom', message });
});

/** A client of the OpenID Provider, as an operator declares it. Strict: an unknown key is an error. */
export const clientMetadataSchema = z
  .strictObject({
    clientId: z.string().regex(clientIdPattern, 'give 1 to 128 letters, digits, ".", "_", "~" or "-"'),
    /** Null for a public client. */
    clientSecret: z
      .string()
      .regex(/^[\x21-\x7e]{32,512}$/, 'give 32 to 512 visible ASCII characters')
      .nullable()
      .default(null),
    name: z.string().trim().min(1).max(200),
    redirectUris: z.array(redirectUri).min(1).max(50),
    postLogoutRedirectUris: z.array(redirectUri).max(50).default([]),
    tokenEndpointAuthMethod: z.enum(['client_secret_basic', 'client_secret_post', 'none']).default('client_secret_basic'),
    /** Null: the instance's default algorithm. */
    idTokenSignedResponseAlg: z.enum(tokenSigningAlgorithms).nullable().default(null),
  })
  .superRefine(({ clientSecret, tokenEndpointAuthMethod }, context) => {
    const isPublic = tokenEndpointAuthMethod === 'none';
    if (isPublic === (clientSecret === null)) return;
    const message = isPublic
      ? 'a public client (method "none") has no secret: leave it out'
      : 'give a secret, or the method "none" for a public client';
    context.addIssue({ code: 'custom', path: ['clientSecret'], message });
  });

export type ClientMetadata = z.infer<typeof clientMetadataSchema>;
/** As written in a file: what has a default may be left out. */
export type ClientMetadataInput = z.input<typeof clientMetadataSchema>;

/**
 * Redirect URIs are compared character by character (OpenID Connect Core 3.1.2.1, RFC 9700 4.1.3), so each stands in full: absolute,
 * without fragment (RFC 6749 3.1.2) or wildcard, and https unless it stays on this machine (RFC 8252 7.3, 8.3).
 * @returns what is wrong, and what to do
 */
function redirectUriProblem(value: string): string | null {
  // A URL parser drops line ends and turns a backslash into a slash: browsers would go elsewhere than the eye reads.
  if (value.length > 2_048 || !/^[\x21-\x5b\x5d-\x7e]+$/.test(value))
    return 'give at most 2048 visible ASCII characters without backslash';
  const url = URL.parse(value);
  if (!url) return 'give an absolute URL';
  if (value.includes('#')) return 'leave out the fragment ("#")';
  if (value.includes('*')) return 'wildcards are not allowed: list each URL in full';
  if (url.username !== '' || url.password !== '') return 'leave out user name and password';
  if (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))) return null;
  return 'use https; http only for localhost, 127.0.0.1 and [::1]';
}

function isLoopback(hostname: string): boolean {
  return ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
}
