import { openSync, closeSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  Counter,
  Domain,
  FI_MR_DMABUF,
  FI_READ,
  FI_REMOTE_READ,
  FI_REMOTE_WRITE,
  FI_WRITE,
  Fabric,
  type Info,
  Memory,
  MemoryRegion,
  getInfo,
} from 'libfabric/fi';
import { type FiPair, hintsFor, infoFor, openSide, openSides, pattern, sameBytes } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const caps = ['FI_MSG', 'FI_RMA'];
const all = ['send', 'recv', 'read', 'write', 'remoteRead', 'remoteWrite'] as const;
const unsupported = expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED' });
const closed = expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' });
const outside = expect.objectContaining({ code: 'FI_EINVAL' });

async function done(pair: FiPair, post: (context: number) => boolean): Promise<void> {
  const context = pair.a.context();
  await pair.post('the operation', () => post(context));
  expect(await pair.completion(pair.a, context)).toMatchObject({ error: 0 });
}

const iovLimit = (info: Info): number => Number(info.raw.domain.memoryRegionIovLimit);

/** The ways to register one part of a memory. */
const ways = [
  { name: 'fi_mr_regv', register: MemoryRegion.registerParts.bind(MemoryRegion) },
  { name: 'fi_mr_regattr', register: MemoryRegion.registerAttributes.bind(MemoryRegion) },
];

