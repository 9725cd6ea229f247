import { describe, expect, it, onTestFinished } from 'vitest';
import * as fi from 'libfabric/fi';
import { resultOf } from '../helpers/child.js';
import type { FiSide } from '../helpers/fi.js';
import { hintsFor, infoFor, openSide } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const unsupported = expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED' });
const isNew = fi.libraryVersion().version >= 0x20000;

/** An endpoint that is not enabled; closed after the test. */
async function openEndpoint(provider: ProviderUnderTest): Promise<fi.Endpoint> {
  const opened: fi.FabricObject[] = [];
  onTestFinished(async () => {
    for (const object of opened.reverse()) await object.close();
  });
  const info = await infoFor(provider);
  const fabric = await fi.Fabric.open(info);
  opened.push(fabric);
  const domain = await fi.Domain.open(fabric, info);
  opened.push(domain);
  const endpoint = await fi.Endpoint.open(domain, info);
  opened.push(endpoint);
  return endpoint;
}

describeOnProviders('options of endpoints', {}, (provider) => {
  it('are read and set with their types', async () => {
    const endpoint = await openEndpoint(provider);
    endpoint.setOpt('FI_OPT_MIN_MULTI_RECV', 777);
    expect(endpoint.getOpt('FI_OPT_MIN_MULTI_RECV')).toBe(777);
  });

  it('that the provider lacks are refused as such', async () => {
    const endpoint = await openEndpoint(provider);
    if (provider.name !== 'efa') {
      expect(() => endpoint.getOpt('FI_OPT_EFA_RNR_RETRY')).toThrow(unsupported);
      expect(() => endpoint.setOpt('FI_OPT_EFA_RNR_RETRY', 3)).toThrow(unsupported);
    }
    expect(() => endpoint.getOpt('FI_OPT_FIREWALL_ADDR')).toThrow(unsupported);
    if (provider.name === 'tcp;ofi_rxm' && !isNew)
      expect(endpoint.getOpt('FI_OPT_BUFFERED_LIMIT')).toBeGreaterThan(0);
    else expect(() => endpoint.getOpt('FI_OPT_BUFFERED_LIMIT')).toThrow(unsupported);
  });

  it('are checked before the provider sees them', async () => {
    const endpoint = await openEndpoint(provider);
    const wrong = endpoint as unknown as {
      getOpt: (option: unknown) => unknown;
      setOpt: (option: unknown, value: unknown) => void;
    };
    expect(() => wrong.getOpt('FI_OPT_NOWHERE')).toThrow(RangeError);
    expect(() => wrong.getOpt('toString')).toThrow(RangeError);
    expect(() => wrong.getOpt(0)).toThrow(TypeError);
    expect(() => {
      wrong.setOpt('FI_OPT_MIN_MULTI_RECV', '64');
    }).toThrow(TypeError);
    expect(() => {
      wrong.setOpt('FI_OPT_MIN_MULTI_RECV', -1);
    }).toThrow(RangeError);
    expect(() => {
      wrong.setOpt('FI_OPT_SHARED_MEMORY_PERMITTED', 1);
    }).toThrow(TypeError);
    expect(() => {
      wrong.setOpt('FI_OPT_FI_HMEM_P2P', 'FI_HMEM_P2P_NEVER');
    }).toThrow(/FI_HMEM_P2P_DISABLED/);
    expect(() => endpoint.getOptBytes(fi.FI_OPT_ENDPOINT, fi.FI_OPT_MIN_MULTI_RECV, 0)).toThrow(RangeError);
    expect(() => endpoint.getOptBytes(fi.FI_OPT_ENDPOINT, fi.FI_OPT_MIN_MULTI_RECV, 8192)).toThrow(
      RangeError,
    );
    expect(() => {
      endpoint.setOptBytes(fi.FI_OPT_ENDPOINT, 0.5, new Uint8Array(8));
    }).toThrow(RangeError);
    expect(() => {
      endpoint.setOptBytes(77, fi.FI_OPT_MIN_MULTI_RECV, new Uint8Array(8));
    }).toThrow(fi.FabricError);
    await endpoint.close();
    expect(() => endpoint.getOpt('FI_OPT_MIN_MULTI_RECV')).toThrow(
      expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' }),
    );
  });

  it('are bytes too, as C has them', async () => {
    const endpoint = await openEndpoint(provider);
    const value = new Uint8Array(8);
    new DataView(value.buffer).setBigUint64(0, 4321n, true);
    endpoint.setOptBytes(fi.FI_OPT_ENDPOINT, fi.FI_OPT_MIN_MULTI_RECV, value);
    const bytes = endpoint.getOptBytes(fi.FI_OPT_ENDPOINT, fi.FI_OPT_MIN_MULTI_RECV, 8);
    expect(bytes.byteLength).toBe(8);
    const read = new DataView(bytes.buffer).getBigUint64(0, true);
    expect(read).toBe(4321n);
    expect(endpoint.getOpt('FI_OPT_MIN_MULTI_RECV')).toBe(4321);
  });

  it('include the flags of operations, where the provider tells', async () => {
    const endpoint = await openEndpoint(provider);
    if (provider.name !== 'sockets') {
      expect(() => endpoint.getOpFlags('transmit')).toThrow(unsupported);
      expect(() => {
        endpoint.setOpFlags('receive', 0n);
      }).toThrow(unsupported);
      return;
    }
    endpoint.setOpFlags('transmit', ['FI_DELIVERY_COMPLETE']);
    expect(fi.flagNames('operation', endpoint.getOpFlags('transmit'))).toEqual(['FI_DELIVERY_COMPLETE']);
    expect(endpoint.getOpFlags('receive')).toBe(0n);
    expect(() => endpoint.getOpFlags('sideways' as 'transmit')).toThrow(RangeError);
    expect(() => {
      endpoint.setOpFlags('transmit', ['FI_NONSENSE']);
    }).toThrow(RangeError);
  });

  it('count the room that is left, where the provider counts', async () => {
    const { endpoint } = await openSide(provider);
    if (provider.name === 'sockets') {
      expect(endpoint.txSizeLeft()).toBeGreaterThan(0);
      expect(endpoint.rxSizeLeft()).toBeGreaterThan(0);
      return;
    }
    expect(() => endpoint.txSizeLeft()).toThrow(unsupported);
    expect(() => endpoint.rxSizeLeft()).toThrow(unsupported);
  });

  it('include an address, before the endpoint is enabled', async () => {
    const side = await openSide(provider);
    const name = side.endpoint.getName();
    expect(() => {
      side.endpoint.setName(name);
    }).toThrow(expect.objectContaining({ code: 'FI_EOPBADSTATE' }));
    const other = await openEndpoint(provider);
    if (provider.name === 'efa')
      expect(() => {
        other.setName(name);
      }).toThrow(unsupported);
    if (!provider.ip) return;
    expect(() => {
      other.setName(new Uint8Array(16));
    }).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_ADDRESS' }));
    expect(() => {
      other.setName(new Uint8Array(0));
    }).toThrow(RangeError);
    if (provider.name !== 'net' && provider.name !== 'tcp') return;
    const wanted = Uint8Array.from(name);
    wanted.set([0, 0], 2);
    other.setName(wanted);
    expect([...other.getName().subarray(4, 8)]).toEqual([127, 0, 0, 1]);
  });
});

