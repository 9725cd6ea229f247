import { describe, expect, it } from 'vitest';
import { Memory, RemoteMemory, type SendFlags } from 'libfabric/fi';
import { type FiPair, openSides, pattern, sameBytes } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const caps = ['FI_MSG', 'FI_RMA'];
const sizes = [1, 64, 4096, 65_536, 1_048_576];

/** Posts an operation of a and waits for its completion. */
async function done(pair: FiPair, post: (context: number) => boolean): Promise<void> {
  const context = pair.a.context();
  await pair.post('the operation', () => post(context));
  const completed = await pair.completion(pair.a, context);
  expect(completed).toMatchObject({ error: 0, isReceive: false });
}

const openPair = (provider: ProviderUnderTest): Promise<FiPair> => openSides(provider, { caps });

describeOnProviders('one-sided', {}, (provider) => {
  it('calls are there', async () => {
    const { a } = await openPair(provider);
    expect(a.endpoint.calls).toMatchObject({ rma: true });
  });

  describe('writes', () => {
    it.each(sizes)('put %i bytes where they belong', async (size) => {
      const pair = await openPair(provider);
      const { a, b, toB } = pair;
      const from = await a.memory(pattern(size));
      const region = await b.exposed(size + 16);
      region.memory.bytes.fill(0xee);
      await done(pair, (context) =>
        a.endpoint.write(from, 0, size, toB, region.remote.slice(8, size), context, {
          completion: 'delivery',
        }),
      );
      const { bytes } = region.memory;
      expect(sameBytes(bytes.subarray(8, 8 + size), from.bytes)).toBe(true);
      const beside = [...bytes.subarray(0, 8), ...bytes.subarray(8 + size)];
      expect(beside).toEqual(Array(16).fill(0xee));
      // The other side takes no part: nothing of it completes.
      expect(b.completed).toEqual([]);
    });

    it('of no bytes complete', async () => {
      const pair = await openPair(provider);
      const { a, b, toB } = pair;
      const from = await a.memory(8);
      const region = await b.exposed(8);
      await done(pair, (context) => a.endpoint.write(from, 0, 0, toB, region.remote, context));
    });

    const levels: SendFlags[] = [
      {},
      { completion: 'transmit' },
      { immediate: 7n },
      { completion: 'delivery', immediate: 0xfedc_ba98n },
    ];
    it.each(levels)('complete, and tell the other side where asked to: %o', async (options) => {
      const pair = await openPair(provider);
      const { a, b, toB } = pair;
      const from = await a.memory(pattern(512));
      const region = await b.exposed(512);
      const spare = await b.memory(64);
      // Some providers use up a receive for the number.
      await pair.post('a receive', () => b.endpoint.recv(spare, 0, 64, 900));
      await done(pair, (context) => a.endpoint.write(from, 0, 512, toB, region.remote, context, options));
      await pair.until('the bytes', () => sameBytes(region.memory.bytes, from.bytes));
      if (options.immediate === undefined) return;
      await pair.until('the completion', () => b.completed.length > 0);
      expect(b.completed).toMatchObject([{ error: 0, immediate: options.immediate }]);
    });

    it.for([undefined, 99n])(
      'injected leave without a completion (remote CQ data %s)',
      async (immediate, test) => {
        test.skip(provider.isBare, 'efa-direct has no fi_inject_write');
        const pair = await openPair(provider);
        const { a, b, toB } = pair;
        const content = pattern(32);
        const from = await a.memory(content);
        const region = await b.exposed(32);
        const spare = await b.memory(64);
        await pair.post('a receive', () => b.endpoint.recv(spare, 0, 64, 900));
        await pair.post('the write', () =>
          a.endpoint.injectWrite(from, 0, 32, toB, region.remote, { immediate }),
        );
        from.bytes.fill(0);
        await pair.until('the bytes', () => sameBytes(region.memory.bytes, content));
        if (immediate !== undefined) {
          await pair.until('the completion', () => b.completed.length > 0);
          expect(b.completed).toMatchObject([{ error: 0, immediate }]);
        }
        expect(a.completed).toEqual([]);
        const longer = await a.memory(a.info.injectSize + 1);
        const wide = await b.exposed(a.info.injectSize + 1);
        expect(() => a.endpoint.injectWrite(longer, 0, longer.length, toB, wide.remote)).toThrow(
          expect.objectContaining({ code: 'FI_EMSGSIZE' }),
        );
      },
    );
  });

  describe('reads', () => {
    it.each(sizes)('fetch %i bytes', async (size) => {
      const pair = await openPair(provider);
      const { a, b, toB } = pair;
      const into = await a.memory(size + 16);
      const region = await b.exposed(pattern(size, 5));
      await done(pair, (context) => a.endpoint.read(into, 8, size, toB, region.remote, context));
      expect(sameBytes(into.bytes.subarray(8, 8 + size), region.memory.bytes)).toBe(true);
      expect([...into.bytes.subarray(0, 8), ...into.bytes.subarray(8 + size)]).toEqual(Array(16).fill(0));
    });

    it('fetch a part of the middle, and several at once', async () => {
      const pair = await openPair(provider);
      const { a, b, toB } = pair;
      const into = await a.memory(400);
      const region = await b.exposed(pattern(4096, 5));
      for (let index = 0; index < 4; index++)
        await pair.post('a read', () =>
          a.endpoint.read(into, index * 100, 100, toB, region.remote.slice(1000 * index, 100), index),
        );
      await pair.until('all', () => a.completed.length === 4);
      for (let index = 0; index < 4; index++) {
        expect(a.of(index)).toMatchObject({ error: 0 });
        const wanted = region.memory.bytes.subarray(1000 * index, 1000 * index + 100);
        expect(sameBytes(into.bytes.subarray(index * 100, index * 100 + 100), wanted)).toBe(true);
      }
    });
  });

  it('memory is named by JSON too', async () => {
    const pair = await openPair(provider);
    const { a, b, toB } = pair;
    const into = await a.memory(100);
    const region = await b.exposed(pattern(100));
    const text = JSON.stringify(region.remote);
    const remote = RemoteMemory.from(JSON.parse(text) as ReturnType<RemoteMemory['toJSON']>);
    await done(pair, (context) => a.endpoint.read(into, 0, 100, toB, remote, context));
    expect(sameBytes(into.bytes, region.memory.bytes)).toBe(true);
    const usesAddresses = b.info.memoryMode.includes('FI_MR_VIRT_ADDR');
    expect(region.remote.address).toBe(usesAddresses ? region.address : 0n);
    expect(region.remote.key).toBe(region.key);
  });

  it('keys differ where none was asked for', async () => {
    const { a } = await openPair(provider);
    const keys = new Set<bigint>();
    for (let index = 0; index < 20; index++) keys.add((await a.exposed(64)).key);
    expect(keys.size).toBe(20);
  });

  it('calls refuse what cannot be meant, before the provider sees it', async () => {
    const { a, b, toB } = await openPair(provider);
    const memory = await a.memory(128);
    const { remote } = await b.exposed(64);
    const { endpoint } = a;
    const calls = [
      (m: Memory, offset: number, length: number, peer: number, r: RemoteMemory, context = 0) =>
        endpoint.read(m, offset, length, peer, r, context),
      (m: Memory, offset: number, length: number, peer: number, r: RemoteMemory, context = 0) =>
        endpoint.write(m, offset, length, peer, r, context),
      (m: Memory, offset: number, length: number, peer: number, r: RemoteMemory) =>
        endpoint.injectWrite(m, offset, length, peer, r),
    ];
    const outside = expect.objectContaining({ code: 'FI_EINVAL' });
    const freed = Memory.allocate(64);
    freed.free();
    for (const call of calls) {
      expect(() => call(memory, 0, 65, toB, remote)).toThrow(RangeError);
      expect(() => call(memory, 0, 9, toB, remote.slice(56, 8))).toThrow(RangeError);
      for (const [offset, length] of [
        [8192, 8],
        [memory.capacity - 4, 8],
        [-1, 8],
        [0, -1],
        [0, Number.NaN],
        [0.5, -8],
      ] as const)
        expect(() => call(memory, offset, length, toB, remote)).toThrow(outside);
      for (const wrong of [undefined, null, {}, 5, { key: 1n, address: 0n, length: 64 }])
        expect(() => call(memory, 0, 8, toB, wrong as never)).toThrow(TypeError);
      for (const wrong of [undefined, null, {}, 5, new Uint8Array(8)])
        expect(() => call(wrong as never, 0, 8, toB, remote)).toThrow(TypeError);
      expect(() => call(freed, 0, 8, toB, remote)).toThrow(
        expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' }),
      );
      for (const peer of [-1, 12_345, Number.NaN])
        expect(() => call(memory, 0, 8, peer, remote)).toThrow(
          expect.objectContaining({ code: 'ERR_FABRIC_ADDRESS' }),
        );
    }
    for (const context of [-1, 2 ** 20, Number.NaN])
      for (const call of calls.slice(0, 2))
        expect(() => call(memory, 0, 8, toB, remote, context)).toThrow(
          expect.objectContaining({ code: 'ERR_FABRIC_BUSY' }),
        );
    a.read();
    expect(a.completed).toEqual([]);
    await endpoint.close();
    for (const call of calls)
      expect(() => call(memory, 0, 8, toB, remote)).toThrow(
        expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' }),
      );
  });

  it('calls of an endpoint that was opened without them are refused', async () => {
    const { a, b, toB } = await openSides(provider, { caps: ['FI_MSG'] });
    const memory = await a.memory(64);
    const { remote } = await b.exposed(64);
    const refused = expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED' });
    expect(a.endpoint.calls.rma).toBe(false);
    expect(() => a.endpoint.read(memory, 0, 8, toB, remote, 0)).toThrow(refused);
    expect(() => a.endpoint.write(memory, 0, 8, toB, remote, 0)).toThrow(refused);
    expect(() => a.endpoint.injectWrite(memory, 0, 8, toB, remote)).toThrow(refused);
    // Its context is free again.
    expect(() => a.endpoint.read(memory, 0, 8, toB, remote, 0)).toThrow(refused);
  });

  it('memory stays until its operation is done, though it was freed', async (test) => {
    test.skip(provider.isBare, 'efa-direct takes only memory that is registered, which cannot be freed');
    const pair = await openPair(provider);
    const { a, b, toB } = pair;
    const region = await b.exposed(100_000);
    const content = pattern(100_000);
    const context = a.context();
    const from = Memory.allocate(100_000);
    from.bytes.set(content);
    await pair.post('the write', () => a.endpoint.write(from, 0, 100_000, toB, region.remote, context));
    from.free();
    expect(await pair.completion(a, context)).toMatchObject({ error: 0 });
    await pair.until('the bytes', () => sameBytes(region.memory.bytes, content));
  });
});
