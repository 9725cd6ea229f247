import { expect, it } from 'vitest';
import type { Memory } from 'libfabric/fi';
import {
  type AtomicArray,
  type Elements,
  FI_COMPLETION,
  FI_INJECT,
  FI_PEEK,
  FI_TRANSMIT_COMPLETE,
  type RemoteMemory,
  datatypeOf,
} from 'libfabric/fi';
import { type FiPair, infoFor, openSides } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const caps = ['FI_MSG', 'FI_RMA', 'FI_ATOMIC'];

/** Why a provider cannot run the suite. */
async function lacksAtomics(provider: ProviderUnderTest): Promise<string | undefined> {
  if (provider.falseCaps.includes('FI_ATOMIC')) return 'its atomics are advertised and not there';
  const found = await infoFor(provider, caps).catch(() => undefined);
  return found === undefined ? 'the provider has no atomics' : undefined;
}

/** Posts an operation of a and waits for its completion. */
async function done(pair: FiPair, post: (context: number) => boolean): Promise<void> {
  const context = pair.a.context();
  await pair.post('the operation', () => post(context));
  expect(await pair.completion(pair.a, context)).toMatchObject({ error: 0 });
}

const longs = (memory: Memory, offset: number, values: readonly bigint[]): BigUint64Array => {
  const array = new BigUint64Array(memory.bytes.buffer as ArrayBuffer, offset, values.length);
  array.set(values);
  return array;
};

/** Values in two pieces of memories of their own where the provider takes two, else in one. */
async function pieces(pair: FiPair, values: readonly bigint[]): Promise<BigUint64Array[]> {
  const first = await pair.a.memory(64);
  const { name, libraryVersion } = pair.a.provider;
  // efa 2.1 puts the first result into every piece.
  if (pair.a.info.transmit.iovLimit < 2 || (name === 'efa' && libraryVersion >= 0x20001))
    return [longs(first, 8, values)];
  return [longs(first, 8, values.slice(0, 1)), longs(await pair.a.memory(64), 16, values.slice(1))];
}
const valuesOf = (list: readonly BigUint64Array[]): bigint[] => list.flatMap((array) => [...array]);

