import { BlockList, isIP, isIPv4 } from 'node:net';
import { BrokerError } from '../domain/broker-error.ts';

/** IPv4 special-purpose addresses (IANA registry, RFC 6890) and multicast: none of them is a server on the public Internet. */
const blockedV4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8], // this network, and the unspecified address
  ['10.0.0.0', 8], // private
  ['100.64.0.0', 10], // carrier-grade NAT
  ['127.0.0.0', 8], // loopback
  ['169.254.0.0', 16], // link-local, the clouds' metadata services
  ['172.16.0.0', 12], // private
  ['192.0.0.0', 24], // IETF protocol assignments
  ['192.0.2.0', 24], // documentation
  ['192.88.99.0', 24], // 6to4 relays
  ['192.168.0.0', 16], // private
  ['198.18.0.0', 15], // benchmarks
  ['198.51.100.0', 24], // documentation
  ['203.0.113.0', 24], // documentation
  ['224.0.0.0', 4], // multicast
  ['240.0.0.0', 4], // reserved, broadcast
];

/** Of IPv6 only global unicast is public (RFC 4291 2.4), and of that not these. */
const globalUnicast = ['2000::', 3] as const;
const blockedV6: readonly (readonly [string, number])[] = [
  ['2001::', 23], // IETF protocol assignments, Teredo: carries an IPv4 address
  ['2001:db8::', 32], // documentation
  ['2002::', 16], // 6to4: carries an IPv4 address
  ['3fff::', 20], // documentation
];

const blocked = new BlockList();
for (const [net, prefix] of blockedV4) blocked.addSubnet(net, prefix, 'ipv4');
for (const [net, prefix] of blockedV6) blocked.addSubnet(net, prefix, 'ipv6');
const global = new BlockList();
global.addSubnet(...globalUnicast, 'ipv6');

/** Whether a server on the public Internet can have this address. @param address a literal, without brackets */
export function isPublicAddress(address: string): boolean {
  const plain = unwrap(address);
  if (isIPv4(plain)) return !blocked.check(plain, 'ipv4');
  return isIP(plain) === 6 && global.check(plain, 'ipv6') && !blocked.check(plain, 'ipv6');
}

/**
 * The IPv4 address inside an IPv4-mapped one (`::ffff:a.b.c.d`, RFC 4291 2.5.5.2) and inside the well-known NAT64 prefix
 * (`64:ff9b::/96`, RFC 6052 2.1): what such an address leads to is the IPv4 one.
 */
function unwrap(address: string): string {
  const bare = address.replace(/%.*$/, '');
  if (isIP(bare) !== 6) return bare;
  // The URL parser writes every IPv6 address in one way (RFC 5952).
  const written = new URL(`http://[${bare}]`).hostname.slice(1, -1);
  const [, high, low] = /^(?:::ffff:|64:ff9b::)(?:([0-9a-f]{1,4}):)?([0-9a-f]{0,4})$/.exec(written) ?? [];
  if (low === undefined) return written;
  const bits = [Number.parseInt(high ?? '0', 16), Number.parseInt(low || '0', 16)];
  return bits.flatMap((pair) => [pair >> 8, pair & 0xff]).join('.');
}

export interface AddressGuard {
  /** Whether a connection for this host may go to this address. */
  allows(hostname: string, address: string): boolean;
}

/** @param allowedPrivateAddresses hosts (with whatever address), addresses and CIDR ranges that may be reached although not public */
export function createAddressGuard(allowedPrivateAddresses: readonly string[]): AddressGuard {
  const hosts = new Set<string>();
  const ranges = new BlockList();
  for (const entry of allowedPrivateAddresses) {
    if (!addRange(ranges, entry)) hosts.add(hostKey(entry));
  }
  return {
    allows(hostname, address) {
      if (isPublicAddress(address) || hosts.has(hostKey(hostname))) return true;
      const plain = unwrap(address);
      return ranges.check(plain, isIPv4(plain) ? 'ipv4' : 'ipv6');
    },
  };
}

function addRange(ranges: BlockList, entry: string): boolean {
  const [net = '', prefixText, ...rest] = entry.split('/');
  const address = net.replace(/^\[(.*)\]$/, '$1');
  const version = isIP(address);
  if (prefixText === undefined) {
    if (version === 0) return false;
    ranges.addAddress(unwrap(address), isIPv4(unwrap(address)) ? 'ipv4' : 'ipv6');
    return true;
  }
  const prefix = Number(prefixText);
  const valid = version !== 0 && rest.length === 0 && /^\d{1,3}$/.test(prefixText) && prefix <= (version === 4 ? 32 : 128);
  if (!valid) {
    throw new BrokerError(
      'internal',
      `"${entry}" in outbound.allowedPrivateAddresses is neither a host, an address nor a CIDR range`,
      {
        reason: 'outbound_allow_list',
      },
    );
  }
  ranges.addSubnet(address, prefix, version === 4 ? 'ipv4' : 'ipv6');
  return true;
}

function hostKey(hostname: string): string {
  return hostname.toLowerCase().replace(/\.$/, '');
}