describeOnProviders('regions', {}, (provider) => {
  describe.each(ways)('by $name', ({ register }) => {
    it('of a part are written to and read from the start of the part', async () => {
      const pair = await openSides(provider, { caps });
      const { a, b, toB } = pair;
      using memory = Memory.allocate(8192);
      const part = { memory, offset: 4096, length: 1000 };
      await using region = await register(b.domain, [part], { access: all });
      expect(region.memory).toBe(memory);
      expect(region.remote).toMatchObject({ length: 1000, key: region.key });
      expect(typeof region.descriptor).toBe('bigint');
      if (region.remote.address !== 0n) expect(region.remote.address).toBe(region.address);
      const from = await a.memory(pattern(1000));
      await done(pair, (context) => a.endpoint.write(from, 0, 1000, toB, region.remote, context));
      await pair.until('the bytes', () => sameBytes(memory.bytes.subarray(4096, 5096), from.bytes));
      const into = await a.memory(100);
      await done(pair, (context) =>
        a.endpoint.read(into, 0, 100, toB, region.remote.slice(500, 100), context),
      );
      expect(sameBytes(into.bytes, from.bytes.subarray(500, 600))).toBe(true);
      expect(() => {
        memory.free();
      }).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_BUSY' }));
    });

    it('of several parts are as many as the provider takes', async () => {
      const { domain, info } = await openSide(provider, { caps });
      using one = Memory.allocate(4096);
      using other = Memory.allocate(4096);
      const limit = Math.max(1, iovLimit(info));
      const parts = Array.from({ length: Math.min(limit, 4) }, (_, index) => ({
        memory: index === 0 ? one : other,
      }));
      await using region = await register(domain, parts, { access: all });
      expect(region.remote.length).toBe(4096 * parts.length);
      await expect(
        register(
          domain,
          Array.from({ length: limit + 1 }, () => ({ memory: one })),
        ),
      ).rejects.toThrow(RangeError);
      await region.close();
      one.free();
      other.free();
    });

    it('are refused where they cannot be meant', async () => {
      const { domain } = await openSide(provider, { caps });
      using memory = Memory.allocate(64);
      for (const wrong of [undefined, null, 5, memory, [undefined], [{}], [{ memory: new Uint8Array(8) }]])
        await expect(register(domain, wrong as never)).rejects.toThrow(TypeError);
      await expect(register(domain, [])).rejects.toThrow(RangeError);
      for (const part of [
        { offset: memory.capacity, length: 8 },
        { offset: 0, length: memory.capacity + 1 },
        { offset: 0, length: 0 },
      ])
        await expect(register(domain, [{ memory, ...part }])).rejects.toThrow(outside);
      await expect(register({} as never, [{ memory }])).rejects.toThrow(TypeError);
      await expect(register(domain, [{ memory }], { access: ['look'] as never })).rejects.toThrow(TypeError);
      await expect(register(domain, [{ memory }], { flags: -1n })).rejects.toThrow(RangeError);
      await expect(register(domain, [{ memory }], { requestedKey: -1n })).rejects.toThrow(RangeError);
      const freed = Memory.allocate(64);
      freed.free();
      await expect(register(domain, [{ memory: freed }])).rejects.toThrow(closed);
    });
  });

  it('take access as flags too, and more than one of a memory, closed in any order', async () => {
    const pair = await openSides(provider, { caps });
    const { a, b, toB } = pair;
    using memory = Memory.allocate(4096);
    const access = FI_READ | FI_WRITE | FI_REMOTE_READ | FI_REMOTE_WRITE;
    const first = await MemoryRegion.register(b.domain, memory, { access });
    await using second = await MemoryRegion.register(b.domain, memory, { access, flags: 0n });
    expect(first.key).not.toBe(second.key);
    await first.close();
    const from = await a.memory(pattern(64));
    await done(pair, (context) => a.endpoint.write(from, 0, 64, toB, second.remote, context));
    await pair.until('the bytes', () => sameBytes(memory.bytes.subarray(0, 64), from.bytes));
  });

  it('use local memory that is registered twice, whichever registration is closed first', async () => {
    const pair = await openSides(provider, { caps });
    const { a, b, toB } = pair;
    using memory = Memory.allocate(4096);
    memory.bytes.set(pattern(4096));
    const target = await b.exposed(4096);
    const older = await MemoryRegion.register(a.domain, memory, { access: all });
    const newer = await MemoryRegion.register(a.domain, memory, { access: all });
    await newer.close();
    await done(pair, (context) => a.endpoint.write(memory, 0, 4096, toB, target.remote, context));
    await pair.until('the bytes', () => sameBytes(target.memory.bytes, memory.bytes));
    await older.close();
  });

  it('have no raw keys, no refreshing and nothing to enable here', async () => {
    const { domain, endpoint } = await openSide(provider, { caps });
    using memory = Memory.allocate(4096);
    await using region = await MemoryRegion.register(domain, memory, { access: all });
    expect(() => region.rawKey()).toThrow(unsupported);
    expect(() => {
      region.refresh([{ memory }]);
    }).toThrow(unsupported);
    expect(() => {
      region.enable();
    }).toThrow(unsupported);
    expect(() => MemoryRegion.mapRawKey(domain, { key: new Uint8Array(16), address: 0n })).toThrow(
      unsupported,
    );
    expect(() => {
      MemoryRegion.unmapKey(domain, 1n);
    }).toThrow(unsupported);
    expect(() => {
      region.bind(endpoint);
    }).toThrow(expect.objectContaining({ call: 'fi_mr_bind' }));
  });

  it('refuse what cannot be meant', async () => {
    const { domain } = await openSide(provider, { caps });
    using memory = Memory.allocate(4096);
    const region = await MemoryRegion.register(domain, memory, { access: all });
    for (const wrong of [undefined, null, 5, {}, domain, memory])
      expect(() => {
        region.bind(wrong as never);
      }).toThrow(TypeError);
    const { endpoint: stranger } = await openSide(provider, { caps });
    expect(() => {
      region.bind(stranger);
    }).toThrow(RangeError);
    expect(() => {
      region.refresh([{ memory, offset: 8192, length: 8 }]);
    }).toThrow(outside);
    expect(() => {
      region.refresh([]);
    }).toThrow(RangeError);
    // Alone, the flag would make a provider of libfabric 2 read a description of a dmabuf that is not there.
    for (const register of [
      MemoryRegion.register(domain, memory, { flags: FI_MR_DMABUF }),
      MemoryRegion.registerParts(domain, [{ memory }], { flags: FI_MR_DMABUF }),
      MemoryRegion.registerAttributes(domain, [{ memory }], { flags: FI_MR_DMABUF }),
    ])
      await expect(register).rejects.toThrow(RangeError);
    for (const wrong of [undefined, null, {}]) {
      expect(() => MemoryRegion.mapRawKey(wrong as never, { key: new Uint8Array(8), address: 0n })).toThrow(
        TypeError,
      );
      expect(() => {
        MemoryRegion.unmapKey(wrong as never, 1n);
      }).toThrow(TypeError);
    }
    expect(() => MemoryRegion.mapRawKey(domain, { key: 'key' as never, address: 0n })).toThrow(TypeError);
    expect(() => MemoryRegion.mapRawKey(domain, { key: new Uint8Array(8), address: -1n })).toThrow(
      RangeError,
    );
    expect(() => {
      MemoryRegion.unmapKey(domain, 1n << 64n);
    }).toThrow(RangeError);
    const counter = await Counter.open(domain).catch(() => undefined);
    await counter?.close();
    if (counter !== undefined)
      expect(() => {
        region.bind(counter);
      }).toThrow(closed);
    await region.close();
    expect(() => region.rawKey()).toThrow(closed);
    expect(() => {
      region.enable();
    }).toThrow(closed);
    memory.free();
  });
});

