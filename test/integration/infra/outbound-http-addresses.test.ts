import { describe, expect, test } from 'vitest';
import { hello, open, reasonOf, serve } from '../../support/outbound-world.ts';

describe('addresses', () => {
  test.each([
    ['loopback', 'http://127.0.0.1'],
    ['loopback by name', 'http://localhost'],
    ['loopback in decimal', 'http://2130706433'],
    ['loopback in octal', 'http://0177.0.0.1'],
    ['loopback in hexadecimal', 'http://0x7f.0.0.1'],
    ['loopback, short', 'http://127.1'],
    ['loopback in full-width digits', 'http://１２７.０.０.１'],
    ['unspecified', 'http://0.0.0.0'],
    ['IPv6 loopback', 'http://[::1]'],
    ['IPv6 unspecified', 'http://[::]'],
    ['IPv4-mapped loopback', 'http://[::ffff:127.0.0.1]'],
    ['NAT64 of loopback', 'http://[64:ff9b::7f00:1]'],
    ['6to4 of loopback', 'http://[2002:7f00:1::]'],
  ])('%s is refused, and reached when it is on the list', async (_, base) => {
    const { port, requests } = await serve(hello);
    expect(await reasonOf(open({ allowedPrivateAddresses: [] }).request(`${base}:${port}/`))).toBe('blocked_address');
    expect(requests).toHaveLength(0);
    const allowed = open({ allowedPrivateAddresses: ['0.0.0.0/0', '::/0'], timeoutSeconds: 1 });
    expect(await reasonOf(allowed.request(`${base}:${port}/`))).not.toBe('blocked_address');
  });

  test.each([
    'http://10.0.0.1',
    'http://192.168.0.1',
    'http://172.16.0.1',
    'http://169.254.169.254/latest/meta-data/',
    'http://100.64.0.1',
    'http://224.0.0.1',
    'http://[fe80::1]',
    'http://[fd00::1]',
    'http://[ff02::1]',
  ])('%s is refused', async (url) => expect(await reasonOf(open().request(url))).toBe('blocked_address'));

  test('a name is allowed by its own name, whatever it resolves to, and by nobody else’s', async () => {
    const { port } = await serve(hello);
    const outbound = open({
      allowedPrivateAddresses: ['idp.internal'],
      resolveHost: async () => [{ address: '127.0.0.1', family: 4 }],
    });
    expect(await outbound.request(`http://idp.internal:${port}`)).toMatchObject({ status: 200 });
    expect(await reasonOf(outbound.request(`http://other.internal:${port}`))).toBe('blocked_address');
  });

  test('a name that resolves to a public address first and to loopback at the connection gains nothing', async () => {
    const { port, requests } = await serve(hello);
    const answers = ['93.184.216.34', '127.0.0.1', '127.0.0.1', '127.0.0.1'];
    const asked: string[] = [];
    const outbound = open({
      allowedPrivateAddresses: [],
      timeoutSeconds: 1,
      resolveHost: async () => {
        const address = answers[asked.length] ?? '127.0.0.1';
        asked.push(address);
        return [{ address, family: 4 }];
      },
    });
    // Whatever the first connection ends in, it goes to the address that was checked; the second sees loopback and is refused.
    await reasonOf(outbound.request(`http://rebind.example:${port}`));
    expect(asked).toEqual(['93.184.216.34']);
    expect(await reasonOf(outbound.request(`http://rebind.example:${port}`))).toBe('blocked_address');
    expect(requests).toHaveLength(0);
  });

  test('of several addresses only the allowed ones are tried', async () => {
    const { port, requests } = await serve(hello);
    const resolveHost = async () => [
      { address: '127.0.0.2', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ];
    expect(
      await open({ allowedPrivateAddresses: ['127.0.0.1'], resolveHost }).request(`http://two.example:${port}`),
    ).toMatchObject({ status: 200 });
    expect(requests[0]?.socket.localAddress).toBe('127.0.0.1');
    expect(await reasonOf(open({ allowedPrivateAddresses: [], resolveHost }).request(`http://two.example:${port}`))).toBe(
      'blocked_address',
    );
  });

  test('a name that does not resolve is told as such', async () => {
    expect(await reasonOf(open().request('http://does-not-exist.invalid'))).toBe('dns');
  });

  test('a closed port is told as such', async () => {
    const { url, server } = await serve(hello);
    await new Promise((resolve) => server.close(resolve));
    expect(await reasonOf(open().request(url))).toBe('connect');
  });
});
