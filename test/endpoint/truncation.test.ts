// A message longer than the buffer: what fitted, the whole length, and no harm to anybody else.
import { expect, test } from 'vitest';
import { expectBytes, next, numbered, numberOf, pattern, range } from '../helpers/everyday.js';
import { describeOnProviders, openOne, openPair } from '../helpers/providers.js';

// One that leaves in one step, one that is copied, and one that providers send by rendezvous.
const lengths = [100, 20_000, 300_000];

describeOnProviders('truncation', {}, (provider) => {
  test.each(lengths)('recv(number) gets what fits of %i bytes, and the length', async (length) => {
    const { a, b, toB } = await openPair(provider);
    const received = b.recv(40);
    await a.send(toB, pattern(length));
    const message = await received;
    expect(message.truncated).toBe(true);
    expect(message.length).toBe(length);
    expectBytes(message.data, pattern(length).subarray(0, 40));
    expect(b.stats().truncated).toBe(1);
    expect(a.stats().errors + b.stats().errors).toBe(0);
  });

  test.each(lengths)('recv(Uint8Array) writes nothing behind its buffer of %i bytes', async (length) => {
    const { a, b, toB } = await openPair(provider);
    const memory = new Uint8Array(200).fill(0xee);
    const received = b.recv(memory.subarray(50, 90));
    await a.send(toB, pattern(length));
    const message = await received;
    expect(message.truncated).toBe(true);
    expect(message.length).toBe(length);
    expect(message.data.byteOffset).toBe(50);
    expectBytes(message.data, pattern(length).subarray(0, 40));
    expect(memory.subarray(0, 50).every((byte) => byte === 0xee)).toBe(true);
    expect(memory.subarray(90).every((byte) => byte === 0xee)).toBe(true);
  });

  test('a Lease is filled, and leases beside it stay as they are', async () => {
    const { a, b, toB } = await openPair(provider);
    const leases = [0, 1, 2].map(() => b.memory.alloc(5000));
    for (const { data } of leases) data.fill(0xee);
    const received = b.recv(leases[1]);
    await a.send(toB, pattern(300_000));
    const message = await received;
    expect(message.truncated).toBe(true);
    expect(message.length).toBe(300_000);
    expectBytes(leases[1].data, pattern(300_000).subarray(0, 5000));
    for (const index of [0, 2]) expect(leases[index].data.every((byte) => byte === 0xee)).toBe(true);
  });

  test('recv(0) learns how long a message was', async () => {
    const { a, b, toB } = await openPair(provider);
    const received = b.recv(0);
    await a.send(toB, pattern(1234));
    const message = await received;
    expect(message).toMatchObject({ truncated: true, length: 1234 });
    expect(message.data.byteLength).toBe(0);
  });

  test('a buffer of just the length is not truncated', async () => {
    const { a, b, toB } = await openPair(provider);
    const received = b.recv(777);
    await a.send(toB, pattern(777));
    const message = await received;
    expect(message.length).toBe(777);
    expect('truncated' in message).toBe(false);
  });

  test('messages() yields it and goes on; the sender and later messages are unharmed', async () => {
    const { a, b, toB } = await openPair(provider, { receive: { buffers: 4, size: 1000 } });
    const iterator = b.messages();
    const sizes = [10, 5000, 1000, 1001, 200_000, 20, 2_000_000, 30];
    const seen = [];
    for (const [number, size] of sizes.entries()) {
      await a.send(toB, numbered(number, size));
      seen.push(await next(iterator));
    }
    expect(seen.map(({ length }) => length)).toEqual(sizes);
    expect(seen.map(({ truncated }) => truncated ?? false)).toEqual(sizes.map((size) => size > 1000));
    expect(seen.map(({ data }) => data.byteLength)).toEqual(sizes.map((size) => Math.min(size, 1000)));
    expect(seen.map(numberOf)).toEqual(sizes.map((_, number) => number));
    expect(b.stats().truncated).toBe(4);
    expect(a.stats().errors + b.stats().errors).toBe(0);
  });

  test('a flood of messages that are all too long passes', async () => {
    const { a, b, toB } = await openPair(provider, { receive: { buffers: 8, size: 64 } });
    const count = 200;
    const sending = Promise.all(range(count).map((number) => a.send(toB, numbered(number, 3000))));
    const seen: number[] = [];
    for await (const message of b.messages()) {
      expect(message.truncated).toBe(true);
      expect(message.length).toBe(3000);
      if (seen.push(numberOf(message)) === count) break;
    }
    await sending;
    expect(seen).toEqual(range(count));
  });

  test('a recv() that messages() serves is truncated to its own buffer, or to the iterator’s', async () => {
    const { a, b, toB } = await openPair(provider, { receive: { buffers: 4, size: 1000 } });
    const iterator = b.messages();
    await a.send(toB, numbered(0, 10));
    await next(iterator);
    const [small, large, whole] = [b.recv(100), b.recv(5000), b.recv(5000)];
    for (const size of [500, 3000, 900]) await a.send(toB, pattern(size, size));
    await expect(small).resolves.toMatchObject({ truncated: true, length: 500 });
    expectBytes((await small).data, pattern(500, 500).subarray(0, 100));
    await expect(large).resolves.toMatchObject({ truncated: true, length: 3000 });
    expectBytes((await large).data, pattern(3000, 3000).subarray(0, 1000));
    expect('truncated' in (await whole)).toBe(false);
    expectBytes((await whole).data, pattern(900, 900));
    await iterator.return?.();
  });

  test('another peer goes on through it', async () => {
    const { a, b, toB } = await openPair(provider);
    const third = await openOne(provider);
    const fromThird = third.peer(b.contact);
    const received = [b.recv(10), b.recv(2000)];
    await a.send(toB, pattern(100_000, 1));
    await expect(received[0]).resolves.toMatchObject({ truncated: true, length: 100_000 });
    await third.send(fromThird, pattern(2000, 2));
    expectBytes((await received[1]).data, pattern(2000, 2));
  });

  test('tagged messages are truncated alike', async () => {
    const { a, b, toB } = await openPair(provider, { features: ['tagged'] });
    const [short, long] = [b.recvTagged(1, 16), b.recvTagged(2, 5000)];
    await a.sendTagged(toB, 1, pattern(4000, 1));
    await a.sendTagged(toB, 2, pattern(4000, 2));
    const message = await short;
    expect(message).toMatchObject({ truncated: true, length: 4000, tag: 1n });
    expectBytes(message.data, pattern(4000, 1).subarray(0, 16));
    expectBytes((await long).data, pattern(4000, 2));
  });
});
