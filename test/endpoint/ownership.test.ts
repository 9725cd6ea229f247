// A message owns its data, and a program its buffers: who may write where, and when.
import { expect, test } from 'vitest';
import { expectBytes, next, numbered, numberOf, pattern, range, until } from '../helpers/everyday.js';
import { describeOnProviders, openPair } from '../helpers/providers.js';

// Inlined, copied, and large enough to be handed over.
const sizes = [1, 64, 5000, 60_000, 300_000];

describeOnProviders('ownership of what is sent', {}, (provider) => {
  test.each(sizes)('a buffer of %i bytes may be changed when send() has resolved', async (size) => {
    const { a, b, toB } = await openPair(provider);
    const received = [b.recv(size), b.recv(size)];
    const buffer = pattern(size, 1);
    await a.send(toB, buffer);
    buffer.set(pattern(size, 2));
    await a.send(toB, buffer);
    buffer.fill(0xee);
    expectBytes((await received[0]).data, pattern(size, 1));
    expectBytes((await received[1]).data, pattern(size, 2));
  });

  test('of a view only its own bytes are sent', async () => {
    const { a, b, toB } = await openPair(provider);
    const whole = pattern(1000);
    const received = b.recv(1000);
    await a.send(toB, whole.subarray(100, 300));
    expectBytes((await received).data, whole.slice(100, 300));
  });

  test('a Buffer out of the pool of Node is sent as it is', async () => {
    const { a, b, toB } = await openPair(provider);
    const received = b.recv(100);
    await a.send(toB, Buffer.from('a text of umlauts: äöü'));
    expect(Buffer.from((await received).data).toString()).toBe('a text of umlauts: äöü');
  });

  test('a view of a SharedArrayBuffer can be sent, and received into', async () => {
    const { a, b, toB } = await openPair(provider);
    const source = new Uint8Array(new SharedArrayBuffer(500));
    source.set(pattern(500));
    const target = new Uint8Array(new SharedArrayBuffer(500));
    const received = b.recv(target);
    await a.send(toB, source);
    await received;
    expectBytes(target, pattern(500));
  });

  test('a Lease is sent from where it is, any number of times', async () => {
    const { a, b, toB } = await openPair(provider);
    const lease = a.memory.alloc(20_000);
    expect(lease.length).toBe(20_000);
    expect(lease.data.byteLength).toBe(20_000);
    for (const seed of [1, 2, 3]) {
      const received = b.recv(20_000);
      lease.data.set(pattern(20_000, seed));
      const copied = a.stats().bytesCopied;
      await a.send(toB, lease);
      expect(a.stats().bytesCopied).toBe(copied);
      expectBytes((await received).data, pattern(20_000, seed));
    }
    lease[Symbol.dispose]();
    expect(lease.disposed).toBe(true);
  });

  test('a Lease that is disposed of in flight arrives whole, and its memory is not lent to anybody before', async () => {
    const { a, b, toB } = await openPair(provider);
    const lease = a.memory.alloc(200_000);
    lease.data.set(pattern(200_000, 5));
    const sent = a.send(toB, lease);
    lease[Symbol.dispose]();
    const other = a.memory.alloc(200_000);
    other.data.fill(0xee);
    const { data } = await b.recv(200_000);
    expectBytes(data, pattern(200_000, 5));
    await sent;
  });
});

