// What is done at once or not at all: trySend(), tryRecv(), poll(); and what sends can be asked to tell.
import { expect, test } from 'vitest';
import type { Endpoint, Message, SendOptions } from 'libfabric';
import { numbered, numberOf, range, rejection, until } from '../helpers/everyday.js';
import { describeOnProviders, openOne, openPair } from '../helpers/providers.js';

/** A message that tryRecv() finds sooner or later. */
async function found(endpoint: Endpoint): Promise<Message> {
  let message: Message | undefined;
  await until(() => (message = endpoint.tryRecv()) !== undefined);
  return message as unknown as Message;
}

describeOnProviders('trySend() and tryRecv()', {}, (provider) => {
  test('exchange messages in order, and find nothing where nothing is', async () => {
    const { a, b, toB } = await openPair(provider);
    expect(b.tryRecv()).toBeUndefined();
    for (const number of range(20)) {
      await until(() => {
        b.poll();
        return a.trySend(toB, numbered(number));
      });
    }
    for (const number of range(20)) expect(numberOf(await found(b))).toBe(number);
    expect(b.tryRecv()).toBeUndefined();
    expect(a.stats().messagesSent).toBe(20);
  });

  test('trySend() copies: the buffer may change at once', async () => {
    const { a, b, toB } = await openPair(provider);
    const data = numbered(5, 2000);
    const received = b.recv(2000);
    await until(() => a.trySend(toB, data));
    data.fill(0xff);
    expect(numberOf(await received)).toBe(5);
  });

  test('trySend() consumes a Lease that it sends, and only then', async () => {
    const { a, b, toB } = await openPair(provider);
    const received = b.recv(64);
    const lease = a.memory.alloc(64);
    lease.data.set(numbered(9, 64));
    await until(() => {
      expect(lease.disposed).toBe(false);
      return a.trySend(toB, lease);
    });
    expect(lease.disposed).toBe(true);
    expect(numberOf(await received)).toBe(9);
  });

  test('trySend() has nothing to tell of an arrival', async () => {
    const { a, toB } = await openPair(provider);
    expect(() => a.trySend(toB, numbered(1), { completion: 'delivery' })).toThrow(
      /no promise that could tell/,
    );
    expect(a.stats().messagesSent).toBe(0);
  });

  test('poll() finds nothing where nothing is, and nothing where nothing is asked for', async () => {
    const endpoint = await openOne(provider);
    expect(endpoint.poll()).toBe(0);
    expect(endpoint.poll(0)).toBe(0);
  });
});

describeOnProviders('immediate data', {}, (provider) => {
  test('arrives with its message, whatever way that is sent', async (context) => {
    const { a, b, toB } = await openPair(provider);
    const { immediateSize } = a.limits;
    if (immediateSize === 0) {
      const error = await rejection(a.send(toB, numbered(1), { immediate: 1n }));
      expect(error.code).toBe('ERR_FABRIC_UNSUPPORTED');
      context.skip(`${provider.name} has no immediate data, or loses it`);
    }
    const most = (1n << BigInt(8 * Math.min(immediateSize, 8))) - 1n;
    const messages = b.messages();
    const arrive = async (immediate: bigint | undefined): Promise<void> => {
      const { value } = await messages.next();
      expect(value?.immediate).toBe(immediate);
    };
    const reading = [0n, 1n, most, 7n, 7n, undefined].reduce(
      (before, immediate) => before.then(() => arrive(immediate)),
      Promise.resolve(),
    );
    for (const immediate of [0n, 1n, most]) await a.send(toB, numbered(1), { immediate });
    await a.sendBatch(toB, [numbered(2), numbered(3)], { immediate: 7n });
    await a.send(toB, numbered(4));
    await reading;
  });

  test('arrives with many messages that come before a receive is posted', async (context) => {
    const { a, b, toB } = await openPair(provider);
    if (a.limits.immediateSize === 0) context.skip(`${provider.name} has no immediate data, or loses it`);
    // More than messages() keeps posted.
    const count = 500;
    const sends = range(count).map((number) => a.send(toB, numbered(number), { immediate: BigInt(number) }));
    // Some have arrived before anybody asks: most providers need to be turned to.
    await sends[0];
    b.poll();
    const seen: (bigint | undefined)[] = [];
    for await (const { immediate } of b.messages()) if (seen.push(immediate) === count) break;
    expect(seen).toEqual(range(count).map(BigInt));
    await Promise.all(sends);
  });
});

describeOnProviders('completion levels', {}, (provider) => {
  test.each(['buffer', 'transmit', 'delivery'] as const)('%s resolves, or is refused', async (completion) => {
    const { a, b, toB } = await openPair(provider);
    const options: SendOptions = { completion };
    if (completion !== 'buffer' && !provider[completion]) {
      const error = await rejection(a.send(toB, numbered(1), options));
      expect(error.code).toBe('ERR_FABRIC_UNSUPPORTED');
      expect(a.stats().messagesSent).toBe(0);
      return;
    }
    const received = range(3).map(() => b.recv(64));
    await Promise.all(range(3).map((number) => a.send(toB, numbered(number), options)));
    for (const [number, one] of received.entries()) expect(numberOf(await one)).toBe(number);
  });
});

describeOnProviders('peers()', { timeoutMs: 60_000 }, (provider) => {
  test('gives the same Peer for the same contact, in the order asked for', async () => {
    const a = await openOne(provider);
    const b = await openOne(provider);
    const peers = await a.peers(range(2000).map((index) => (index % 2 === 0 ? a.contact : b.contact)));
    expect(peers).toHaveLength(2000);
    expect(peers.every(({ contact }, index) => contact === (index % 2 === 0 ? a : b).contact)).toBe(true);
    expect(a.stats().peers).toBe(2);
  });
});
