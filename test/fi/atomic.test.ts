import { expect, it } from 'vitest';
import type { Memory } from 'libfabric/fi';
import {
  type AtomicKind,
  type AtomicName,
  type Datatype,
  type MemoryRegion,
  datatypeBytes,
} from 'libfabric/fi';
import { type FiPair, infoFor, openSides } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const caps = ['FI_MSG', 'FI_RMA', 'FI_ATOMIC'];

const arrays = {
  FI_INT8: Int8Array,
  FI_UINT8: Uint8Array,
  FI_INT16: Int16Array,
  FI_UINT16: Uint16Array,
  FI_INT32: Int32Array,
  FI_UINT32: Uint32Array,
  FI_INT64: BigInt64Array,
  FI_UINT64: BigUint64Array,
  FI_FLOAT: Float32Array,
  FI_DOUBLE: Float64Array,
} as const;
type Known = keyof typeof arrays;
const known = Object.keys(arrays) as Known[];
const unknownToJs: Datatype[] = [
  'FI_FLOAT_COMPLEX',
  'FI_DOUBLE_COMPLEX',
  'FI_LONG_DOUBLE',
  'FI_LONG_DOUBLE_COMPLEX',
  'FI_INT128',
  'FI_UINT128',
  'FI_FLOAT16',
  'FI_BFLOAT16',
  'FI_FLOAT8_E4M3',
  'FI_FLOAT8_E5M2',
];

type Combine = (old: bigint, operand: bigint, compare: bigint) => bigint;
const truth = (value: boolean): bigint => (value ? 1n : 0n);
const combining: Partial<Record<AtomicName, Combine>> = {
  FI_MIN: (old, operand) => (operand < old ? operand : old),
  FI_MAX: (old, operand) => (operand > old ? operand : old),
  FI_SUM: (old, operand) => old + operand,
  FI_PROD: (old, operand) => old * operand,
  FI_LOR: (old, operand) => truth(old !== 0n || operand !== 0n),
  FI_LAND: (old, operand) => truth(old !== 0n && operand !== 0n),
  FI_BOR: (old, operand) => old | operand,
  FI_BAND: (old, operand) => old & operand,
  FI_LXOR: (old, operand) => truth((old !== 0n) !== (operand !== 0n)),
  FI_BXOR: (old, operand) => old ^ operand,
  FI_ATOMIC_READ: (old) => old,
  FI_ATOMIC_WRITE: (_, operand) => operand,
};
const comparing: Partial<Record<AtomicName, Combine>> = {
  FI_CSWAP: (old, operand, compare) => (compare === old ? operand : old),
  FI_CSWAP_NE: (old, operand, compare) => (compare !== old ? operand : old),
  FI_CSWAP_LE: (old, operand, compare) => (compare <= old ? operand : old),
  FI_CSWAP_LT: (old, operand, compare) => (compare < old ? operand : old),
  FI_CSWAP_GE: (old, operand, compare) => (compare >= old ? operand : old),
  FI_CSWAP_GT: (old, operand, compare) => (compare > old ? operand : old),
  FI_MSWAP: (old, operand, compare) => (operand & compare) | (old & ~compare),
};
const all = { ...combining, ...comparing } as Record<AtomicName, Combine>;
const names = Object.keys(all) as AtomicName[];

/** Where things lie in the memory of the side that asks. */
const OPERAND = 0;
const COMPARE = 64;
const RESULT = 128;

/** One side's memory for its part, the other side's region, and one operation of each kind. */
class Bench {
  constructor(
    readonly pair: FiPair,
    readonly memory: Memory,
    readonly region: MemoryRegion,
  ) {}

  static async open(provider: ProviderUnderTest): Promise<Bench> {
    const pair = await openSides(provider, { caps });
    return new Bench(pair, await pair.a.memory(4096), await pair.b.exposed(4096));
  }

  post(kind: AtomicKind, datatype: Datatype, name: AtomicName, count: number, context: number): boolean {
    const { memory, pair, region } = this;
    const { endpoint } = pair.a;
    const { toB } = pair;
    const { remote } = region;
    if (kind === 'atomic')
      return endpoint.atomic(memory, OPERAND, count, toB, remote, datatype, name, context);
    if (kind === 'fetch')
      return endpoint.fetchAtomic(memory, OPERAND, count, RESULT, toB, remote, datatype, name, context);
    return endpoint.compareAtomic(
      memory,
      OPERAND,
      count,
      COMPARE,
      RESULT,
      toB,
      remote,
      datatype,
      name,
      context,
    );
  }

