import { describe, expect, test } from 'vitest';
import { createAddressGuard, isPublicAddress } from '../../../src/infra/outbound-address.ts';

describe('public addresses', () => {
  test.each([
    '8.8.8.8',
    '1.1.1.1',
    '93.184.216.34',
    '172.15.255.255',
    '172.32.0.1',
    '100.63.255.255',
    '100.128.0.1',
    '192.167.1.1',
    '223.255.255.255',
    '2606:4700::1111',
    '2a00:1450:4001::1',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
  ])('%s is public', (address) => expect(isPublicAddress(address)).toBe(true));

  test.each([
    ['loopback', '127.0.0.1'],
    ['the rest of the loopback net', '127.255.255.254'],
    ['unspecified', '0.0.0.0'],
    ['this network', '0.1.2.3'],
    ['private 10/8', '10.0.0.1'],
    ['private 172.16/12, low end', '172.16.0.1'],
    ['private 172.16/12, high end', '172.31.255.255'],
    ['private 192.168/16', '192.168.1.1'],
    ['carrier-grade NAT, low end', '100.64.0.1'],
    ['carrier-grade NAT, high end', '100.127.255.255'],
    ['link-local', '169.254.1.1'],
    ['the metadata service', '169.254.169.254'],
    ['the metadata service of Alibaba Cloud', '100.100.100.200'],
    ['protocol assignments', '192.0.0.8'],
    ['documentation', '203.0.113.9'],
    ['benchmarks', '198.19.255.255'],
    ['multicast', '224.0.0.1'],
    ['reserved', '250.0.0.1'],
    ['broadcast', '255.255.255.255'],
    ['IPv6 loopback', '::1'],
    ['IPv6 unspecified', '::'],
    ['IPv6 link-local', 'fe80::1'],
    ['IPv6 link-local with a zone', 'fe80::1%eth0'],
    ['IPv6 unique local', 'fd00::1'],
    ['the metadata service over IPv6', 'fd00:ec2::254'],
    ['IPv6 site-local', 'fec0::1'],
    ['IPv6 multicast', 'ff02::1'],
    ['IPv6 documentation', '2001:db8::1'],
    ['Teredo', '2001:0:7f00:1::1'],
    ['6to4 of loopback', '2002:7f00:1::1'],
    ['IPv4-mapped loopback', '::ffff:127.0.0.1'],
    ['IPv4-mapped loopback in hexadecimal', '::ffff:7f00:1'],
    ['IPv4-mapped loopback, written out', '0:0:0:0:0:ffff:7f00:0001'],
    ['IPv4-mapped metadata service', '::ffff:a9fe:a9fe'],
    ['IPv4-mapped unspecified', '::ffff:0:0'],
    ['IPv4-compatible loopback', '::127.0.0.1'],
    ['NAT64 of loopback', '64:ff9b::7f00:1'],
    ['NAT64 of a private address', '64:ff9b::10.0.0.1'],
    ['NAT64 of the unspecified address', '64:ff9b::'],
    ['NAT64 of 0.0.0.1', '64:ff9b::1'],
    ['local NAT64', '64:ff9b:1::a00:1'],
    ['discard only', '100::1'],
    ['not an address', 'localhost'],
    ['nothing', ''],
  ])('%s is not public (%s)', (_, address) => expect(isPublicAddress(address)).toBe(false));
});

describe('the allow-list', () => {
  const guard = createAddressGuard(['idp.internal', '10.1.0.0/16', '127.0.0.1', 'fd00:1::/32', '[::1]', '192.168.7.7']);

  test.each([
    ['a public address', 'example.com', '8.8.8.8'],
    ['a host on the list, at whatever address', 'idp.internal', '172.16.3.4'],
    ['a host on the list, in capitals and with a dot at its end', 'IDP.Internal.', '172.16.3.4'],
    ['an address in a range on the list', 'anything.example', '10.1.255.255'],
    ['the same as IPv4-mapped', 'anything.example', '::ffff:10.1.2.3'],
    ['an address on the list', '127.0.0.1', '127.0.0.1'],
    ['an IPv6 range on the list', 'anything.example', 'fd00:1:2::3'],
    ['an IPv6 address on the list', '::1', '::1'],
  ])('allows %s', (_, host, address) => expect(guard.allows(host, address)).toBe(true));

  test.each([
    ['a private address beside the range', 'anything.example', '10.2.0.1'],
    ['a host whose name only ends like one on the list', 'evil-idp.internal', '172.16.3.4'],
    ['a subdomain of a host on the list', 'a.idp.internal', '172.16.3.4'],
    ['another loopback address', '127.0.0.2', '127.0.0.2'],
    ['an IPv6 address beside the range', 'anything.example', 'fd00:2::1'],
    ['the metadata service', 'metadata', '169.254.169.254'],
  ])('refuses %s', (_, host, address) => expect(guard.allows(host, address)).toBe(false));

  test.each(['10.0.0.0/33', '10.0.0.0/x', 'host/8', '::/129', '10.0.0.0/8/8', '10.0.0.0/'])(
    'refuses the entry %s at the start',
    (entry) => {
      expect(() => createAddressGuard([entry])).toThrow(expect.objectContaining({ reason: 'outbound_allow_list' }));
    },
  );

  test('a range of all addresses allows all', () => {
    const open = createAddressGuard(['0.0.0.0/0', '::/0']);
    for (const address of ['127.0.0.1', '::1', '169.254.169.254', '::ffff:10.0.0.1'])
      expect(open.allows('x', address)).toBe(true);
  });
});