describeOnProviders('atomics of several pieces', { unless: lacksAtomics }, (provider) => {
  it('combine, fetch and compare', async () => {
    const pair = await openSides(provider, { caps });
    const { a, b, toB } = pair;
    const region = await b.exposed(64);
    const target = longs(region.memory, 8, [10n, 20n]);
    const remote = region.remote.slice(8, 16);
    const operands = await pieces(pair, [3n, 4n]);
    const settled = async (values: readonly bigint[]): Promise<void> =>
      pair.until(`the values ${values.join()}`, () => String([...target]) === String(values));

    await done(pair, (context) =>
      a.endpoint.atomicVector(operands, toB, remote, 'FI_UINT64', 'FI_SUM', context),
    );
    await settled([13n, 24n]);
    const results = await pieces(pair, [0n, 0n]);
    await done(pair, (context) =>
      a.endpoint.fetchAtomicVector(operands, results, toB, remote, 'FI_UINT64', 'FI_SUM', context),
    );
    await settled([16n, 28n]);
    expect(valuesOf(results)).toEqual([13n, 24n]);
    const compares = await pieces(pair, [16n, 1n]);
    await done(pair, (context) =>
      a.endpoint.compareAtomicVector(
        operands,
        compares,
        results,
        toB,
        remote,
        'FI_UINT64',
        'FI_CSWAP',
        context,
      ),
    );
    await settled([3n, 28n]);
    expect(valuesOf(results)).toEqual([16n, 28n]);
    expect([region.memory.bytes[0], region.memory.bytes[24]]).toEqual([0, 0]);
  });

  it('combine, fetch and compare with flags, in several pieces there too', async () => {
    const pair = await openSides(provider, { caps });
    const { a, b, toB } = pair;
    const region = await b.exposed(64);
    const target = longs(region.memory, 0, [10n, 0n, 20n]);
    // rxd ends the other side's process where there are several.
    const several = a.info.transmit.rmaIovLimit > 1 && provider.name !== 'udp;ofi_rxd';
    const remotes = several
      ? [region.remote.slice(0, 8), region.remote.slice(16, 8)]
      : [region.remote.slice(0, 16)];
    const expected = (first: bigint, second: bigint): string =>
      several ? `${first},0,${second}` : `${first},${second},20`;
    const second = several ? 20n : 0n;
    const settled = async (values: string): Promise<void> =>
      pair.until(`the values ${values}`, () => String([...target]) === values);
    const operands = await pieces(pair, [3n, 4n]);
    const flags = FI_COMPLETION | FI_TRANSMIT_COMPLETE;

    await done(pair, (context) =>
      a.endpoint.atomicMessage(operands, toB, remotes, 'FI_UINT64', 'FI_SUM', context, { flags }),
    );
    await settled(expected(13n, second + 4n));
    const results = await pieces(pair, [0n, 0n]);
    await done(pair, (context) =>
      a.endpoint.fetchAtomicMessage(operands, results, toB, remotes, 'FI_UINT64', 'FI_SUM', context),
    );
    await settled(expected(16n, second + 8n));
    expect(valuesOf(results)).toEqual([13n, second + 4n]);
    const compares = await pieces(pair, [1n, second + 8n]);
    await done(pair, (context) =>
      a.endpoint.compareAtomicMessage(
        operands,
        compares,
        results,
        toB,
        remotes,
        'FI_UINT64',
        'FI_CSWAP',
        context,
      ),
    );
    await settled(expected(16n, 4n));
    expect(valuesOf(results)).toEqual([16n, second + 8n]);
  });

  it('take every typed array for what it is', async () => {
    const pair = await openSides(provider, { caps });
    const { a, b, toB } = pair;
    const memory = await a.memory(64);
    const region = await b.exposed(64);
    const buffer = memory.bytes.buffer as ArrayBuffer;
    // rxd ends the process where the first that a peer hears is an atomic operation that fetches.
    await done(pair, (context) => a.endpoint.write(memory, 0, 8, toB, region.remote, context));
    let tried = 0;
    for (const Kind of [
      Int8Array,
      Uint8Array,
      Int16Array,
      Uint16Array,
      Int32Array,
      Uint32Array,
      BigInt64Array,
      BigUint64Array,
      Float32Array,
      Float64Array,
    ]) {
      const operand: AtomicArray = new Kind(buffer, 0, 1);
      const result: AtomicArray = new Kind(buffer, 32, 1);
      const datatype = datatypeOf(operand);
      if (a.endpoint.atomicLimit('fetch', datatype, 'FI_ATOMIC_WRITE') === 0) continue;
      tried++;
      memory.bytes.fill(tried, 0, 16);
      region.memory.bytes.fill(0x40 + tried);
      memory.bytes.fill(0, 32);
      await done(pair, (context) =>
        a.endpoint.fetchAtomicVector(
          [operand],
          [result],
          toB,
          region.remote,
          datatype,
          'FI_ATOMIC_WRITE',
          context,
        ),
      );
      const size = Kind.BYTES_PER_ELEMENT;
      const wanted = [...Array<number>(size).fill(tried), 0x40 + tried];
      await pair.until(
        'the value',
        () => String([...region.memory.bytes.subarray(0, size + 1)]) === String(wanted),
      );
      expect([...memory.bytes.subarray(32, 32 + size + 1)]).toEqual([
        ...Array<number>(size).fill(0x40 + tried),
        0,
      ]);
    }
    expect(tried).toBeGreaterThan(0);
  });

  it('refuse what cannot be meant, before the provider sees it', async () => {
    const { a, b, toB } = await openSides(provider, { caps });
    const { endpoint } = a;
    const memory = await a.memory(4096);
    const { remote } = await b.exposed(4096);
    const one = longs(memory, 0, [1n]);
    const outside = expect.objectContaining({ code: 'FI_EINVAL' });
    type Call = (list: Elements[], peer?: number, r?: RemoteMemory, context?: number) => boolean;
    const calls: Call[] = [
      (list, peer = toB, r = remote, context = 0) =>
        endpoint.atomicVector(list, peer, r, 'FI_UINT64', 'FI_SUM', context),
      (list, peer = toB, r = remote, context = 0) =>
        endpoint.fetchAtomicVector(list, [one], peer, r, 'FI_UINT64', 'FI_SUM', context),
      (list, peer = toB, r = remote, context = 0) =>
        endpoint.compareAtomicVector([one], list, [one], peer, r, 'FI_UINT64', 'FI_CSWAP', context),
      (list, peer = toB, r = remote, context = 0) =>
        endpoint.atomicMessage(list, peer, [r], 'FI_UINT64', 'FI_SUM', context),
      (list, peer = toB, r = remote, context = 0) =>
        endpoint.fetchAtomicMessage([one], list, peer, [r], 'FI_UINT64', 'FI_SUM', context),
      (list, peer = toB, r = remote, context = 0) =>
        endpoint.compareAtomicMessage([one], [one], list, peer, [r], 'FI_UINT64', 'FI_CSWAP', context),
    ];
    for (const call of calls) {
      for (const wrong of [undefined, null, 5, one, 'list'])
        expect(() => call(wrong as never)).toThrow(TypeError);
      for (const wrong of [
        undefined,
        null,
        5,
        {},
        { memory: {} },
        new BigUint64Array(1),
        new DataView(new ArrayBuffer(8)),
      ])
        expect(() => call([wrong as never])).toThrow(TypeError);
      // The right memory, the wrong datatype.
      for (const Kind of [Int8Array, Uint32Array, BigInt64Array, Float64Array])
        expect(() => call([new Kind(memory.bytes.buffer as ArrayBuffer, 0, 1)])).toThrow(TypeError);
      expect(() => call([])).toThrow(RangeError);
      const tooMany = Array<Elements>(a.info.transmit.iovLimit + 1).fill({ memory, offset: 0, count: 1 });
      expect(() => call(tooMany)).toThrow(RangeError);
      for (const [offset, count] of [
        [4, 1],
        [memory.capacity, 1],
        [-8, 1],
        [Number.NaN, 1],
      ] as const)
        expect(() => call([{ memory, offset, count }])).toThrow(outside);
      expect(() => call([{ memory, offset: 0, count: 0 }])).toThrow();
      expect(() => call([one], toB, remote.slice(0, 7))).toThrow(RangeError);
      expect(() => call([one], toB, remote.slice(4, 8))).toThrow(outside);
      expect(() => call([one], toB, {} as never)).toThrow(TypeError);
      expect(() => call([one], 12_345)).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_ADDRESS' }));
      expect(() => call([one], toB, remote, -1)).toThrow(
        expect.objectContaining({ code: 'ERR_FABRIC_BUSY' }),
      );
    }
    const two = longs(memory, 8, [1n, 2n]);
    expect(() => endpoint.fetchAtomicVector([one], [two], toB, remote, 'FI_UINT64', 'FI_SUM', 0)).toThrow(
      RangeError,
    );
    for (const flags of [FI_PEEK, 1n << 40n])
      expect(() => endpoint.atomicMessage([one], toB, [remote], 'FI_UINT64', 'FI_SUM', 0, { flags })).toThrow(
        RangeError,
      );
    expect(() =>
      endpoint.atomicMessage([one], toB, [], 'FI_UINT64', 'FI_SUM', 0, { flags: FI_INJECT }),
    ).toThrow(RangeError);
    expect(() => endpoint.atomicVector([one], toB, remote, 'FI_LONG' as never, 'FI_SUM', 0)).toThrow(
      RangeError,
    );
    expect(() => endpoint.atomicVector([one], toB, remote, 'FI_UINT64', 'FI_ADD' as never, 0)).toThrow(
      RangeError,
    );
    const unsupported = expect.objectContaining({
      code: 'ERR_FABRIC_UNSUPPORTED',
      message: expect.stringContaining('FI_CSWAP'),
    });
    expect(() => endpoint.atomicVector([one], toB, remote, 'FI_UINT64', 'FI_CSWAP', 0)).toThrow(unsupported);
    const withData = { immediate: 1n } as object;
    expect(() => endpoint.atomicMessage([one], toB, [remote], 'FI_UINT64', 'FI_SUM', 0, withData)).toThrow(
      expect.objectContaining({
        code: 'ERR_FABRIC_UNSUPPORTED',
        message: expect.stringContaining('immediate'),
      }),
    );
    expect(() => datatypeOf(new DataView(new ArrayBuffer(8)) as never)).toThrow(TypeError);
    a.read();
    expect(a.completed).toEqual([]);
    await endpoint.close();
    for (const call of calls)
      expect(() => call([one])).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' }));
  });

  it('of an endpoint that was opened without them are refused', async () => {
    const { a, b, toB } = await openSides(provider, { caps: ['FI_MSG', 'FI_RMA'] });
    const one = longs(await a.memory(64), 0, [1n]);
    const { remote } = await b.exposed(64);
    const refused = expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED' });
    expect(() => a.endpoint.atomicVector([one], toB, remote, 'FI_UINT64', 'FI_SUM', 0)).toThrow(refused);
    expect(() => a.endpoint.atomicMessage([one], toB, [remote], 'FI_UINT64', 'FI_SUM', 0)).toThrow(refused);
  });
});
