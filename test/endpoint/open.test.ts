/** Which provider open() takes, what it says of the others, and where it binds. */
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Endpoint, explain, open } from 'libfabric';
import { libraryVersion } from 'libfabric/fi';
import { describeOnProviders, openOptions } from '../helpers/providers.js';
import { rejection } from '../helpers/everyday.js';

const isOld = libraryVersion().version < 0x10012;
const tcp = isOld ? 'net' : 'tcp';
const loopback = { node: '127.0.0.1' } as const;

function setVariable(name: string, value: string): void {
  const before = process.env[name];
  process.env[name] = value;
  onTestFinished(() => {
    if (before === undefined) Reflect.deleteProperty(process.env, name);
    else process.env[name] = before;
  });
}

describe('explain()', () => {
  test('goes through efa, verbs, tcp and sockets by default, and says why each was refused or chosen', async () => {
    const { candidates, chosen, libfabric, interfaces } = await explain(loopback);
    expect([...new Set(candidates.map(({ requested }) => requested))]).toEqual([
      'efa',
      'verbs',
      'tcp',
      'sockets',
    ]);
    expect(chosen).toBe(candidates.find(({ status }) => status === 'chosen'));
    expect(candidates.filter(({ status }) => status === 'chosen')).toHaveLength(1);
    for (const { reason } of candidates) expect(reason).not.toBe('');
    expect(libfabric?.path).toMatch(/libfabric\.so/);
    expect(interfaces.find(({ address }) => address === '127.0.0.1')?.kind).toBe('loopback');
  });

  test("means by 'tcp' the best TCP of the library", async () => {
    const { candidates } = await explain({ provider: 'tcp', ...loopback });
    expect(candidates.map(({ provider, status }) => [provider, status])).toEqual([
      [tcp, 'chosen'],
      ['tcp;ofi_rxm', 'available'],
    ]);
  });

  test('never chooses shm by itself', async () => {
    const { candidates } = await explain(loopback);
    expect(candidates.some(({ provider }) => provider === 'shm')).toBe(false);
  });

  test('names a provider that is not there', async () => {
    const { chosen, candidates } = await explain({ provider: 'nosuch' });
    expect(chosen).toBeUndefined();
    expect(candidates[0]).toMatchObject({ provider: 'nosuch', status: 'refused' });
    expect(candidates[0]?.reason).toMatch(/no such provider, or the provider found no device/);
  });

  test('names the hint that refuses: a domain that does not exist', async () => {
    const { candidates } = await explain({ provider: tcp, domain: 'nosuch0', ...loopback });
    expect(candidates[0]?.reason).toMatch(/no domain 'nosuch0', but lo|does not offer the domain asked for/);
  });

  test('names the address that cannot be bound', async () => {
    const { candidates } = await explain({ provider: tcp, node: '198.51.100.7' });
    expect(candidates[0]).toMatchObject({ status: 'refused' });
    expect(candidates[0]?.reason).toMatch(/cannot bind the address 198\.51\.100\.7/);
  });

  test('names the feature that refuses, and who has it here', async () => {
    const { candidates, chosen } = await explain({ provider: 'tcp', ...loopback, features: ['atomic'] });
    expect(candidates.map(({ provider, status }) => [provider, status])).toEqual([
      [tcp, 'refused'],
      ['tcp;ofi_rxm', 'chosen'],
    ]);
    expect(chosen?.provider).toBe('tcp;ofi_rxm');
    expect(candidates[0].reason).toMatch(
      /^it does not offer atomics \(features: \['atomic'\], FI_ATOMIC\).*; here .*'tcp;ofi_rxm', 'sockets', 'shm'.* do$/,
    );
  });

  test('reads as text, a line for each candidate and interface', async () => {
    const explanation = await explain({ provider: ['nosuch', 'shm'] });
    const lines = String(explanation).split('\n');
    expect(lines[0]).toMatch(/^libfabric \d+\.\d+, \//);
    expect(lines[1]).toMatch(/^refused +nosuch: /);
    expect(lines[2]).toMatch(/^chosen +shm: .*; domains shm/);
    expect(lines.slice(3).every((line) => line.startsWith('interface '))).toBe(true);
  });
});

describe('open()', () => {
  test('names every candidate and what refused it', async () => {
    const error = await rejection(open({ provider: ['nosuch', 'neither'] }));
    expect(error.code).toBe('ERR_FABRIC_UNAVAILABLE');
    expect(error.message).toMatch(/nosuch: .*neither: .*explain\(\)/);
  });

  test('takes the next provider where one is refused, and says so', async () => {
    const endpoint = await open({ provider: ['nosuch', 'shm'] });
    expect(endpoint.provider).toBe('shm');
    expect(endpoint.why).toMatch(/before it nosuch was refused: /);
    await endpoint.close();
  });

  test('asks nobody else who has a feature, where it found one that has', async () => {
    const endpoint = await open({ provider: 'tcp', ...loopback, features: ['atomic'] });
    expect(endpoint.provider).toBe('tcp;ofi_rxm');
    expect(endpoint.why).toMatch(new RegExp(`before it ${tcp} was refused: it does not offer atomics`));
    // What explain() adds costs a fi_getinfo for every provider there is.
    expect(endpoint.why).not.toMatch(/; here /);
    await endpoint.close();
  });

  test('follows LIBFABRIC_PROVIDER, and the option before it', async () => {
    setVariable('LIBFABRIC_PROVIDER', 'nosuch, shm');
    const byVariable = await open();
    expect(byVariable.provider).toBe('shm');
    await byVariable.close();
    const byOption = await open({ provider: 'sockets', ...loopback });
    expect(byOption.provider).toBe('sockets');
    await byOption.close();
  });

  test('refuses a provider without a feature, and names those that have it', async () => {
    expect(
      await rejection(open({ provider: 'udp', ...loopback, features: ['rma', 'atomic'] })),
    ).toMatchObject({
      code: 'ERR_FABRIC_UNAVAILABLE',
      message: expect.stringMatching(/does not offer atomics .*; here .*'shm'.* do/) as string,
    });
  });

  test('gives the methods of the features that were asked for, and no others', async () => {
    const methods = {
      tagged: ['sendTagged', 'recvTagged'],
      rma: ['read', 'write'],
      atomic: ['atomic', 'fetchAtomic', 'compareAtomic'],
    } as const;
    for (const features of [
      [],
      ['tagged'],
      ['rma'],
      ['atomic'],
      ['rma', 'tagged', 'atomic', 'rma'],
    ] as const) {
      const endpoint = await open({ provider: 'shm', features });
      const has = (['tagged', 'rma', 'atomic'] as const).filter((feature) =>
        methods[feature].every((name) => name in endpoint),
      );
      const wanted = new Set<string>(features);
      expect(has).toEqual(['tagged', 'rma', 'atomic'].filter((feature) => wanted.has(feature)));
      expect(endpoint).toBeInstanceOf(Endpoint);
      expect(endpoint.constructor.name).toBe('Endpoint');
      await endpoint.close();
    }
  });

  test.each<[string, object, RegExp]>([
    [
      'an unknown feature',
      { features: ['speed'] },
      /options.features must be made of tagged, rma, atomic; got 'speed'/,
    ],
    ['a provider that is no name', { provider: 7 }, /options.provider must be a name or an array of names/],
    ['no provider at all', { provider: [] }, /options.provider must be at least one name/],
    ['ordered of text', { ordered: 'yes' }, /options.ordered must be a boolean/],
    ['a node that is no text', { node: 4 }, /options.node must be a string/],
    ['a port out of range', { service: 70000 }, /options.service must be a whole number from 0 to 65535/],
    [
      'an unknown progress mode',
      { progress: 'fast' },
      /options.progress must be 'auto', 'inline' or 'thread'/,
    ],
    ['a spin that is too long', { spinMicroseconds: 1e9 }, /options.spinMicroseconds must be a whole number/],
    [
      'no receive buffers',
      { receive: { buffers: 0 } },
      /options.receive.buffers must be a whole number from 1/,
    ],
    ['a signal that is none', { signal: 1 }, /options.signal must be an AbortSignal/],
  ])('refuses %s', async (_what, options, message) => {
    const error = await rejection(open({ provider: 'shm', ...options }));
    expect(error).toSatisfy((value) => value instanceof TypeError || value instanceof RangeError);
    expect(error.message).toMatch(message);
  });

  test('rejects with the reason of its signal, and leaves nothing open', async () => {
    const reason = new Error('changed my mind');
    expect(await rejection(open({ provider: 'shm', signal: AbortSignal.abort(reason) }))).toBe(reason);
    const controller = new AbortController();
    const opening = open({ provider: 'shm', signal: controller.signal });
    controller.abort(reason);
    expect(await rejection(opening)).toBe(reason);
  });

  test('rejects with a TimeoutError where its time is over', async () => {
    expect((await rejection(open({ provider: 'shm', timeoutMs: 0 }))).name).toBe('TimeoutError');
  });
});

describe('the local address', () => {
  const routable = Object.values(networkInterfaces())
    .flat()
    .find((entry) => entry?.family === 'IPv4' && !entry.internal && !entry.address.startsWith('169.254.'));

  /** The IPv4 address in a struct sockaddr_in. */
  const addressOf = (bytes: Uint8Array): string => bytes.subarray(4, 8).join('.');

  test('is the first routable one by default', async (context) => {
    if (routable === undefined) {
      context.skip('this machine has no routable IPv4 address');
      return;
    }
    const endpoint = await open({ provider: tcp });
    expect(addressOf(endpoint.address)).toBe(routable.address);
    await endpoint.close();
  });

  test('is loopback when asked for, on the port asked for', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    const endpoint = await open({ provider: tcp, ...loopback, service: port });
    expect(addressOf(endpoint.address)).toBe('127.0.0.1');
    expect((endpoint.address[2] << 8) | endpoint.address[3]).toBe(port);
    await endpoint.close();
  });

  test('is never loopback by itself: without another interface open() says what to do', (context) => {
    const script =
      "import { open } from 'libfabric'; open({ provider: ['tcp', 'sockets'] }).then(" +
      "(e) => { console.log('opened', e.contact); return e.close(); }, (e) => console.log(e.code, e.message));";
    const command = `ip link set lo up; exec ${process.execPath} --input-type=module -e "${script}"`;
    const child = spawnSync('unshare', ['-n', 'bash', '-c', command], { encoding: 'utf8', timeout: 15_000 });
    if (child.error !== undefined || /unshare failed|Operation not permitted/.test(child.stderr))
      context.skip(`no network namespace can be made here: ${child.error?.message ?? child.stderr}`);
    expect(child.stdout).toMatch(
      /^ERR_FABRIC_UNAVAILABLE .*no interface with a routable address is up; give node: '127.0.0.1'/,
    );
  });
});