describeOnProviders('ownership of what is received', {}, (provider) => {
  test.each(sizes)('data of recv(number) of %i bytes is the program’s own', async (size) => {
    const { a, b, toB } = await openPair(provider);
    const kept: Uint8Array[] = [];
    for (let seed = 0; seed < 4; seed++) {
      const received = b.recv(size);
      await a.send(toB, pattern(size, seed));
      kept.push((await received).data);
    }
    for (const [seed, data] of kept.entries()) expectBytes(data, pattern(size, seed));
    kept[0].fill(0);
    expectBytes(kept[1], pattern(size, 1));
    expect(new Set(kept.map(({ buffer }) => buffer)).size).toBe(4);
  });

  test('recv(Uint8Array) fills the buffer and answers a view of it', async () => {
    const { a, b, toB } = await openPair(provider);
    const target = new Uint8Array(1000).fill(0xee);
    const received = b.recv(target.subarray(200, 800));
    await a.send(toB, pattern(500));
    const { data, length } = await received;
    expect(length).toBe(500);
    expect(data.buffer).toBe(target.buffer);
    expect(data.byteOffset).toBe(200);
    expectBytes(data, pattern(500));
    expect(target.subarray(0, 200).every((byte) => byte === 0xee)).toBe(true);
    expect(target.subarray(700).every((byte) => byte === 0xee)).toBe(true);
  });

  test('recv(Lease) receives in place', async () => {
    const { a, b, toB } = await openPair(provider);
    const lease = b.memory.alloc(100_000);
    const received = b.recv(lease);
    await a.send(toB, pattern(70_000));
    const { data, length } = await received;
    expect(length).toBe(70_000);
    expect(data.buffer).toBe(lease.data.buffer);
    expect(data.byteOffset).toBe(lease.data.byteOffset);
    expectBytes(data, pattern(70_000));
    expect(b.stats().bytesCopied).toBe(0);
    lease[Symbol.dispose]();
  });

  test('a Lease that was received into can be sent on', async () => {
    const { a, b, toB, toA } = await openPair(provider);
    const lease = b.memory.alloc(3000);
    const echoed = a.recv(3000);
    await a.send(toB, pattern(3000));
    await b.recv(lease);
    await b.send(toA, lease);
    expectBytes((await echoed).data, pattern(3000));
  });

  test('a large message hands its buffer over instead of being copied', async () => {
    const { a, b, toB } = await openPair(provider);
    const received = [b.recv(1 << 20), b.recv(1 << 20)];
    await a.send(toB, pattern(1 << 20, 1));
    await a.send(toB, pattern(1 << 20, 2));
    const [first, second] = await Promise.all(received);
    expect(b.stats().bytesCopied).toBe(0);
    expect(first.data.buffer).not.toBe(second.data.buffer);
    expectBytes(first.data, pattern(1 << 20, 1));
    expectBytes(second.data, pattern(1 << 20, 2));
  });

  test('a short message in a large buffer is copied, so that it does not keep all of the buffer', async () => {
    const { a, b, toB } = await openPair(provider);
    const received = b.recv(1 << 20);
    await a.send(toB, pattern(100));
    const { data } = await received;
    expectBytes(data, pattern(100));
    expect(data.buffer.byteLength).toBeLessThan(1 << 16);
  });

  test('messages() hands large messages over, and copies small ones, out of one pool', async () => {
    const { a, b, toB } = await openPair(provider, { receive: { buffers: 2, size: 1 << 20 } });
    const iterator = b.messages();
    const sizes = [500_000, 100, 1 << 20, 200, 300_000, 300];
    const kept: Uint8Array[] = [];
    for (const [seed, size] of sizes.entries()) {
      await a.send(toB, pattern(size, seed));
      kept.push((await next(iterator)).data);
    }
    expect(b.stats().bytesCopied).toBe(600);
    for (const [seed, size] of sizes.entries()) expectBytes(kept[seed], pattern(size, seed));
  });

  test('data of messages() is the program’s own, however many come after it', async () => {
    const { a, b, toB } = await openPair(provider, { receive: { buffers: 4, size: 1024 } });
    const iterator = b.messages();
    const kept: Uint8Array[] = [];
    for (let number = 0; number < 20; number++) {
      await a.send(toB, numbered(number, 1000));
      kept.push((await next(iterator)).data);
    }
    expect(kept.map((data) => numberOf({ data }))).toEqual(range(20));
  });

  test('received data outlives the endpoint', async () => {
    const { a, b, toB } = await openPair(provider);
    const received = [b.recv(100), b.recv(1 << 20)];
    await a.send(toB, pattern(100, 3));
    await a.send(toB, pattern(1 << 20, 4));
    const [small, large] = await Promise.all(received);
    await Promise.all([a.close(), b.close()]);
    expectBytes(small.data, pattern(100, 3));
    expectBytes(large.data, pattern(1 << 20, 4));
  });

  test('borrow lends the receive buffer until the next message is asked for', async () => {
    const { a, b, toB } = await openPair(provider, { receive: { buffers: 2, size: 4096 } });
    const iterator = b.messages({ borrow: true });
    await a.send(toB, pattern(2000, 1));
    const first = await next(iterator);
    expectBytes(first.data, pattern(2000, 1));
    expect(b.stats().bytesCopied).toBe(0);
    await a.send(toB, pattern(2000, 2));
    await until(() => b.stats().messagesHeld === 1 || b.poll() < 0);
    expectBytes(first.data, pattern(2000, 1));
    const second = await next(iterator);
    expect(first.data.byteLength).toBe(0);
    expectBytes(second.data, pattern(2000, 2));
    await iterator.return?.();
    expect(second.data.byteLength).toBe(0);
  });

  test('a borrowed message can be given back early', async () => {
    const { a, b, toB } = await openPair(provider, { receive: { buffers: 1, size: 4096 } });
    const iterator = b.messages({ borrow: true });
    await a.send(toB, pattern(100, 1));
    const first = await next(iterator);
    expect(b.stats().receivesPosted).toBe(0);
    first[Symbol.dispose]();
    expect(first.data.byteLength).toBe(0);
    expect(b.stats().receivesPosted).toBe(1);
    first[Symbol.dispose]();
    expect(b.stats().receivesPosted).toBe(1);
    await a.send(toB, pattern(100, 2));
    expectBytes((await next(iterator)).data, pattern(100, 2));
  });

  test('borrowed batches are lent together', async () => {
    const { a, b, toB } = await openPair(provider, { receive: { buffers: 8, size: 4096 } });
    const iterator = b.messages({ borrow: true, batch: 4 });
    const seen: number[] = [];
    for (let number = 0; number < 12; number++) await a.send(toB, numbered(number, 500));
    while (seen.length < 12) {
      const batch = await next(iterator);
      seen.push(...batch.map(numberOf));
    }
    expect(seen).toEqual(range(12));
    expect(b.stats().bytesCopied).toBe(0);
  });
});

// Where memory needs no registration, so that each buffer has its own.
describeOnProviders('where receive buffers begin', { providers: ['shm', 'tcp'] }, (provider) => {
  test('short messages lie on cache lines of their own, leases begin on pages', async () => {
    const buffers = 8;
    const { a, b, toB } = await openPair(provider, { receive: { buffers, size: 65536 } });
    const iterator = b.messages({ borrow: true, batch: buffers });
    // The first call posts them.
    const first = next(iterator);
    await a.send(toB, numbered(0, 64));
    expect((await first).map(numberOf)).toEqual([0]);
    for (let number = 1; number <= buffers; number++) await a.send(toB, numbered(number, 64));
    // One of them is still lent.
    await until(() => b.stats().messagesHeld === buffers - 1 || b.poll() < 0);
    const lent = await next(iterator);
    const lines = lent.map(({ data }) => (data.byteOffset % 4096) / 64);
    expect(lent.map(numberOf)).toEqual(range(buffers).slice(1));
    expect(new Set(lines).size).toBe(lent.length);
    const leases = [100, 5000, 65536].map((bytes) => b.memory.alloc(bytes));
    expect(leases.map(({ data }) => data.byteOffset % 4096)).toEqual([0, 0, 0]);
  });
});
