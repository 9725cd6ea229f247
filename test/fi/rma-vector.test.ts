import { describe, expect, it } from 'vitest';
import {
  FI_COMPLETION,
  FI_DELIVERY_COMPLETE,
  FI_FENCE,
  FI_INJECT,
  FI_MORE,
  FI_PEEK,
  FI_TRANSMIT_COMPLETE,
  Memory,
  type MemoryRegion,
  type MessageOptions,
  type Part,
  RemoteMemory,
} from 'libfabric/fi';
import { type FiPair, type FiSide, openSides, pattern, sameBytes } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const caps = ['FI_MSG', 'FI_RMA'];
const openPair = (provider: ProviderUnderTest): Promise<FiPair> => openSides(provider, { caps });

/** Posts an operation of a and waits for its completion. */
async function done(pair: FiPair, post: (context: number) => boolean): Promise<void> {
  const context = pair.a.context();
  await pair.post('the operation', () => post(context));
  expect(await pair.completion(pair.a, context)).toMatchObject({ error: 0, isReceive: false });
}

/** A message in so many memories of a side's own. */
async function scattered(side: FiSide, content: Uint8Array, count: number): Promise<Part[]> {
  const parts: Part[] = [];
  const each = Math.floor(content.byteLength / count);
  for (let index = 0; index < count; index++) {
    const piece = content.subarray(index * each, index === count - 1 ? undefined : (index + 1) * each);
    const memory = await side.memory(piece.byteLength + 8);
    memory.bytes.set(piece, 8);
    parts.push({ memory, offset: 8, length: piece.byteLength });
  }
  return parts;
}

const gathered = (parts: readonly Part[]): Uint8Array =>
  Buffer.concat(
    parts.map(({ memory, offset = 0, length = 0 }) => memory.bytes.subarray(offset, offset + length)),
  );

/** As many regions of b's as one operation of a's may name, and no more than make sense here. */
async function regions(pair: FiPair, content: Uint8Array): Promise<MemoryRegion[]> {
  const count = Math.min(pair.a.info.transmit.rmaIovLimit, 4);
  const each = Math.floor(content.byteLength / count);
  const made: MemoryRegion[] = [];
  for (let index = 0; index < count; index++)
    made.push(
      await pair.b.exposed(content.slice(index * each, index === count - 1 ? undefined : (index + 1) * each)),
    );
  return made;
}

const together = (list: readonly MemoryRegion[]): Uint8Array =>
  Buffer.concat(list.map(({ memory }) => memory.bytes));