  async run(kind: AtomicKind, datatype: Datatype, name: AtomicName, count: number): Promise<void> {
    const { pair } = this;
    const context = pair.a.context() % 1024;
    pair.a.completed.length = 0;
    await pair.post(`${kind} ${name}`, () => this.post(kind, datatype, name, count, context));
    expect(await pair.completion(pair.a, context)).toMatchObject({ error: 0 });
  }
}

const view = (datatype: Known, memory: Memory, offset: number) =>
  new arrays[datatype](memory.bytes.buffer as ArrayBuffer, offset, 2);
const fill = (datatype: Known, memory: Memory, offset: number, values: readonly number[]) => {
  const target = view(datatype, memory, offset);
  values.forEach((value, index) => {
    target[index] = datatype.endsWith('64') ? BigInt(value) : value;
  });
};
const valuesOf = (datatype: Known, memory: Memory, offset: number): bigint[] =>
  [...view(datatype, memory, offset)].map(BigInt);

/** The kinds that an operation comes in. */
const kindsOf = (name: AtomicName): AtomicKind[] =>
  name in comparing ? ['compare'] : name === 'FI_ATOMIC_READ' ? ['fetch'] : ['atomic', 'fetch'];

/** Why a provider cannot run the suite. */
async function lacksAtomics(provider: ProviderUnderTest): Promise<string | undefined> {
  if (provider.falseCaps.includes('FI_ATOMIC')) return 'its atomics are advertised and not there';
  const found = await infoFor(provider, caps).catch(() => undefined);
  return found === undefined ? 'the provider has no atomics' : undefined;
}

