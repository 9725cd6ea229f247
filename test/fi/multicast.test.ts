/** Groups of addresses that one message reaches: of provider udp, whose endpoints are of type FI_EP_DGRAM. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FI_SOURCE, MulticastGroup, getInfo } from 'libfabric/fi';
import { type FiSide, openSide } from '../helpers/fi.js';
import { ProgramRun } from '../helpers/program.js';
import { describeOnProviders, underTest } from '../helpers/providers.js';

const unsupported = expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED', call: 'fi_join' });

/** struct sockaddr_in. */
function socketAddress(address: string, port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 2, true);
  view.setUint16(2, port);
  bytes.set(address.split('.').map(Number), 4);
  return bytes;
}

const group = '239.255.42.7';
const program = fileURLToPath(new URL('../programs/multicast.mjs', import.meta.url));

async function openUdp(): Promise<FiSide> {
  const hints = {
    ...{ providerName: 'udp', endpointType: 'FI_EP_DGRAM', caps: ['FI_MSG', 'FI_MULTICAST'] },
    ...{ addressVectorType: 'FI_AV_TABLE', addressFormat: 'FI_SOCKADDR_IN' },
  };
  const [info] = await getInfo(hints, { node: '127.0.0.1', flags: FI_SOURCE });
  return openSide(underTest('udp'), { info });
}

describe('multicast on udp', () => {
  it('reaches who has joined, until they leave', async (test) => {
    // Providers join on the default interface: in a network of its own that is the loopback one, and nothing gets out.
    const network = ['unshare', '--net', 'sh', '-c'];
    const route = 'ip link set lo up && ip route add 239.0.0.0/8 dev lo';
    const [command, ...rest] = network;
    const { status, stderr, error } = spawnSync(command, [...rest, route], { encoding: 'utf8' });
    if (status !== 0) test.skip(`no network of its own: ${error?.message ?? stderr}`);
    const run = new ProgramRun(['unshare', ...rest, `${route} && exec "$0" "$1"`, process.execPath, program]);
    const { code, stdout } = await run.ended;
    expect({ code, ...(JSON.parse(stdout || '{}') as object) }).toEqual({
      ...{ code: 0, lengths: [100, 50], whole: true },
      ...{ busy: 'ERR_FABRIC_BUSY', left: 'ERR_FABRIC_CLOSED' },
    });
  });

  it('refuses what is no address, and other objects', async () => {
    const { endpoint, queue } = await openUdp();
    for (const wrong of [undefined, null, {}, queue])
      await expect(MulticastGroup.join(wrong as never, socketAddress(group, 1))).rejects.toThrow(TypeError);
    await expect(MulticastGroup.join(endpoint, '239.0.0.1' as never)).rejects.toThrow(TypeError);
    await expect(MulticastGroup.join(endpoint, new Uint8Array(7))).rejects.toMatchObject({
      code: 'ERR_FABRIC_ADDRESS',
    });
  });
});

describeOnProviders('multicast, where the provider has none,', {}, (provider) => {
  it('is refused', async () => {
    const { endpoint } = await openSide(provider);
    await expect(MulticastGroup.join(endpoint, endpoint.getName())).rejects.toThrow(unsupported);
  });
});