describeOnProviders('options of domains', {}, (provider) => {
  it('tell which atomics there are', async () => {
    const { domain } = await openSide(provider);
    if (provider.name === 'net' || provider.name === 'tcp') {
      expect(domain.queryAtomic('FI_UINT64', 'FI_SUM')).toBeUndefined();
      return;
    }
    const sum = domain.queryAtomic('FI_UINT64', 'FI_SUM');
    const swap = domain.queryAtomic('FI_UINT64', 'FI_CSWAP', fi.FI_COMPARE_ATOMIC);
    expect(sum?.size).toBe(8);
    expect(sum?.count).toBeGreaterThanOrEqual(swap!.count);
    expect(domain.queryAtomic('FI_FLOAT8_E4M3', 'FI_DIFF')).toBeUndefined();
    expect(() => domain.queryAtomic('FI_INT7' as 'FI_INT8', 'FI_SUM')).toThrow(RangeError);
    expect(() => domain.queryAtomic('FI_INT8', 'FI_SUM', -1n)).toThrow(RangeError);
  });

  it('include a queue for their events', async () => {
    const { domain, events }: FiSide = await openSide(provider);
    expect(() => {
      domain.bind(events, fi.FI_REG_MR);
    }).toThrow(RangeError);
    expect(() => {
      domain.bind(domain as unknown as fi.EventQueue);
    }).toThrow(TypeError);
    if (!['net', 'tcp', 'sockets'].includes(provider.name)) {
      expect(() => {
        domain.bind(events);
      }).toThrow(unsupported);
      return;
    }
    domain.bind(events);
    await expect(events.close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
  });
});

describeOnProviders('options of EFA', { providers: ['efa'] }, (provider) => {
  it('have their types', async () => {
    const endpoint = await openEndpoint(provider);
    endpoint.setOpt('FI_OPT_EFA_RNR_RETRY', 5);
    expect(endpoint.getOpt('FI_OPT_EFA_RNR_RETRY')).toBe(5);
    expect(endpoint.getOpt('FI_OPT_FI_HMEM_P2P')).toMatch(/^FI_HMEM_P2P_/);
    if (!isNew) return;
    for (const name of [
      'FI_OPT_EFA_EMULATED_READ',
      'FI_OPT_EFA_EMULATED_WRITE',
      'FI_OPT_EFA_EMULATED_ATOMICS',
    ] as const)
      expect(typeof endpoint.getOpt(name)).toBe('boolean');
    endpoint.setOpt('FI_OPT_SHARED_MEMORY_PERMITTED', false);
    endpoint.setOpt('FI_OPT_MAX_MSG_SIZE', 65_536);
    expect(endpoint.getOpt('FI_OPT_MAX_MSG_SIZE')).toBe(65_536);
    for (const name of [
      'FI_OPT_INJECT_MSG_SIZE',
      'FI_OPT_INJECT_RMA_SIZE',
      'FI_OPT_MAX_TAGGED_SIZE',
    ] as const)
      expect(endpoint.getOpt(name)).toBeGreaterThan(0);
  });
});

describeOnProviders('operations of EFA', {}, (provider) => {
  it('answer for EFA only', async () => {
    const side = await openSide(provider, { caps: ['FI_MSG', 'FI_TAGGED'] });
    const memory = fi.Memory.allocate(64);
    const region = await fi.MemoryRegion.register(side.domain, memory);
    onTestFinished(() => region.close());
    // The software device does not tell of interconnects.
    expect(() => fi.efaQueryMr(side.domain, region)).toThrow(unsupported);
    expect(() => fi.efaFeature(side.fabric, 'mixed_hmem_iov')).toThrow(unsupported);
    expect(() => fi.efaFeature(side.fabric, 1 as unknown as string)).toThrow(TypeError);
    expect(() => fi.efaQueryMr(side.domain, memory as unknown as fi.MemoryRegion)).toThrow(TypeError);
    await region.close();
    expect(() => fi.efaQueryMr(side.domain, region)).toThrow(
      expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' }),
    );
  });
});

describeOnProviders('words for values', {}, (provider) => {
  it('are those of libfabric', async () => {
    const info = await infoFor(provider);
    const text = fi.toStr('FI_TYPE_INFO', info);
    for (const part of [`prov_name: ${provider.name}`, 'ep_attr', 'FI_EP_RDM', 'FI_MSG'])
      expect(text).toContain(part);
    for (const [type, part] of [
      ['FI_TYPE_TX_ATTR', 'inject_size'],
      ['FI_TYPE_RX_ATTR', 'rx_attr'],
      ['FI_TYPE_EP_ATTR', 'max_msg_size'],
      ['FI_TYPE_DOMAIN_ATTR', 'mr_mode'],
      ['FI_TYPE_FABRIC_ATTR', provider.name],
    ] as const)
      expect(fi.toStr(type, info)).toContain(part);
    if (info.nic === undefined) expect(() => fi.toStr('FI_TYPE_FID', info)).toThrow(unsupported);
  });
});

describe('words for values', () => {
  it('are there for flags, enumerations and versions', () => {
    expect(fi.toStr('FI_TYPE_CAPS', fi.FI_MSG | fi.FI_TAGGED)).toBe('FI_MSG, FI_TAGGED');
    expect(fi.toStr('FI_TYPE_EP_TYPE', fi.FI_EP_RDM)).toBe('FI_EP_RDM');
    expect(fi.toStr('FI_TYPE_ATOMIC_OP', fi.FI_CSWAP)).toBe('FI_CSWAP');
    expect(fi.toStr('FI_TYPE_VERSION')).toMatch(/^\d+\.\d+/);
    expect(fi.toStr('FI_TYPE_COLLECTIVE_OP', fi.FI_ALLREDUCE)).toBe('FI_ALLREDUCE');
  });

  it('refuse what has none', () => {
    expect(() => fi.toStr('FI_TYPE_NOTHING' as fi.TextType, 0)).toThrow(RangeError);
    expect(() => fi.toStr('FI_TYPE_INFO', 1)).toThrow(RangeError);
    expect(() => fi.toStr('FI_TYPE_CAPS', -1n)).toThrow(RangeError);
    expect(() => fi.toStr('FI_TYPE_CAPS', 0.5)).toThrow(RangeError);
    expect(() => fi.toStr('FI_TYPE_CQ_ERR_ENTRY', 0)).toThrow(unsupported);
  });
});

describe('variables', () => {
  it('are listed with type, help and value', async () => {
    const params = await fi.getParams();
    const log = params.find(({ name }) => name === 'FI_LOG_LEVEL');
    expect(log?.type).toBe('FI_PARAM_STRING');
    expect(log?.help).not.toBe('');
    const monitor = params.find(({ name }) => name === 'FI_MR_CACHE_MONITOR');
    expect(monitor?.value).toBe('disabled');
    for (const { name, type } of params) {
      expect(name).toMatch(/^FI_/);
      expect(type).toMatch(/^FI_PARAM_/);
    }
  });

  it('are listed by the first call of all, once the dangerous ones are refused', async () => {
    const program = `
      import { getParams } from 'libfabric/fi';
      const answer = await getParams().then(
        (params) => params.some(({ name }) => name.startsWith('FI_TCP_')),
        ({ code }) => code,
      );
      console.log(JSON.stringify(answer));`;
    expect(await resultOf(program)).toBe(true);
    expect(await resultOf(program, { env: { FI_EFA_MTU_SIZE: '8192' } })).toBe('ERR_FABRIC_ENVIRONMENT');
  });
});

describeOnProviders('a passive endpoint', { providers: ['tcp', 'sockets'] }, (provider) => {
  it('has options and a name of its own', async () => {
    const hints = { ...hintsFor(provider, ['FI_MSG']), endpointType: 'FI_EP_MSG' };
    const [info] = await fi.getInfo(hints, { node: provider.node!, flags: fi.FI_SOURCE });
    const fabric = await fi.Fabric.open(info);
    onTestFinished(() => fabric.close());
    const passive = await fi.PassiveEndpoint.open(fabric, info);
    onTestFinished(() => passive.close());
    expect(passive.getOpt('FI_OPT_CM_DATA_SIZE')).toBeGreaterThanOrEqual(64);
    expect(() => {
      passive.setOpt('FI_OPT_MIN_MULTI_RECV', 1);
    }).toThrow(unsupported);
    const name = Uint8Array.from(info.sourceAddress!);
    expect(() => {
      passive.setName(name.subarray(1));
    }).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_ADDRESS' }));
    passive.setName(name);
    if (provider.name !== 'sockets') expect([...passive.getName().subarray(4, 8)]).toEqual([127, 0, 0, 1]);
    expect(() => {
      passive.setBacklog(-1);
    }).toThrow(RangeError);
    expect(() => {
      passive.setBacklog(5);
    }).toThrow(unsupported);
  });
});
