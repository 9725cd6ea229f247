// Sends to one peer go in the order of the calls; receives are served in the order they were posted.
import { expect, test } from 'vitest';
import type { Endpoint, SendOptions } from 'libfabric';
import { next, numbered, numberOf, range } from '../helpers/everyday.js';
import { describeOnProviders, openOne, openPair } from '../helpers/providers.js';

/** Numbers of so many messages, in the order of their arrival. */
async function collect(endpoint: Endpoint, count: number): Promise<number[]> {
  const seen: number[] = [];
  for await (const message of endpoint.messages()) if (seen.push(numberOf(message)) === count) break;
  return seen;
}

describeOnProviders('order', {}, (provider) => {
  test('1,000 interleaved sends of several sizes to two peers, most of which wait for room', async () => {
    const { a, b, toB } = await openPair(provider);
    const third = await openOne(provider);
    const toThird = a.peer(third.contact);
    const sizes = [8, 200, 30_000, 64, 5000, 9, 60_000, 500];
    const sends: Promise<void>[] = [];
    for (const number of range(1000)) {
      const size = sizes[number % sizes.length];
      sends.push(a.send(toB, numbered(number, size)), a.send(toThird, numbered(number, size)));
    }
    // 24 MB: more than may be in flight. (sockets has threads that send meanwhile.)
    if (provider.spins) expect(a.stats().sendsWaiting).toBeGreaterThan(0);
    const [atB, atThird] = await Promise.all([collect(b, 1000), collect(third, 1000)]);
    await Promise.all(sends);
    expect(atB).toEqual(range(1000));
    expect(atThird).toEqual(range(1000));
  });

  test('leases, copies and batches keep their order among each other', async () => {
    const { a, b, toB } = await openPair(provider);
    const options: SendOptions = a.limits.immediateSize > 0 ? { immediate: 7n } : {};
    const sends: Promise<void>[] = [];
    let number = 0;
    while (number < 120) {
      const lease = a.memory.alloc(20_000);
      lease.data.set(numbered(number++));
      sends.push(a.send(toB, lease));
      lease[Symbol.dispose]();
      sends.push(a.send(toB, numbered(number++, 300)));
      sends.push(a.sendBatch(toB, [numbered(number++), numbered(number++, 2000), numbered(number++)]));
      sends.push(a.send(toB, numbered(number++), options));
    }
    await expect(collect(b, number)).resolves.toEqual(range(number));
    await Promise.all(sends);
  });

  test('a batch that finds no room for all is sent in order, and so is what comes after it', async () => {
    const { a, b, toB } = await openPair(provider, { receive: { buffers: 4, size: 100_000 } });
    const small = range(1500).map((number) => numbered(number, 8));
    const mixed = range(100).map((number) => numbered(3000 + number, number % 10 === 0 ? 70_000 : 500));
    const sends = [a.sendBatch(toB, small), a.send(toB, numbered(9000)), a.sendBatch(toB, mixed)];
    const expected = [...range(1500), 9000, ...range(100).map((number) => 3000 + number)];
    await expect(collect(b, expected.length)).resolves.toEqual(expected);
    await Promise.all(sends);
    expect(a.stats().sendsWaiting).toBe(0);
    expect(a.stats().messagesSent).toBe(expected.length);
  });

  test('a peer that has no room does not hold up another', async () => {
    const { a, b, toB } = await openPair(provider, { receive: { buffers: 1, size: 65536 } });
    const third = await openOne(provider);
    const toThird = a.peer(third.contact);
    const blocked = range(200).map((number) => a.send(toB, numbered(number, 60_000)));
    for (const number of range(20)) {
      const received = third.recv(100);
      await a.send(toThird, numbered(number, 50));
      expect(numberOf(await received)).toBe(number);
    }
    await expect(collect(b, 200)).resolves.toEqual(range(200));
    await Promise.all(blocked);
  });

  test('recv() calls are served in the order they were posted, whatever they receive into', async () => {
    const { a, b, toB } = await openPair(provider);
    const into = (number: number): Parameters<typeof b.recv>[0] =>
      [100, new Uint8Array(100), b.memory.alloc(100), 100_000][number % 4];
    const received = range(100).map((number) => b.recv(into(number)));
    for (const number of range(100)) await a.send(toB, numbered(number));
    expect((await Promise.all(received)).map(numberOf)).toEqual(range(100));
  });

  test('more recv() calls than the provider takes at once are served in order', async () => {
    const { a, b, toB } = await openPair(provider);
    const count = 1500;
    const received = range(count).map(() => b.recv(64));
    const sending = range(count).map((number) => a.send(toB, numbered(number)));
    const seen = await Promise.all(received);
    expect(seen.map(numberOf)).toEqual(range(count));
    await Promise.all(sending);
  });

  test('recv() and messages() mixed: whoever asked first gets the next', async () => {
    const { a, b, toB } = await openPair(provider, { receive: { buffers: 4, size: 64 } });
    const iterator = b.messages();
    const asked = [
      next(iterator),
      b.recv(64),
      b.recv(64),
      next(iterator),
      b.recv(new Uint8Array(64)),
      b.recv(b.memory.alloc(64)),
      next(iterator),
    ];
    for (const number of range(7)) await a.send(toB, numbered(number));
    expect((await Promise.all(asked)).map(numberOf)).toEqual(range(7));
  });

  test('a recv() posted before messages() is served before it', async () => {
    const { a, b, toB } = await openPair(provider);
    const received = b.recv(64);
    const iterator = b.messages();
    const yielded = next(iterator);
    await a.send(toB, numbered(1));
    await a.send(toB, numbered(2));
    expect(numberOf(await received)).toBe(1);
    expect(numberOf(await yielded)).toBe(2);
  });

  test('two iterators share what arrives', async () => {
    const { a, b, toB } = await openPair(provider);
    const [one, two] = [b.messages(), b.messages()];
    const waiting = [next(one), next(two), next(one), next(two)];
    for (const number of range(4)) await a.send(toB, numbered(number));
    expect((await Promise.all(waiting)).map(numberOf)).toEqual(range(4));
    await one.return?.();
    const last = next(two);
    await a.send(toB, numbered(4));
    expect(numberOf(await last)).toBe(4);
  });

  test('after break, what arrives waits for recv() and for the next messages()', async () => {
    const { a, b, toB } = await openPair(provider, { receive: { buffers: 3, size: 64 } });
    const sending = range(60).map((number) => a.send(toB, numbered(number)));
    const seen: number[] = [];
    for (let round = 0; round < 10; round++) {
      for await (const message of b.messages()) {
        seen.push(numberOf(message));
        if (seen.length % 3 === 0) break;
      }
      for (let index = 0; index < 3; index++) seen.push(numberOf(await b.recv(64)));
    }
    expect(seen).toEqual(range(60));
    await Promise.all(sending);
  });

  test('after break with buffers posted and nothing sent yet, recv() gets the next message', async () => {
    const { a, b, toB } = await openPair(provider);
    const iterator = b.messages();
    const first = next(iterator);
    await a.send(toB, numbered(1));
    await first;
    await iterator.return?.();
    const received = [b.recv(64), b.recv(64)];
    await a.send(toB, numbered(2));
    await a.send(toB, numbered(3));
    expect((await Promise.all(received)).map(numberOf)).toEqual([2, 3]);
  });
});