describeOnProviders('one-sided, of several parts', {}, (provider) => {
  describe.each([300, 200_000])('%i bytes', (size) => {
    it('are written from as many parts as there may be', async () => {
      const pair = await openPair(provider);
      const { a, b, toB } = pair;
      const region = await b.exposed(size + 8);
      for (const count of new Set([1, Math.min(a.info.transmit.iovLimit, 8)])) {
        const content = pattern(size, count);
        const from = await scattered(a, content, count);
        await done(pair, (context) =>
          a.endpoint.writeVector(from, toB, region.remote.slice(8, size), context),
        );
        await pair.until('the bytes', () => sameBytes(region.memory.bytes.subarray(8), content));
        expect([...region.memory.bytes.subarray(0, 8)]).toEqual(Array(8).fill(0));
      }
    });

    it('are read into as many parts as there may be', async () => {
      const pair = await openPair(provider);
      const { a, b, toB } = pair;
      const content = pattern(size);
      const region = await b.exposed(content);
      for (const count of new Set([1, Math.min(a.info.transmit.iovLimit, 8)])) {
        const into = await scattered(a, new Uint8Array(size), count);
        await done(pair, (context) => a.endpoint.readVector(into, toB, region.remote, context));
        expect(sameBytes(gathered(into), content)).toBe(true);
      }
    });

    it('are written to and read from several pieces of the other side', async () => {
      const pair = await openPair(provider);
      const { a, toB } = pair;
      const content = pattern(size, 3);
      const count = Math.min(a.info.transmit.iovLimit, 3);
      const target = await regions(pair, new Uint8Array(size));
      const remotes = target.map(({ remote }) => remote);
      const from = await scattered(a, content, count);
      await done(pair, (context) =>
        a.endpoint.writeMessage(from, toB, remotes, context, { flags: FI_DELIVERY_COMPLETE | FI_COMPLETION }),
      );
      await pair.until('the bytes', () => sameBytes(together(target), content));
      const into = await scattered(a, new Uint8Array(size), count);
      await done(pair, (context) => a.endpoint.readMessage(into, toB, remotes, context));
      expect(sameBytes(gathered(into), content)).toBe(true);
    });
  });

  it('writes take as much of the remote memory as they have bytes, and reads too', async () => {
    const pair = await openPair(provider);
    const { a, b, toB } = pair;
    const content = pattern(40);
    const region = await b.exposed(100);
    const memory = await a.memory(content);
    await done(pair, (context) =>
      a.endpoint.writeMessage([{ memory, length: 40 }], toB, [region.remote], context),
    );
    await pair.until('the bytes', () => sameBytes(region.memory.bytes.subarray(0, 40), content));
    expect([...region.memory.bytes.subarray(40)]).toEqual(Array(60).fill(0));
    const into = await a.memory(16);
    await done(pair, (context) =>
      a.endpoint.readMessage([{ memory: into, length: 16 }], toB, [region.remote.slice(8, 92)], context),
    );
    expect(sameBytes(into.bytes.subarray(0, 16), content.subarray(8, 24))).toBe(true);
  });

  it.each([
    ['names', { flags: ['FI_COMPLETION', 'FI_TRANSMIT_COMPLETE'] }],
    ['FI_TRANSMIT_COMPLETE', { flags: FI_TRANSMIT_COMPLETE }],
    ['remote CQ data', { immediate: 77n }],
  ])('writes go with %s', async (_, options) => {
    const pair = await openPair(provider);
    const { a, b, toB } = pair;
    const memory = await a.memory(pattern(64));
    const region = await b.exposed(64);
    const spare = await b.memory(64);
    // Some providers use up a receive for the number.
    await pair.post('a receive', () => b.endpoint.recv(spare, 0, 64, 900));
    await done(pair, (context) =>
      a.endpoint.writeMessage([{ memory }], toB, [region.remote], context, options),
    );
    await pair.until('the bytes', () => sameBytes(region.memory.bytes, memory.bytes));
    const { immediate } = options as MessageOptions;
    if (immediate === undefined) return;
    await pair.until('the completion', () => b.completed.length > 0);
    expect(b.completed).toMatchObject([{ error: 0, immediate }]);
  });

  it('writes with FI_MORE are done when the last says no more', async () => {
    const pair = await openPair(provider);
    const { a, b, toB } = pair;
    const memory = await a.memory(pattern(80));
    const region = await b.exposed(80);
    for (let index = 0; index < 10; index++) {
      const parts = [{ memory, offset: 8 * index, length: 8 }];
      const flags = index < 9 ? FI_MORE | FI_COMPLETION : FI_COMPLETION;
      const remote = region.remote.slice(8 * index, 8);
      await pair.post('a write', () => a.endpoint.writeMessage(parts, toB, [remote], index, { flags }));
    }
    await pair.until('all', () => a.completed.length === 10);
    expect(a.completed.map(({ error }) => error)).toEqual(Array(10).fill(0));
    await pair.until('the bytes', () => sameBytes(region.memory.bytes, memory.bytes));
  });

  it('every memory stays until its operation is done, though all were freed', async (test) => {
    const pair = await openPair(provider);
    const { a, b, toB } = pair;
    if (a.info.memoryMode.includes('FI_MR_LOCAL')) test.skip('what is registered cannot be freed');
    const count = Math.min(a.info.transmit.iovLimit, 4);
    const content = pattern(count * 50_000);
    const region = await b.exposed(content.byteLength);
    const from = Array.from({ length: count }, (_, index) => {
      const memory = Memory.allocate(50_000);
      memory.bytes.set(content.subarray(index * 50_000, (index + 1) * 50_000));
      return { memory };
    });
    await pair.post('the write', () => a.endpoint.writeVector(from, toB, region.remote, 0));
    for (const { memory } of from) memory.free();
    expect(await pair.completion(a, 0)).toMatchObject({ error: 0 });
    await pair.until('the bytes', () => sameBytes(region.memory.bytes, content));
  });

  it('calls refuse what cannot be meant, before the provider sees it', async () => {
    const { a, b, toB } = await openPair(provider);
    const { endpoint } = a;
    const memory = await a.memory(128);
    const { remote } = await b.exposed(64);
    type Call = (parts: Part[], peer: number, remote: RemoteMemory, context?: number) => boolean;
    const calls: Call[] = [
      (parts, peer, r, context = 0) => endpoint.readVector(parts, peer, r, context),
      (parts, peer, r, context = 0) => endpoint.writeVector(parts, peer, r, context),
      (parts, peer, r, context = 0) => endpoint.readMessage(parts, peer, [r], context),
      (parts, peer, r, context = 0) => endpoint.writeMessage(parts, peer, [r], context),
    ];
    const outside = expect.objectContaining({ code: 'FI_EINVAL' });
    const freed = Memory.allocate(64);
    freed.free();
    const part = { memory, length: 8 };
    for (const call of calls) {
      expect(() => call([{ memory, length: 65 }], toB, remote)).toThrow(RangeError);
      expect(() => call([part], toB, remote.slice(60, 4))).toThrow(RangeError);
      for (const [offset, length] of [
        [8192, 8],
        [memory.capacity - 4, 8],
        [-1, 8],
        [0, -1],
        [Number.NaN, 8],
      ] as const)
        expect(() => call([{ memory, offset, length }], toB, remote)).toThrow(outside);
      for (const wrong of [undefined, null, {}, 5, { key: 1n, address: 0n, length: 64 }])
        expect(() => call([part], toB, wrong as never)).toThrow(TypeError);
      for (const wrong of [undefined, null, 5, {}, [undefined], [{}], [new Uint8Array(8)]])
        expect(() => call(wrong as never, toB, remote)).toThrow(TypeError);
      expect(() => call([], toB, remote)).toThrow(RangeError);
      expect(() => call(Array<Part>(a.info.transmit.iovLimit + 1).fill(part), toB, remote)).toThrow(
        RangeError,
      );
      expect(() => call([{ memory: freed, length: 8 }], toB, remote)).toThrow(
        expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' }),
      );
      for (const peer of [-1, 12_345, Number.NaN])
        expect(() => call([part], peer, remote)).toThrow(
          expect.objectContaining({ code: 'ERR_FABRIC_ADDRESS' }),
        );
      for (const context of [-1, 2 ** 20, Number.NaN])
        expect(() => call([part], toB, remote, context)).toThrow(
          expect.objectContaining({ code: 'ERR_FABRIC_BUSY' }),
        );
    }
    expect(() => endpoint.writeMessage([part], toB, [], 0)).toThrow(RangeError);
    expect(() => endpoint.writeMessage([part], toB, remote as never, 0)).toThrow(TypeError);
    const tooMany = Array<RemoteMemory>(a.info.transmit.rmaIovLimit + 1).fill(remote.slice(0, 1));
    expect(() => endpoint.writeMessage([part], toB, tooMany, 0)).toThrow(RangeError);
    for (const flags of [FI_PEEK, 1n << 40n])
      expect(() => endpoint.writeMessage([part], toB, [remote], 0, { flags })).toThrow(RangeError);
    for (const flags of [FI_INJECT, FI_DELIVERY_COMPLETE, FI_FENCE | FI_PEEK])
      expect(() => endpoint.readMessage([part], toB, [remote], 0, { flags })).toThrow(RangeError);
    const long = await a.memory(a.info.injectSize + 1);
    const wide = new RemoteMemory(remote.key, remote.address, long.length);
    expect(() =>
      endpoint.writeMessage([{ memory: long, length: long.length }], toB, [wide], 0, { flags: FI_INJECT }),
    ).toThrow(expect.objectContaining({ code: 'FI_EMSGSIZE' }));
    a.read();
    expect(a.completed).toEqual([]);
    await endpoint.close();
    for (const call of calls)
      expect(() => call([part], toB, remote)).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' }));
  });

  it('calls of an endpoint that was opened without them are refused', async () => {
    const { a, b, toB } = await openSides(provider, { caps: ['FI_MSG'] });
    const parts = [{ memory: await a.memory(64), length: 8 }];
    const { remote } = await b.exposed(64);
    const refused = expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED' });
    expect(() => a.endpoint.readVector(parts, toB, remote, 0)).toThrow(refused);
    expect(() => a.endpoint.writeVector(parts, toB, remote, 0)).toThrow(refused);
    expect(() => a.endpoint.readMessage(parts, toB, [remote], 0)).toThrow(refused);
    expect(() => a.endpoint.writeMessage(parts, toB, [remote], 0)).toThrow(refused);
  });
});