describe("a device's memory", () => {
  const device = { interface: 'FI_HMEM_CUDA', number: 1, address: 0x7000_0000_0000n, length: 4096 };

  it('is named by its pointer, which JavaScript cannot look behind', () => {
    using memory = Memory.ofDevice(device);
    expect(memory).toMatchObject({ length: 4096, capacity: 4096, device });
    expect(memory.bytes.byteLength).toBe(0);
    memory.trim();
  });

  it.each([
    { ...device, interface: 'FI_HMEM_SYSTEM' },
    { ...device, interface: 'FI_HMEM_ABACUS' },
    { ...device, length: 0 },
    { ...device, number: -1 },
    { ...device, address: 0n },
    { ...device, address: -1n },
  ])('is refused as %o', (wrong) => {
    expect(() => Memory.ofDevice(wrong)).toThrow(RangeError);
  });

  it('is refused where its interface is no name', () => {
    expect(() => Memory.ofDevice({ ...device, interface: 99 as never })).toThrow(TypeError);
  });

  it('is refused where its pointer is none', () => {
    expect(() => Memory.ofDevice({ ...device, address: 'pointer' as never })).toThrow(TypeError);
  });
});

describeOnProviders("a device's memory", {}, (provider) => {
  const ofDevice = (kind = 'FI_HMEM_CUDA'): Memory =>
    Memory.ofDevice({ interface: kind, address: 0x7000_0000_0000n, length: 4096 });

  it('is refused by operations until it is registered, and cannot be registered without FI_HMEM', async () => {
    const pair = await openSides(provider, { caps });
    const { a, b, toB } = pair;
    using memory = ofDevice();
    const target = await b.exposed(64);
    const { endpoint, domain } = a;
    for (const call of [
      () => endpoint.send(memory, 0, 8, toB, 0),
      () => endpoint.inject(memory, 0, 8, toB),
      () => endpoint.recv(memory, 0, 8, 0),
      () => endpoint.sendVector([{ memory, length: 8 }], toB, 0),
      () => endpoint.write(memory, 0, 8, toB, target.remote, 0),
      () => endpoint.injectWrite(memory, 0, 8, toB, target.remote),
      () => endpoint.readVector([{ memory, length: 8 }], toB, target.remote, 0),
    ])
      expect(call).toThrow(
        expect.objectContaining({ code: 'FI_EINVAL', message: expect.stringContaining('device') }),
      );
    await expect(MemoryRegion.register(domain, memory)).rejects.toThrow(TypeError);
    await expect(MemoryRegion.registerParts(domain, [{ memory }])).rejects.toThrow(TypeError);
    await expect(MemoryRegion.registerAttributes(domain, [{ memory }])).rejects.toThrow(unsupported);
    using own = Memory.allocate(4096);
    const dmabuf = { fd: 0 };
    await expect(MemoryRegion.registerAttributes(domain, [{ memory: own }], { dmabuf })).rejects.toThrow(
      unsupported,
    );
  });

  it('is refused by a libfabric that does not know the device', async (test) => {
    const info = await hmemInfo(provider);
    if (info === undefined) return test.skip('the provider has no FI_HMEM');
    const fabric = await Fabric.open(info);
    const domain = await Domain.open(fabric, info);
    for (const kind of [
      'FI_HMEM_CUDA',
      'FI_HMEM_ROCR',
      'FI_HMEM_ZE',
      'FI_HMEM_NEURON',
      'FI_HMEM_SYNAPSEAI',
    ]) {
      using memory = ofDevice(kind);
      await expect(MemoryRegion.registerAttributes(domain, [{ memory }])).rejects.toMatchObject({
        call: 'fi_mr_regattr',
      });
    }
    using own = Memory.allocate(4096);
    const fd = openSync('/dev/null', 'r');
    const byDmabuf = MemoryRegion.registerAttributes(domain, [{ memory: own }], { dmabuf: { fd } });
    // shm is the only one here that has FI_HMEM: 2.1 takes the descriptor and uses the address that comes with it.
    if (provider.libraryVersion < 0x10014) await expect(byDmabuf).rejects.toThrow(unsupported);
    else await (await byDmabuf).close();
    closeSync(fd);
    for (const wrong of [-1, 1.5])
      await expect(
        MemoryRegion.registerAttributes(domain, [{ memory: own }], { dmabuf: { fd: wrong } }),
      ).rejects.toThrow();
    // The process's own memory is one of the interfaces.
    await using region = await MemoryRegion.registerAttributes(domain, [{ memory: own }], { access: all });
    expect(region.remote.length).toBe(4096);
    await region.close();
    await domain.close();
    await fabric.close();
  });
});

/** An Info with FI_HMEM, where the provider has it. */
async function hmemInfo(provider: ProviderUnderTest): Promise<Info | undefined> {
  await infoFor(provider, caps);
  const hints = hintsFor(provider, [...caps, 'FI_HMEM']);
  const memoryMode = [...(hints.memoryMode as string[]), 'FI_MR_HMEM'];
  const infos = await getInfo({ ...hints, memoryMode }).catch(() => []);
  return infos.find((info) => info.provider === provider.name && info.caps.includes('FI_HMEM'));
}