describeOnProviders('atomics', { unless: lacksAtomics }, (provider) => {
  it('calls are there', async () => {
    const { a } = await openSides(provider, { caps });
    expect(a.endpoint.calls).toMatchObject({ atomic: true });
    expect(a.endpoint.atomicLimit('atomic', 'FI_UINT64', 'FI_SUM')).toBeGreaterThan(0);
    expect(a.endpoint.atomicLimit('fetch', 'FI_UINT64', 'FI_ATOMIC_READ')).toBeGreaterThan(0);
    expect(a.endpoint.atomicLimit('compare', 'FI_UINT64', 'FI_CSWAP')).toBeGreaterThan(0);
  });

  it.each(known)('of %s do what their names say', async (datatype) => {
    const bench = await Bench.open(provider);
    const { memory, region, pair } = bench;
    let tried = 0;
    for (const name of names)
      for (const kind of kindsOf(name)) {
        if (pair.a.endpoint.atomicLimit(kind, datatype, name) < 2) continue;
        tried++;
        const old = [5, 12];
        const operand = [3, 100];
        const compare = [5, 9];
        fill(datatype, region.memory, 0, old);
        fill(datatype, memory, OPERAND, operand);
        fill(datatype, memory, COMPARE, compare);
        fill(datatype, memory, RESULT, [77, 77]);
        await bench.run(kind, datatype, name, 2);
        const wanted = old.map((value, index) =>
          all[name](BigInt(value), BigInt(operand[index]), BigInt(compare[index])),
        );
        // What wraps, wraps as the typed array does.
        fill(datatype, memory, OPERAND, wanted.map(Number));
        const after = String(valuesOf(datatype, memory, OPERAND));
        // The operation may complete here before it is done there.
        await pair.until(
          `${kind} ${name} giving ${after}`,
          () => String(valuesOf(datatype, region.memory, 0)) === after,
        );
        const before = kind === 'atomic' ? [77n, 77n] : old.map(BigInt);
        expect({ name, kind, before: valuesOf(datatype, memory, RESULT) }).toEqual({ name, kind, before });
      }
    expect(tried).toBeGreaterThan(0);
  });

  it.each(unknownToJs)('of %s write and read bytes, or are refused', async (datatype) => {
    const bench = await Bench.open(provider);
    const { memory, region, pair } = bench;
    const size = datatypeBytes(datatype);
    memory.bytes.fill(0x3c, OPERAND, OPERAND + size);
    for (const [kind, name] of [
      ['atomic', 'FI_ATOMIC_WRITE'],
      ['fetch', 'FI_ATOMIC_READ'],
    ] as const) {
      if (pair.a.endpoint.atomicLimit(kind, datatype, name) === 0) {
        expect(() => bench.post(kind, datatype, name, 1, 0)).toThrow(
          expect.objectContaining({
            code: 'ERR_FABRIC_UNSUPPORTED',
            message: expect.stringContaining(datatype),
          }),
        );
        continue;
      }
      await bench.run(kind, datatype, name, 1);
      // Of a long double ten bytes count.
      const counted = datatype.startsWith('FI_LONG') ? 10 : size;
      const place = kind === 'atomic' ? region.memory.bytes : memory.bytes.subarray(RESULT);
      expect([...place.subarray(0, counted)]).toEqual(Array(counted).fill(0x3c));
    }
  });

  it('of both sides add up', async () => {
    const pair = await openSides(provider, { caps });
    const { a, b, toA, toB } = pair;
    const region = await b.exposed(8);
    const own = await b.memory(8);
    const other = await a.memory(8);
    const self = b.addresses.insert(b.endpoint.getName());
    expect(toA).toBeGreaterThanOrEqual(0);
    for (const memory of [own, other]) new BigUint64Array(memory.bytes.buffer, 0, 1)[0] = 3n;
    const add = { datatype: 'FI_UINT64', name: 'FI_SUM' } as const;
    for (let index = 0; index < 20; index++) {
      await pair.post('an addition', () =>
        a.endpoint.atomic(other, 0, 1, toB, region.remote, add.datatype, add.name, index),
      );
      await pair.post('an own addition', () =>
        b.endpoint.atomic(own, 0, 1, self, region.remote, add.datatype, add.name, index),
      );
    }
    await pair.until('all', () => a.completed.length === 20 && b.completed.length === 20);
    const sum = new BigUint64Array(region.memory.bytes.buffer, 0, 1);
    await pair.until('the sum', () => sum[0] === 120n);
  });

  it('injected leave without a completion', async () => {
    const { pair, memory, region } = await Bench.open(provider);
    const { a } = pair;
    fill('FI_INT32', memory, 0, [40, 2]);
    await pair.post('the addition', () =>
      a.endpoint.injectAtomic(memory, 0, 2, pair.toB, region.remote, 'FI_INT32', 'FI_SUM'),
    );
    fill('FI_INT32', memory, 0, [0, 0]);
    await pair.until('the sum', () => String(valuesOf('FI_INT32', region.memory, 0)) === '40,2');
    expect(a.completed).toEqual([]);
  });

  it('may have as many elements as the limit says, and no more', async () => {
    const pair = await openSides(provider, { caps });
    const { a, b, toB } = pair;
    const limit = a.endpoint.atomicLimit('atomic', 'FI_INT32', 'FI_SUM');
    expect(limit).toBeLessThan(1 << 20);
    const memory = await a.memory(4 * (limit + 1));
    const region = await b.exposed(4 * (limit + 1));
    new Int32Array(memory.bytes.buffer).fill(7);
    await pair.post('the addition', () =>
      a.endpoint.atomic(memory, 0, limit, toB, region.remote, 'FI_INT32', 'FI_SUM', 0),
    );
    expect(await pair.completion(a, 0)).toMatchObject({ error: 0 });
    const sums = new Int32Array(region.memory.bytes.buffer);
    await pair.until('the last', () => sums[limit - 1] === 7);
    expect(sums.findIndex((value) => value !== 7)).toBe(limit);
    expect(() =>
      a.endpoint.atomic(memory, 0, limit + 1, toB, region.remote, 'FI_INT32', 'FI_SUM', 1),
    ).toThrow(expect.objectContaining({ code: 'FI_EMSGSIZE' }));
  });

  it('refuse what cannot be meant, before the provider sees it', async () => {
    const { pair, memory, region } = await Bench.open(provider);
    const { endpoint } = pair.a;
    const { toB } = pair;
    const { remote } = region;
    const error = (code: string): unknown => expect.objectContaining({ code });
    const add = (
      m: Memory = memory,
      offset = 0,
      count = 1,
      peer = toB,
      r = remote,
      datatype: Datatype = 'FI_INT32',
      name: AtomicName = 'FI_SUM',
    ) => [
      () => endpoint.atomic(m, offset, count, peer, r, datatype, name, 0),
      () => endpoint.injectAtomic(m, offset, count, peer, r, datatype, name),
      () => endpoint.fetchAtomic(m, offset, count, RESULT, peer, r, datatype, name, 0),
    ];
    const swap = (offset: number, compare: number, result: number) => () =>
      endpoint.compareAtomic(memory, offset, 1, compare, result, toB, remote, 'FI_INT32', 'FI_CSWAP', 0);
    const calls: [(() => unknown)[], unknown][] = [
      [add(memory, 4096), error('FI_EINVAL')],
      [add(memory, -4), error('FI_EINVAL')],
      [add(memory, 2), error('FI_EINVAL')],
      [add(memory, 0, 0), error('FI_EINVAL')],
      [add(memory, 0, Number.NaN), error('FI_EINVAL')],
      [add(memory, 0, -1), error('FI_EINVAL')],
      [add(memory, 0, 1, 4711), error('ERR_FABRIC_ADDRESS')],
      [add(memory, 0, 1, toB, remote.slice(2, 8)), error('FI_EINVAL')],
      [add(memory, 0, 2, toB, remote.slice(0, 4)), RangeError],
      [add(memory, 0, 1, toB, {} as never), TypeError],
      [add({} as never), TypeError],
      [add(memory, 0, 1, toB, remote, 'FI_INT' as never), RangeError],
      [add(memory, 0, 1, toB, remote, 99 as never), error('ERR_FABRIC_UNSUPPORTED')],
      [add(memory, 0, 1, toB, remote, 'FI_INT32', 'FI_PLUS' as never), RangeError],
      [add(memory, 0, 1, toB, remote, 'FI_INT32', 'FI_CSWAP'), error('ERR_FABRIC_UNSUPPORTED')],
      [add(memory, 0, 1, toB, remote, 'FI_FLOAT', 'FI_BXOR'), error('ERR_FABRIC_UNSUPPORTED')],
      [[swap(0, 4096, 128), swap(0, 64, 4096), swap(0, 2, 128), swap(0, 64, 6)], error('FI_EINVAL')],
    ];
    for (const [list, wanted] of calls) for (const call of list) expect(call).toThrow(wanted);
    expect(() => endpoint.atomicLimit('put' as never, 'FI_INT32', 'FI_SUM')).toThrow(RangeError);
    pair.a.read();
    expect(pair.a.completed).toEqual([]);
    expect([...region.memory.bytes.subarray(0, 16)]).toEqual(Array(16).fill(0));
    await endpoint.close();
    for (const call of [...add(), swap(0, 64, 128)]) expect(call).toThrow(error('ERR_FABRIC_CLOSED'));
    expect(() => endpoint.atomicLimit('atomic', 'FI_INT32', 'FI_SUM')).toThrow(error('ERR_FABRIC_CLOSED'));
  });
});