describeOnProviders('an open endpoint', {}, (provider) => {
  test('says what it is', async () => {
    const endpoint = await open(openOptions(provider));
    expect(endpoint.provider).toBe(provider.name);
    expect(endpoint.contact).toMatch(new RegExp(`^fabric:${provider.family}/FI_[A-Z0-9_]+/[A-Za-z0-9_-]+$`));
    expect(endpoint.address.byteLength).toBeGreaterThan(0);
    expect(endpoint.limits.maxMessageSize).toBeGreaterThanOrEqual(provider.isBare ? 4096 : 64 * 2 ** 20);
    expect(Number.isSafeInteger(endpoint.limits.maxMessageSize)).toBe(true);
    const lost = provider.losesImmediate?.(provider.libraryVersion) === true;
    expect(endpoint.limits.immediateSize).toBe(lost ? 0 : (provider.immediateBytes ?? 8));
    expect(endpoint.why).toContain(provider.name);
    await endpoint.close();
  });

  test.for([true, false])('ordered: %s', async (ordered, { skip }) => {
    skip(ordered && provider.isBare, 'efa-direct has no order');
    const endpoint = await open({ ...openOptions(provider), ordered });
    await endpoint.close();
  });

  test.each(['auto', 'inline', 'thread'] as const)('progress: %s delivers', async (progress) => {
    const a = await open({ ...openOptions(provider), progress });
    const b = await open({ ...openOptions(provider), progress });
    const peer = a.peer(b.contact);
    for (let round = 0; round < 20; round++) {
      const received = b.recv(64);
      await a.send(peer, Uint8Array.of(round));
      expect((await received).data[0]).toBe(round);
    }
    await Promise.all([a.close(), b.close()]);
  });
});
