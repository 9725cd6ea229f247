import { describe, expect, it } from 'vitest';
import { FI_ECANCELED, FI_EMSGSIZE, FI_ETRUNC } from '../../src/fi/errno.js';
import { FI_RECV, type SendFlags } from 'libfabric/fi';
import { openSides, pattern, sameBytes } from '../helpers/fi.js';
import { describeOnProviders } from '../helpers/providers.js';

const onePacket = [0, 1, 8, 64, 1000, 4096];
const sizes = [...onePacket, 16_384, 65_536, 262_144, 1_048_576];
const noCancel = 'efa-direct has no fi_cancel';

describeOnProviders('messages', {}, (provider) => {
  it.each(provider.isBare ? onePacket : sizes)('carry %i bytes', async (size) => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const content = pattern(size, size + 1);
    const from = await a.memory(content);
    const into = await b.memory(Math.max(1, size) + 16);
    into.bytes.fill(0xee);
    const completed = await pair.transfer(
      (context) => a.endpoint.send(from, 0, size, toB, context),
      (context) => b.endpoint.recv(into, 8, size, context),
    );
    expect(completed).toMatchObject({ error: 0, length: size, isReceive: true, isTagged: false });
    expect(sameBytes(into.bytes.subarray(8, 8 + size), content)).toBe(true);
    // Nothing beside the buffer was written.
    expect(
      [...into.bytes.subarray(0, 8), ...into.bytes.subarray(8 + size, 16 + size)].every(
        (byte) => byte === 0xee,
      ),
    ).toBe(true);
  });

  it('that are too long for a receive say so', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(pattern(100));
    const into = await b.memory(200);
    await pair.post('the receive', () => b.endpoint.recv(into, 0, 40, 5));
    await pair.post('the send', () => a.endpoint.send(from, 0, 100, toB, 6));
    const completed = await pair.completion(b, 5);
    const { error, overflow, flags, isReceive } = completed;
    // rxd does not tell at all; with efa-direct it is the device that tells.
    const untold = provider.name === 'udp;ofi_rxd' ? 0 : FI_ETRUNC;
    expect(error).toBe(provider.isBare ? FI_EMSGSIZE : untold);
    // How much did not fit, most do not tell.
    expect(provider.name === 'sockets' ? [60] : [0, 60]).toContain(overflow);
    expect(isReceive).toBe(true);
    expect(BigInt(flags) & FI_RECV).toBe(FI_RECV);
  });

  it('say that a send has completed, with its context', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const memory = await a.memory(64);
    const into = await b.memory(64);
    await pair.post('the receive', () => b.endpoint.recv(into, 0, 64, 5));
    await pair.post('the send', () => a.endpoint.send(memory, 0, 64, toB, 777));
    expect(await pair.completion(a, 777)).toMatchObject({ context: 777, error: 0, isReceive: false });
  });

  it('are refused where a number is no whole one', async () => {
    const { a, toB } = await openSides(provider);
    const from = await a.memory(16);
    const outside = expect.objectContaining({ code: 'FI_EINVAL' });
    expect(() => a.endpoint.inject(from, 0.5, 8, toB)).toThrow(outside);
    expect(() => a.endpoint.send(from, 0, 7.5, toB, 0)).toThrow(outside);
    expect(() => a.endpoint.send(from, NaN, 8, toB, 0)).toThrow(outside);
    expect(() => a.endpoint.send(from, 0, 8, toB, 1.5)).toThrow(
      expect.objectContaining({ code: 'ERR_FABRIC_BUSY' }),
    );
  });

  it('arrive in the order of the sends', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const count = 100;
    const from = await a.memory(count * 4);
    const into = await b.memory(count * 4);
    const numbers = new Uint32Array(from.bytes.buffer, 0, count).map((_, index) => index * 7);
    new Uint32Array(from.bytes.buffer, 0, count).set(numbers);
    for (let index = 0; index < count; index++)
      await pair.post('a receive', () => b.endpoint.recv(into, index * 4, 4, index));
    for (let index = 0; index < count; index++)
      await pair.post('a send', () => a.endpoint.send(from, index * 4, 4, toB, index));
    await pair.until('all completions', () => a.completed.length === count && b.completed.length === count);
    // Receives match in the order in which they were posted.
    expect(b.completed.map(({ context }) => context)).toEqual([...Array(count).keys()]);
    expect([...new Uint32Array(into.bytes.buffer, 0, count)]).toEqual([...numbers]);
  });

  it('that come before their receives are posted wait for them', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(pattern(300));
    const into = await b.memory(300);
    for (let index = 0; index < 3; index++)
      await pair.post('a send', () => a.endpoint.send(from, index * 100, 100, toB, index));
    // Time for them to come: the engine of neither side is told that nobody waits.
    for (let round = 0; round < 20; round++) await pair.until('a round', () => true);
    expect(b.completed).toEqual([]);
    for (let index = 0; index < 3; index++)
      await pair.post('a receive', () => b.endpoint.recv(into, index * 100, 100, index));
    await pair.until('the receives', () => b.completed.length === 3);
    expect(b.completed.map(({ length }) => length)).toEqual([100, 100, 100]);
    expect(sameBytes(into.bytes, from.bytes)).toBe(true);
  });

  it('may be shorter than their buffer', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(pattern(10));
    const into = await b.memory(4096);
    const completed = await pair.transfer(
      (context) => a.endpoint.send(from, 0, 10, toB, context),
      (context) => b.endpoint.recv(into, 0, 4096, context),
    );
    expect(completed.length).toBe(10);
    expect(sameBytes(into.bytes.subarray(0, 10), from.bytes)).toBe(true);
    expect(into.bytes.subarray(10).every((byte) => byte === 0)).toBe(true);
  });

  it('go both ways', async () => {
    const pair = await openSides(provider);
    const { a, b, toA, toB } = pair;
    const [fromA, fromB] = [await a.memory(pattern(50, 1)), await b.memory(pattern(60, 2))];
    const [intoA, intoB] = [await a.memory(64), await b.memory(64)];
    await pair.post('a receive', () => a.endpoint.recv(intoA, 0, 64, 0));
    await pair.post('a receive', () => b.endpoint.recv(intoB, 0, 64, 0));
    await pair.post('a send', () => a.endpoint.send(fromA, 0, 50, toB, 1));
    await pair.post('a send', () => b.endpoint.send(fromB, 0, 60, toA, 1));
    await pair.until('all four', () => a.completed.length === 2 && b.completed.length === 2);
    expect(a.of(0)?.length).toBe(60);
    expect(b.of(0)?.length).toBe(50);
    expect(sameBytes(intoA.bytes.subarray(0, 60), fromB.bytes)).toBe(true);
    expect(sameBytes(intoB.bytes.subarray(0, 50), fromA.bytes)).toBe(true);
  });

  it('reach the endpoint itself', async () => {
    const pair = await openSides(provider);
    const { a } = pair;
    const self = a.addresses.insert(a.endpoint.getName());
    const memory = await a.memory(200);
    memory.bytes.set(pattern(100));
    await pair.post('the receive', () => a.endpoint.recv(memory, 100, 100, 0));
    await pair.post('the send', () => a.endpoint.send(memory, 0, 100, self, 1));
    await pair.until('both', () => a.completed.length === 2);
    expect(a.of(0)).toMatchObject({ error: 0, length: 100 });
    expect(sameBytes(memory.bytes.subarray(0, 100), memory.bytes.subarray(100))).toBe(true);
  });

  describe('with remote CQ data', () => {
    it.each([0n, 1n, 0xffffffffn])('bring %s', async (immediate) => {
      const pair = await openSides(provider);
      const { a, b, toB } = pair;
      const from = await a.memory(pattern(40));
      const into = await b.memory(64);
      const completed = await pair.transfer(
        (context) => a.endpoint.send(from, 0, 40, toB, context, { immediate }),
        (context) => b.endpoint.recv(into, 0, 64, context),
      );
      expect(completed).toMatchObject({ error: 0, length: 40, immediate });
    });

    it('bring all of its bytes, and none where none was sent', async () => {
      const pair = await openSides(provider);
      const { a, b, toB } = pair;
      expect(a.info.immediateSize).toBeGreaterThanOrEqual(4);
      const size = Math.min(a.info.immediateSize, provider.immediateBytes ?? a.info.immediateSize);
      const immediate = (1n << BigInt(8 * size)) - 2n;
      const memory = await a.memory(1);
      const into = await b.memory(8);
      const withData = await pair.transfer(
        (context) => a.endpoint.send(memory, 0, 0, toB, context, { immediate }),
        (context) => b.endpoint.recv(into, 0, 8, context),
      );
      expect(withData).toMatchObject({ length: 0, immediate });
      const without = await pair.transfer(
        (context) => a.endpoint.send(memory, 0, 1, toB, context),
        (context) => b.endpoint.recv(into, 0, 8, context),
      );
      expect(without).toMatchObject({ length: 1, immediate: undefined });
    });
  });

  describe('with a completion level', () => {
    const levels: SendFlags[] = [
      { completion: 'buffer' },
      { completion: 'transmit' },
      { completion: 'delivery' },
      { completion: 'transmit', immediate: 9n },
      { completion: 'delivery', immediate: 7n },
    ];
    it.each(levels)('%o', async (options) => {
      const pair = await openSides(provider);
      const { a, b, toB } = pair;
      const from = await a.memory(pattern(500));
      const into = await b.memory(500);
      const completed = await pair.transfer(
        (context) => a.endpoint.send(from, 0, 500, toB, context, options),
        (context) => b.endpoint.recv(into, 0, 500, context),
      );
      expect(completed).toMatchObject({ error: 0, length: 500, immediate: options.immediate });
      expect(sameBytes(into.bytes, from.bytes)).toBe(true);
    });
  });

  describe('injected', () => {
    it('leave without a completion, and their memory may be reused at once', async () => {
      const pair = await openSides(provider);
      const { a, b, toB } = pair;
      const size = Math.min(a.info.injectSize, 64);
      const content = pattern(size);
      const from = await a.memory(content);
      const into = await b.memory(64);
      await pair.post('the receive', () => b.endpoint.recv(into, 0, 64, 3));
      await pair.post('the send', () => a.endpoint.inject(from, 0, size, toB));
      from.bytes.fill(0);
      const completed = await pair.completion(b, 3);
      expect(completed).toMatchObject({ error: 0, length: size, immediate: undefined });
      expect(sameBytes(into.bytes.subarray(0, size), content)).toBe(true);
      expect(a.completed).toEqual([]);
    });

    it('may be as long as injectSize says, and not longer', async () => {
      const pair = await openSides(provider);
      const { a, b, toB } = pair;
      const size = a.info.injectSize;
      const from = await a.memory(pattern(size + 1));
      const into = await b.memory(size + 1);
      await pair.post('the receive', () => b.endpoint.recv(into, 0, size + 1, 0));
      await pair.post('the send', () => a.endpoint.inject(from, 0, size, toB));
      expect(await pair.completion(b, 0)).toMatchObject({ error: 0, length: size });
      const tooLong = expect.objectContaining({ code: 'FI_EMSGSIZE' });
      expect(() => a.endpoint.inject(from, 0, size + 1, toB)).toThrow(tooLong);
      expect(() => a.endpoint.injectTagged(from, 0, size + 1, toB, 0n)).toThrow(tooLong);
    });

    it('bring remote CQ data', async () => {
      const pair = await openSides(provider);
      const { a, b, toB } = pair;
      const from = await a.memory(8);
      const into = await b.memory(8);
      await pair.post('the receive', () => b.endpoint.recv(into, 0, 8, 0));
      await pair.post('the send', () => a.endpoint.inject(from, 0, 8, toB, { immediate: 0xdeadbeefn }));
      expect(await pair.completion(b, 0)).toMatchObject({ error: 0, immediate: 0xdeadbeefn });
    });
  });

  describe('cancel', () => {
    it('ends a receive with FI_ECANCELED, and the next one gets the message', async (test) => {
      test.skip(provider.isBare, noCancel);
      const pair = await openSides(provider);
      const { a, b, toB } = pair;
      const from = await a.memory(pattern(32));
      const into = await b.memory(64);
      await pair.post('a receive', () => b.endpoint.recv(into, 0, 32, 0));
      await pair.post('a receive', () => b.endpoint.recv(into, 32, 32, 1));
      expect(b.endpoint.cancel(0)).toBe(true);
      expect(await pair.completion(b, 0)).toMatchObject({ error: FI_ECANCELED, isReceive: true });
      await pair.post('the send', () => a.endpoint.send(from, 0, 32, toB, 0));
      expect(await pair.completion(b, 1)).toMatchObject({ error: 0, length: 32 });
      expect(into.bytes.subarray(0, 32).every((byte) => byte === 0)).toBe(true);
    });

    it('answers false where nothing is in flight, and for what has completed', async () => {
      const pair = await openSides(provider);
      const { a, b, toB } = pair;
      expect(b.endpoint.cancel(3)).toBe(false);
      expect(b.endpoint.cancel(1 << 30)).toBe(false);
      const into = await b.memory(8);
      const from = await a.memory(8);
      const { context } = await pair.transfer(
        (sent) => a.endpoint.send(from, 0, 8, toB, sent),
        (received) => b.endpoint.recv(into, 0, 8, received),
      );
      expect(b.endpoint.cancel(context)).toBe(false);
    });

    it('frees the context for another operation', async (test) => {
      test.skip(provider.isBare, noCancel);
      const pair = await openSides(provider);
      const { b } = pair;
      const into = await b.memory(8);
      for (let round = 0; round < 20; round++) {
        b.completed.length = 0;
        await pair.post('a receive', () => b.endpoint.recv(into, 0, 8, 2));
        expect(b.endpoint.cancel(2)).toBe(true);
        expect(await pair.completion(b, 2)).toMatchObject({ error: FI_ECANCELED });
      }
    });
  });

  it('that close() leaves unfinished are named by the endpoint as dropped, each once', async () => {
    const pair = await openSides(provider);
    const { b } = pair;
    const into = await b.memory(64);
    for (const context of [4, 8, 15])
      await pair.post('a receive', () => b.endpoint.recv(into, 0, 64, context));
    expect(b.endpoint.dropped).toEqual([]);
    await b.endpoint.close();
    // What the provider did flush into the queue before it closed is there; the rest is dropped: nothing is lost.
    b.read();
    const flushed = b.completed.map(({ context }) => context);
    expect([...flushed, ...b.endpoint.dropped].sort((left, right) => left - right)).toEqual([4, 8, 15]);
  });

  it('complete as many as the queue has contexts', async () => {
    const pair = await openSides(provider, { queue: { capacity: 8 } });
    const { a, b, toB } = pair;
    const from = await a.memory(8);
    const into = await b.memory(8);
    for (let round = 0; round < 10; round++) {
      a.completed.length = b.completed.length = 0;
      for (let context = 0; context < 8; context++)
        await pair.post('a receive', () => b.endpoint.recv(into, 0, 8, context));
      for (let context = 0; context < 8; context++)
        await pair.post('a send', () => a.endpoint.send(from, 0, 8, toB, context));
      await pair.until('all', () => a.completed.length === 8 && b.completed.length === 8);
      expect(b.completed.map(({ context }) => context)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    }
  });

  it('shows no more completions at once than were asked for', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(8);
    const into = await b.memory(8);
    for (let context = 0; context < 6; context++) {
      await pair.post('a receive', () => b.endpoint.recv(into, 0, 8, context));
      await pair.post('a send', () => a.endpoint.send(from, 0, 8, toB, context));
    }
    await pair.until('the sends', () => a.completed.length === 6);
    const seen = b.completed.map(({ context }) => context);
    await pair.until('the receives', () => {
      const count = b.queue.read(2);
      expect(count).toBeLessThanOrEqual(2);
      for (let index = 0; index < count; index++) seen.push(b.queue.completions.context(index));
      seen.push(...b.completed.splice(0).map(({ context }) => context));
      return seen.length >= 6;
    });
    expect([...new Set(seen)].sort()).toEqual([0, 1, 2, 3, 4, 5]);
  });
});
