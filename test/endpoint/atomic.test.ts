/** Atomics on another endpoint's memory, with promises: every kind of array, every operation, the right results. */
import { describe, expect, test } from 'vitest';
import {
  type AtomicArray,
  type AtomicOperation,
  type CompareOperation,
  type MemoryRegion,
  RemoteMemory,
} from 'libfabric';
import { range, rejection } from '../helpers/everyday.js';
import { type Pair, type ProviderUnderTest, describeOnProviders, openPair } from '../helpers/providers.js';
import { openTarget, stop } from '../helpers/rma-target.js';

type Atomic = Pair<readonly ['atomic']> & { region: MemoryRegion; remote: RemoteMemory };

async function openWith(provider: ProviderUnderTest, bytes = 4096): Promise<Atomic> {
  const pair = await openPair(provider, { features: ['atomic'] });
  const region = await pair.b.memory.register(bytes, ['remoteRead', 'remoteWrite']);
  return { ...pair, region, remote: region.remote };
}

const kinds = [
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
] as const;
type Kind = (typeof kinds)[number];

/** An array of two small numbers. */
function arrayOf(kind: Kind, values: readonly number[]): AtomicArray {
  const array = new kind(values.length);
  values.forEach((value, index) => {
    array[index] = array instanceof BigInt64Array || array instanceof BigUint64Array ? BigInt(value) : value;
  });
  return array;
}

const numbers = (array: AtomicArray): number[] => Array.from(array as Iterable<number | bigint>, Number);

/** The elements that lie at the start of a region. */
function elements(kind: Kind, { bytes }: MemoryRegion, count = 2): AtomicArray {
  return new kind(bytes.buffer as ArrayBuffer, bytes.byteOffset, count);
}

const combining: Record<AtomicOperation, (there: number, operand: number) => number> = {
  min: Math.min,
  max: Math.max,
  sum: (there, operand) => there + operand,
  prod: (there, operand) => there * operand,
  lor: (there, operand) => Number(there !== 0 || operand !== 0),
  land: (there, operand) => Number(there !== 0 && operand !== 0),
  bor: (there, operand) => there | operand,
  band: (there, operand) => there & operand,
  lxor: (there, operand) => Number((there !== 0) !== (operand !== 0)),
  bxor: (there, operand) => there ^ operand,
  write: (_, operand) => operand,
};

const comparing: Record<CompareOperation, (there: number, operand: number, compare: number) => number> = {
  cswap: (there, operand, compare) => (compare === there ? operand : there),
  cswapNe: (there, operand, compare) => (compare !== there ? operand : there),
  cswapLe: (there, operand, compare) => (compare <= there ? operand : there),
  cswapLt: (there, operand, compare) => (compare < there ? operand : there),
  cswapGe: (there, operand, compare) => (compare >= there ? operand : there),
  cswapGt: (there, operand, compare) => (compare > there ? operand : there),
  mswap: (there, operand, compare) => (operand & compare) | (there & ~compare),
};

const before = [6, 0];
const operand = [3, 7];
const compare = [6, 1];

/** The result, or that the provider has no such operation: which ones it has is its own business. */
async function unlessUnsupported<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    expect(error).toMatchObject({ name: 'FabricError', code: 'ERR_FABRIC_UNSUPPORTED' });
    return undefined;
  }
}