describeOnProviders('without atomics', {}, (provider) => {
  it('an endpoint refuses them, and says why', async () => {
    const pair = await openSides(provider, { caps: ['FI_MSG', 'FI_RMA'] });
    const { a, b, toB } = pair;
    const memory = await a.memory(64);
    const { remote } = await b.exposed(64);
    expect(a.endpoint.calls.atomic).toBe(false);
    expect(a.endpoint.atomicLimit('atomic', 'FI_INT32', 'FI_SUM')).toBe(0);
    expect(() => a.endpoint.atomic(memory, 0, 1, toB, remote, 'FI_INT32', 'FI_SUM', 0)).toThrow(
      expect.objectContaining({
        code: 'ERR_FABRIC_UNSUPPORTED',
        call: 'fi_atomic',
        message: expect.stringContaining('FI_ATOMIC'),
      }),
    );
  });
});

describeOnProviders(
  'atomics that are only advertised',
  {
    unless: ({ name }) => (name === 'net' ? undefined : 'it advertises none that are not there'),
  },
  (provider) => {
    it('are refused', async () => {
      const pair = await openSides(provider, { caps });
      const memory = await pair.a.memory(64);
      const { remote } = await pair.b.exposed(64);
      const { endpoint } = pair.a;
      for (const name of names)
        for (const kind of kindsOf(name)) expect(endpoint.atomicLimit(kind, 'FI_UINT64', name)).toBe(0);
      expect(() => endpoint.atomic(memory, 0, 1, pair.toB, remote, 'FI_UINT64', 'FI_SUM', 0)).toThrow(
        expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED' }),
      );
    });
  },
);
