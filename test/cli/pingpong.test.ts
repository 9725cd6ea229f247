/** `libfabric pingpong` against libfabric's own fi_pingpong, in both roles, with every byte checked. */
import { networkInterfaces } from 'node:os';
import { describe, expect, test } from 'vitest';
import { getInfo } from 'libfabric/fi';
import { expectTable, ours, runPair, startPair, theirs, whyNoProgram } from '../helpers/pingpong.js';
import { describeOnProviders } from '../helpers/providers.js';

const roles = [
  ['as the server', { server: ours, client: theirs }],
  ['as the client', { server: theirs, client: ours }],
] as const;
const usual = ['64', '256', '1k', '4k', '64k', '1m'];

/** What keeps fi_pingpong, which asks for the same, from running; undefined: nothing. */
async function whyNot(provider: string, endpoint: string): Promise<string | undefined> {
  const endpointType = `FI_EP_${endpoint.toUpperCase()}`;
  const infos = await getInfo({ providerName: provider, endpointType, caps: ['FI_MSG'] });
  return infos.some((info) => info.provider === provider)
    ? undefined
    : `${provider} has no endpoints of type ${endpointType}`;
}

describeOnProviders('pingpong with fi_pingpong', { unless: whyNoProgram }, ({ name }) => {
  describe.each(roles)('%s', (_, pair) => {
    test.for(['rdm', 'msg', 'dgram'])('over %s endpoints', async (endpoint, context) => {
      const reason = await whyNot(name, endpoint);
      context.skip(reason !== undefined, reason);
      expect(await expectTable({ ...pair, args: ['-p', name, '-e', endpoint, '-c'] })).toEqual(usual);
    });
  });

  test('with tags', async () => {
    const args = ['-p', name, '-e', 'rdm', '-m', 'tagged', '-c', '-S', '5000', '-I', '20'];
    expect(await expectTable({ server: theirs, client: ours, args })).toEqual(['4.8k']);
  });
});

const noUdp = whyNoProgram() ?? (await whyNot('udp', 'dgram'));
describe.skipIf(noUdp !== undefined)(
  `pingpong with fi_pingpong on udp${noUdp === undefined ? '' : ` (skipped: ${noUdp})`}`,
  () => {
    test.each(roles)('%s sends datagrams as long as udp takes', async (_, pair) => {
      expect(await expectTable({ ...pair, args: ['-p', 'udp', '-c'] })).toEqual(['64', '256', '1k']);
    });

    test('sends one size, often', async () => {
      const args = ['-p', 'udp', '-e', 'dgram', '-S', '1472', '-I', '1000', '-c'];
      expect(await expectTable({ server: ours, client: theirs, args })).toEqual(['1.4k']);
    });
  },
);

const noProgram = whyNoProgram();
describe.skipIf(noProgram !== undefined)(
  `the sizes of pingpong${noProgram === undefined ? '' : ` (skipped: ${noProgram})`}`,
  () => {
    test('are all of fi_pingpong with -S all', async () => {
      const args = ['-p', 'shm', '-e', 'rdm', '-S', 'all', '-I', '2'];
      const sizes = await expectTable({ server: theirs, client: ours, args });
      expect(sizes).toHaveLength(46);
      expect([sizes.slice(0, 7), sizes.slice(-2)]).toEqual([
        ['0', '1', '2', '3', '4', '6', '8'],
        ['4m', '6m'],
      ]);
    });

    test('may be 0', async () => {
      const args = ['-p', 'sockets', '-e', 'rdm', '-S', '0'];
      expect(await expectTable({ server: ours, client: theirs, args })).toEqual(['0']);
    });
  },
);

describe('two of this package', () => {
  const both = { server: ours, client: ours };
  const tcp = ['-p', 'tcp;ofi_rxm', '-e', 'rdm'];

  test('check every byte, and tell one that differs', async () => {
    const args = [...tcp, '-S', '64', '-I', '3'];
    const { server, client } = await runPair({ ...both, args, serverArgs: ['-c'] });
    expect([server.code, client.code]).toEqual([1, 1]);
    expect(server.stderr).toContain(
      'byte 0 of 64 of message 1 is 0, not 48: is the other side started with -c too?',
    );
    expect(client.stderr).toContain('the other side has ended the control connection');
  });

  test('tell that they were started with different sizes', async () => {
    const { server, client } = await runPair({
      ...both,
      args: tcp,
      serverArgs: ['-S', '32'],
      clientArgs: ['-S', '16'],
    });
    expect([server.code, client.code]).toEqual([1, 1]);
    // The client's message comes first; the server goes then, and the client with it.
    expect(server.stderr).toContain(
      'a message has 16 bytes, not 32: is the other side started with the same -S?',
    );
    expect(client.stderr).toContain('the other side has ended the control connection');
  });

  test('refuse what no provider offers', async () => {
    const { server, client } = await runPair({ ...both, args: ['-p', 'shm', '-e', 'msg'] });
    expect([server.code, client.code]).toEqual([1, 1]);
    expect(server.stderr).toContain(
      "no provider offers -e msg -m msg -p 'shm': `fi_info -t FI_EP_MSG` lists what there is",
    );
    expect(client.stderr).toContain('the other side has ended the control connection');
  });

  test('a side tells that the other was killed', async () => {
    const { server, client } = await startPair({
      ...both,
      args: [...tcp, '-v', '-I', '2147483647', '-S', '64'],
    });
    await Promise.all([server.says('the other side is known'), client.says('the other side is known')]);
    client.child.kill('SIGKILL');
    const { code, stderr } = await server.ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /the other side has ended the control connection|the control connection broke|failed/,
    );
  });

  test('exchange nothing at all', async () => {
    const { server, client } = await runPair({ ...both, args: [...tcp, '-I', '0'] });
    expect([server.code, client.code]).toEqual([0, 0]);
    expect(server.stdout + client.stdout).toBe('');
  });

  test('over a control connection of IPv6', async (context) => {
    const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    context.skip(!addresses.some(({ address }) => address === '::1'), 'this machine has no IPv6');
    const { server, client } = await runPair({ ...both, args: [...tcp, '-6', '-S', '64'], host: '::1' });
    expect([server.code, client.code, server.stderr, client.stderr]).toEqual([0, 0, '', '']);
  });

  test('bound to a source address', async () => {
    const args = [...tcp, '-v', '-S', '64'];
    const { server, client } = await runPair({
      ...both,
      args,
      serverArgs: ['-s', '127.0.0.2'],
      clientArgs: ['-s', '127.0.0.3'],
    });
    expect([server.code, client.code]).toEqual([0, 0]);
    expect(server.stderr).toContain('the fabric address fi_sockaddr_in://127.0.0.2:');
    expect(client.stderr).toContain('the fabric address fi_sockaddr_in://127.0.0.3:');
  });
});
