/** Reads and writes of another endpoint's memory, with promises. */
import { expect, test } from 'vitest';
import { type MemoryRegion, type OpenOptions, RemoteMemory } from 'libfabric';
import { Memory } from 'libfabric/fi';
import { expectBytes, pattern, range, rejection } from '../helpers/everyday.js';
import {
  type Pair,
  type ProviderUnderTest,
  describeOnProviders,
  openOne,
  openPair,
} from '../helpers/providers.js';
import { openTarget } from '../helpers/rma-target.js';

type Rma = Pair<readonly ['rma']>;
const both = ['remoteRead', 'remoteWrite'] as const;

/** Two endpoints, and memory of b's that a may read and write. */
async function openWith(
  provider: ProviderUnderTest,
  bytes: number,
  options: OpenOptions<[]> = {},
): Promise<Rma & { region: MemoryRegion; remote: RemoteMemory }> {
  const pair = await openPair(provider, { ...options, features: ['rma'] });
  const region = await pair.b.memory.register(bytes, both);
  return { ...pair, region, remote: region.remote };
}

describeOnProviders('remote memory', { features: ['rma'] }, (provider) => {
  test.each([1, 64, 4096, 65_537, 1 << 20])('of %i bytes is written and read', async (size) => {
    const { a, toB, region, remote } = await openWith(provider, size + 16);
    region.bytes.fill(0xee);
    const content = pattern(size, 3);
    await a.write(toB, content, remote.slice(8, size));
    // Resolved means that the bytes are there: nothing more has to happen.
    expectBytes(region.bytes.subarray(8, 8 + size), content);
    expect([...region.bytes.subarray(0, 8), ...region.bytes.subarray(8 + size)]).toEqual(
      Array(16).fill(0xee),
    );

    const into = new Uint8Array(size);
    expect(await a.read(toB, into, remote.slice(8, size))).toBe(into);
    expectBytes(into, content);
    expectBytes(await a.read(toB, size, remote.slice(8, size)), content);
    expect(a.stats()).toMatchObject({
      ...{ writes: 1, bytesWritten: size, reads: 2, bytesRead: 2 * size },
      ...{ sendsInFlight: 0, sendsWaiting: 0, errors: 0 },
    });
  });

  test('is written from a Lease and read into one, without a copy', async () => {
    const { a, toB, region, remote } = await openWith(provider, 100_000);
    const from = a.memory.alloc(100_000);
    from.data.set(pattern(100_000, 1));
    await a.write(toB, from, remote);
    expectBytes(region.bytes, from.data);
    const into = a.memory.alloc(100_000);
    expect(await a.read(toB, into, remote)).toBe(into.data);
    expectBytes(into.data, from.data);
    expect(a.stats().bytesCopied).toBe(0);
    from[Symbol.dispose]();
    into[Symbol.dispose]();
  });

  test('is named by a message, as JSON or as bytes', async () => {
    const { a, b, toB, toA, region, remote } = await openWith(provider, 64);
    for (const name of [Buffer.from(JSON.stringify(remote)), remote.toBytes()]) {
      const heard = a.recv(256);
      await b.send(toA, name);
      const { data } = await heard;
      const read =
        data.length === 32
          ? RemoteMemory.from(data)
          : RemoteMemory.from(JSON.parse(Buffer.from(data).toString()) as ReturnType<RemoteMemory['toJSON']>);
      expect(read).toEqual(remote);
      await a.write(toB, pattern(64, name.length), read);
      expectBytes(region.bytes, pattern(64, name.length));
    }
  });

  test('holds what was written before the message that tells of it', async () => {
    const { a, b, toB, region, remote } = await openWith(provider, 8);
    for (const number of range(20)) {
      const told = b.recv(8);
      await a.write(toB, Uint8Array.of(number + 1), remote);
      await a.send(toB, Uint8Array.of(number + 1));
      const { data } = await told;
      expect(region.bytes[0]).toBe(data[0]);
    }
  });

  test.for(['buffer', 'transmit', 'delivery'] as const)(
    'is written with completion: %s',
    async (completion, { skip }) => {
      skip(provider.isBare && completion === 'delivery', 'efa-direct cannot tell when a write has arrived');
      const { a, toB, region, remote } = await openWith(provider, 64);
      await a.write(toB, pattern(64), remote, { completion });
      // A read behind it would have no order with it on every provider.
      if (completion !== 'delivery')
        await expect.poll(() => region.bytes[63], { interval: 1, timeout: 15_000 }).toBe(pattern(64)[63]);
      expectBytes(region.bytes, pattern(64));
    },
  );

  test('takes more at once than there is room for', async () => {
    // No thread answers for b while this one starts them all.
    const { a, toB, region, remote } = await openWith(provider, 3000 * 8, { progress: 'inline' });
    const content = pattern(3000 * 8, 2);
    const writes = range(3000).map((number) =>
      a.write(toB, content.subarray(number * 8, number * 8 + 8), remote.slice(number * 8, 8)),
    );
    // sockets has threads that make room meanwhile.
    if (provider.spins) expect(a.stats().sendsWaiting).toBeGreaterThan(0);
    await Promise.all(writes);
    expectBytes(region.bytes, content);
    const parts = await Promise.all(
      range(300).map((number) => a.read(toB, 80, remote.slice(number * 80, 80))),
    );
    expectBytes(Buffer.concat(parts), content);
  });

  test('may be of no bytes', async () => {
    const { a, toB, remote } = await openWith(provider, 8);
    await a.write(toB, new Uint8Array(0), remote);
    expect(await a.read(toB, 0, remote.slice(8, 0))).toHaveLength(0);
  });

  test('is accessible while messages come and go', async () => {
    const { a, b, toB, toA, region, remote } = await openWith(provider, 1000);
    const own = await a.memory.register(1000, both);
    const talk = (async () => {
      for (const number of range(100)) {
        const heard = b.recv(8);
        await a.send(toB, Uint8Array.of(number));
        expect((await heard).data[0]).toBe(number);
      }
    })();
    for (const number of range(50))
      await Promise.all([
        a.write(toB, pattern(1000, number), remote),
        b.write(toA, pattern(1000, number + 1), own.remote),
      ]);
    await talk;
    expectBytes(region.bytes, pattern(1000, 49));
    expectBytes(own.bytes, pattern(1000, 50));
  });

  test('is answered for while the other side computes', async () => {
    const { a, peer, remote, child, heard } = await openTarget(provider, ['rma']);
    const computing = heard();
    child.send({ word: 'compute' });
    expect(await computing).toBe('computing');
    const seen = heard();
    // Its JavaScript does not return to the loop before the write is there.
    await a.write(peer, pattern(5000), remote.slice(64, 5000));
    expectBytes(await a.read(peer, 5000, remote.slice(64, 5000)), pattern(5000));
    await a.write(peer, Uint8Array.of(7), remote);
    expect(await seen).toBe('saw 7');
  });

  test('belongs to the endpoint, and goes with it', async () => {
    const { b, region } = await openWith(provider, 4096);
    const memory = Memory.allocate(100);
    const other = await b.memory.register(memory);
    const whole = await b.memory.register(Memory.allocate(64).bytes);
    expect(other.bytes).toBe(memory.bytes);
    expect([other.remote.readable, other.remote.writable]).toEqual([false, false]);
    await other.close();
    for (let count = 0; count < 200; count++) await (await b.memory.register(8)).close();
    const late = b.memory.register(64);
    const rejected = rejection(late);
    await b.close();
    expect(await rejected).toHaveProperty('code', 'ERR_FABRIC_CLOSED');
    // On shm it stays while another endpoint of the process may still look at it.
    expect([region.closed, whole.closed]).toEqual(Array(2).fill(!provider.sharedMemoryFiles));
    expect(region.bytes).toHaveLength(4096);
    expect(await rejection(b.memory.register(64))).toHaveProperty('code', 'ERR_FABRIC_CLOSED');
  });

  test('is for endpoints that were opened for it', async () => {
    const plain = await openOne(provider);
    expect(plain).not.toHaveProperty('write');
    expect(plain).not.toHaveProperty('fetchAtomic');
    expect(await rejection(plain.memory.register(64, ['remoteRead']))).toMatchObject({
      code: 'ERR_FABRIC_UNSUPPORTED',
      message: "memory for peers needs an endpoint that was opened with 'rma' or 'atomic'",
    });
    const region = await plain.memory.register(64);
    expect(region.remote.length).toBe(64);
  });
});

describeOnProviders(
  'memory that is gone',
  { features: ['rma'], providers: ['tcp', 'sockets'] },
  (provider) => {
    test('rejects who would write or read it, and nothing else', async () => {
      const { a, b, toB, region } = await openWith(provider, 64);
      const other = await b.memory.register(64, both);
      await a.write(toB, pattern(64), region.remote);
      await region.close();
      const failed = { name: 'CompletionError', peer: b.contact, length: 64 };
      expect(await rejection(a.write(toB, pattern(64), region.remote))).toMatchObject({
        ...failed,
        operation: 'write',
      });
      expect(await rejection(a.read(toB, 64, region.remote))).toMatchObject({ ...failed, operation: 'read' });
      await a.write(toB, pattern(64, 4), other.remote);
      expectBytes(await a.read(toB, 64, other.remote), pattern(64, 4));
      expect(a.stats().errors).toBe(2);
    });
  },
);