describeOnProviders('atomics', { features: ['atomic'] }, (provider) => {
  test.each(kinds)('of %o do what they say, there and here', async (kind) => {
    const { a, toB, region, remote } = await openWith(provider);
    const there = elements(kind, region);
    const start = arrayOf(kind, before);
    const given = arrayOf(kind, operand);
    const done: string[] = [];
    for (const [name, combine] of Object.entries(combining) as [
      AtomicOperation,
      (typeof combining)['sum'],
    ][]) {
      const wanted = before.map((value, index) => combine(value, operand[index]));
      there.set(start as never);
      const fetched = await unlessUnsupported(a.fetchAtomic(toB, name, given, remote));
      if (fetched !== undefined) {
        expect([name, numbers(fetched), numbers(there)]).toEqual([name, before, wanted]);
        expect(fetched).toBeInstanceOf(kind);
        done.push(`fetchAtomic ${name}`);
      }
      there.set(start as never);
      const written = await unlessUnsupported(a.atomic(toB, name, given, remote).then(() => true));
      if (written !== true) continue;
      // fi_atomic completes when it is sent; what is fetched after it has seen it.
      const seen = await a.fetchAtomic(toB, 'read', given, remote);
      expect([name, numbers(seen), numbers(there)]).toEqual([name, wanted, wanted]);
      done.push(`atomic ${name}`);
    }
    for (const [name, combine] of Object.entries(comparing) as [
      CompareOperation,
      (typeof comparing)['cswap'],
    ][]) {
      there.set(start as never);
      const found = await unlessUnsupported(
        a.compareAtomic(toB, name, given, arrayOf(kind, compare), remote),
      );
      if (found === undefined) continue;
      const wanted = before.map((value, index) => combine(value, operand[index], compare[index]));
      expect([name, numbers(found), numbers(there)]).toEqual([name, before, wanted]);
      done.push(`compareAtomic ${name}`);
    }
    expect(numbers(given)).toEqual(operand);
    // What every provider with atomics has, for every kind.
    expect(done).toEqual(
      expect.arrayContaining(['atomic sum', 'fetchAtomic sum', 'fetchAtomic write', 'compareAtomic cswap']),
    );
  });

  test('leave what lies beside alone', async () => {
    const { a, toB, region, remote } = await openWith(provider);
    region.bytes.fill(0xee);
    await a.fetchAtomic(toB, 'write', BigUint64Array.of(1n, 2n), remote.slice(64, 16));
    expect([...region.bytes.subarray(56, 88)]).toEqual([
      ...Array<number>(8).fill(0xee),
      ...[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
      ...Array<number>(8).fill(0xee),
    ]);
  });

  test('of several endpoints at once lose nothing', async () => {
    const { a, b, toB, region, remote } = await openWith(provider);
    const { a: c, toB: toD } = await openPair(provider, { features: ['atomic'] });
    toD[Symbol.dispose]();
    const fromC = c.peer(b.contact);
    const one = BigInt64Array.of(1n);
    const seen = await Promise.all(
      range(200).flatMap(() => [
        a.fetchAtomic(toB, 'sum', one, remote.slice(0, 8)),
        c.fetchAtomic(fromC, 'sum', one, remote.slice(0, 8)),
      ]),
    );
    // Each got a number of its own.
    expect(seen.map(([value]) => Number(value)).sort((left, right) => left - right)).toEqual(range(400));
    expect(elements(BigInt64Array, region, 1)[0]).toBe(400n);
    expect(a.stats().atomics).toBe(200);
  });

  test('take a Buffer for bytes, and a part of an array', async () => {
    const { a, toB, region, remote } = await openWith(provider);
    region.bytes.set([1, 2, 3]);
    const fetched = await a.fetchAtomic(toB, 'sum', Buffer.from([10, 20, 30]), remote.slice(0, 3));
    expect(fetched).toEqual(Buffer.from([1, 2, 3]));
    expect([...region.bytes.subarray(0, 4)]).toEqual([11, 22, 33, 0]);
    const part = Int32Array.of(5, 6, 7).subarray(1, 2);
    await a.fetchAtomic(toB, 'write', part, remote.slice(8, 4));
    expect(elements(Int32Array, region, 3)[2]).toBe(6);
  });

  test('copy the operand when they are called', async () => {
    const { a, toB, region, remote } = await openWith(provider);
    const given = Uint32Array.of(5);
    const writing = a.fetchAtomic(toB, 'write', given, remote);
    given[0] = 77;
    await writing;
    expect(elements(Uint32Array, region, 1)[0]).toBe(5);
  });

  test('are done while the other side computes', async () => {
    const { a, peer, remote, child, heard } = await openTarget(provider, ['atomic']);
    const computing = heard();
    child.send({ word: 'compute' });
    expect(await computing).toBe('computing');
    const seen = heard();
    await a.fetchAtomic(peer, 'sum', Int32Array.of(5), remote.slice(64, 4));
    expect(
      await a.compareAtomic(peer, 'cswap', Int32Array.of(1), Int32Array.of(5), remote.slice(64, 4)),
    ).toEqual(Int32Array.of(5));
    await a.atomic(peer, 'write', Uint8Array.of(9), remote.slice(0, 1));
    expect(await seen).toBe('saw 9');
  });

  test('of a stopped process reject by deadline, signal and peer.close()', async () => {
    const { a, peer, remote, child } = await openTarget(provider, ['atomic']);
    const one = Int32Array.of(1);
    await a.fetchAtomic(peer, 'sum', one, remote);
    await stop(child);
    const controller = new AbortController();
    const late = rejection(a.fetchAtomic(peer, 'sum', one, remote, { timeoutMs: 50 }));
    const aborted = rejection(
      a.compareAtomic(peer, 'cswap', one, one, remote, { signal: controller.signal }),
    );
    const given = rejection(a.fetchAtomic(peer, 'read', one, remote));
    expect(await late).toMatchObject({
      name: 'TimeoutError',
      message: 'fetchAtomic did not finish within 50 ms',
    });
    controller.abort(new Error('changed my mind'));
    expect((await aborted).message).toBe('changed my mind');
    peer.close(new Error('given up'));
    expect((await given).message).toBe('given up');
    await a.close({ timeoutMs: 200 });
  });

  describe('refuse before the provider sees it', () => {
    test.each<[string, (atomic: Atomic) => Promise<unknown>, RegExp]>([
      [
        'an unknown operation',
        ({ a, toB, remote }) => a.atomic(toB, 'plus' as never, Int8Array.of(1), remote),
        /^operation must be one of min, .*, write; got 'plus'$/,
      ],
      [
        'a read that fetches nothing',
        ({ a, toB, remote }) => a.atomic(toB, 'read' as never, Int8Array.of(1), remote),
        /^operation must be one of/,
      ],
      [
        'another form’s operation',
        ({ a, toB, remote }) => a.fetchAtomic(toB, 'cswap' as never, Int8Array.of(1), remote),
        /^operation must be one of/,
      ],
      [
        'an inherited name',
        ({ a, toB, remote }) => a.fetchAtomic(toB, 'toString' as never, Int8Array.of(1), remote),
        /^operation must be one of/,
      ],
      [
        'an array of numbers',
        ({ a, toB, remote }) => a.atomic(toB, 'sum', [1] as never, remote),
        /^operand must be a typed array: Int8Array, .*; got an instance of Array/,
      ],
      [
        'clamped bytes',
        ({ a, toB, remote }) => a.atomic(toB, 'sum', new Uint8ClampedArray(1) as never, remote),
        /^operand must be a typed array/,
      ],
      [
        'a DataView',
        ({ a, toB, remote }) => a.atomic(toB, 'sum', new DataView(new ArrayBuffer(8)) as never, remote),
        /^operand must be a typed array/,
      ],
      [
        'no element',
        ({ a, toB, remote }) => a.atomic(toB, 'sum', new Int32Array(0), remote),
        /^operand.length must be at least one element; got 0/,
      ],
      [
        'more than the provider takes',
        ({ a, toB, remote }) =>
          a.atomic(
            toB,
            'sum',
            new Int32Array(1 << 20),
            new RemoteMemory(remote.key, remote.address, 1 << 22),
          ),
        /^operand.length must be at most \d+ elements, what the provider takes; got 1048576/,
      ],
      [
        'more than there is',
        ({ a, toB, remote }) => a.atomic(toB, 'sum', new Int32Array(2), remote.slice(4092, 4)),
        /^remote.length must be at least 8, the bytes of the operation; got 4/,
      ],
      [
        'an odd place',
        ({ a, toB, remote }) => a.atomic(toB, 'sum', new Int32Array(1), remote.slice(2, 4)),
        /^remote.address must be a multiple of 4, the bytes of an element; got \d+n/,
      ],
      [
        'something else to compare',
        ({ a, toB, remote }) =>
          a.compareAtomic<AtomicArray>(toB, 'cswap', Int32Array.of(1), Uint32Array.of(1), remote),
        /^compare must be of the operand's kind and length: 1 of FI_INT32; got an instance of Uint32Array/,
      ],
      [
        'less to compare',
        ({ a, toB, remote }) => a.compareAtomic(toB, 'cswap', Int32Array.of(1, 2), Int32Array.of(1), remote),
        /^compare must be of the operand's kind and length: 2 of FI_INT32/,
      ],
      [
        'memory that peers may not read',
        ({ a, toB, remote }) =>
          a.fetchAtomic(
            toB,
            'sum',
            Int32Array.of(1),
            new RemoteMemory(remote.key, remote.address, remote.length, { readable: false }),
          ),
        /^remote must be readable; .*'remoteRead'/,
      ],
      [
        'memory that peers may not write',
        ({ a, toB, remote }) =>
          a.atomic(
            toB,
            'sum',
            Int32Array.of(1),
            new RemoteMemory(remote.key, remote.address, remote.length, { writable: false }),
          ),
        /^remote must be writable; .*'remoteWrite'/,
      ],
    ])('%s', async (_what, call, message) => {
      const atomic = await openWith(provider);
      // A RemoteMemory spread into a plain object keeps its fields.
      const error = await rejection(call(atomic));
      expect(error).toSatisfy((value) => value instanceof TypeError || value instanceof RangeError);
      expect(error.message).toMatch(message);
      expect(atomic.a.stats()).toMatchObject({ atomics: 0, sendsInFlight: 0, sendsWaiting: 0 });
    });

    test('what the provider lacks, by name', async () => {
      const { a, toB, remote } = await openWith(provider);
      expect(await rejection(a.atomic(toB, 'bxor', Float64Array.of(1), remote))).toMatchObject({
        code: 'ERR_FABRIC_UNSUPPORTED',
        message: `${a.provider} has no fi_atomic of FI_DOUBLE with FI_BXOR`,
      });
    });

    test('a read of memory that may only be read is none of them', async () => {
      const { a, b, toB } = await openWith(provider);
      const { remote, bytes } = await b.memory.register(64, ['remoteRead', 'remoteWrite']);
      bytes[0] = 5;
      expect(
        await a.fetchAtomic(
          toB,
          'read',
          new Uint8Array(1),
          new RemoteMemory(remote.key, remote.address, remote.length, { writable: false }),
        ),
      ).toEqual(Uint8Array.of(5));
    });
  });
});
