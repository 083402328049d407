import { domainToASCII } from 'node:url';

/** The domain of an e-mail address in the form in which domains are stored: lower case, IDNA ASCII; null: this is no address. */
export function emailDomain(email: string | null | undefined): string | null {
  const at = email?.lastIndexOf('@') ?? -1;
  if (!email || at < 1 || email.length > 320) return null;
  return normalDomain(email.slice(at + 1));
}

/** A domain name as typed in that form; null: this is none. RFC 1123 2.1, RFC 5890. */
export function normalDomain(text: string): string | null {
  // The URL parser beneath would decode and cut these.
  if (/[%/\\?#@:\s[\]]/.test(text.trim())) return null;
  const domain = domainToASCII(text.trim()).replace(/\.$/, '');
  const isName = /^(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]*[a-z][a-z0-9-]*[a-z0-9]$/.test(domain);
  return isName ? domain : null;
}
