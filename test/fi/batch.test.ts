import { expect, it } from 'vitest';
import { Endpoint, type Memory } from 'libfabric/fi';
import { type FiPair, openSides, pattern, sameBytes } from '../helpers/fi.js';
import { describeOnProviders } from '../helpers/providers.js';

/** Fills the batch with `count` messages of `length` bytes, one behind the other in the memory. */
function fill(memory: Memory, first: number, count: number, length: number): void {
  for (let index = 0; index < count; index++)
    Endpoint.batch.set([first + index, memory.id, (first + index) * length, length], index * 4);
}

async function postReceives(pair: FiPair, into: Memory, count: number, length: number): Promise<void> {
  for (let index = 0; index < count; index++)
    await pair.post('a receive', () => pair.b.endpoint.recv(into, index * length, length, index));
}

describeOnProviders('recvBatch', {}, (provider) => {
  it.each([1, 2, 16, 300])('posts %i buffers, which get the messages in order', async (count) => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const length = 24;
    const from = await a.memory(pattern(count * length));
    const into = await b.memory(count * length);
    let posted = 0;
    await pair.post('all of the batch', () => {
      fill(into, posted, count - posted, length);
      posted += b.endpoint.recvBatch(count - posted);
      return posted === count;
    });
    for (let index = 0; index < count; index++)
      await pair.post('a message', () => a.endpoint.send(from, index * length, length, toB, index));
    await pair.until('all completions', () => a.completed.length === count && b.completed.length === count);
    expect(b.completed.map(({ context }) => context)).toEqual([...Array(count).keys()]);
    expect(sameBytes(into.bytes, from.bytes)).toBe(true);
  });

  it('posts what comes before a bad buffer, and then says what is wrong with it', async () => {
    const { b } = await openSides(provider);
    const into = await b.memory(64);
    expect(b.endpoint.recvBatch(0)).toBe(0);
    fill(into, 0, 2, 8);
    Endpoint.batch.set([2, into.id, into.capacity + 1, 8], 8);
    expect(b.endpoint.recvBatch(3)).toBe(2);
    const alone = (...buffer: [number, number, number, number]): void => {
      Endpoint.batch.set(buffer);
      b.endpoint.recvBatch(1);
    };
    const outside = into.capacity + 1;
    for (const [offset, length] of [
      [outside, 8],
      [-8, 8],
      [0, outside],
    ])
      expect(() => {
        alone(2, into.id, offset, length);
      }).toThrow(expect.objectContaining({ code: 'FI_EINVAL' }));
    expect(() => {
      alone(0, into.id, 0, 8);
    }).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_BUSY' }));
    expect(() => {
      alone(2, 0x7fff_ffff, 0, 8);
    }).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' }));
  });
});

describeOnProviders('sendBatch', {}, (provider) => {
  it.each([1, 2, 16, 300])('sends %i messages in order', async (count) => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const length = 24;
    const from = await a.memory(pattern(count * length));
    const into = await b.memory(count * length);
    await postReceives(pair, into, count, length);
    let sent = 0;
    await pair.post('all of the batch', () => {
      fill(from, sent, count - sent, length);
      const taken = a.endpoint.sendBatch(count - sent, toB);
      expect(taken).toBeGreaterThanOrEqual(0);
      expect(taken).toBeLessThanOrEqual(count - sent);
      sent += taken;
      return sent === count;
    });
    await pair.until('all completions', () => a.completed.length === count && b.completed.length === count);
    expect(a.completed.map(({ context }) => context).sort((x, y) => x - y)).toEqual([...Array(count).keys()]);
    expect(b.completed.map(({ context }) => context)).toEqual([...Array(count).keys()]);
    expect(sameBytes(into.bytes, from.bytes)).toBe(true);
  });

  it('sends nothing where there is nothing to send', async () => {
    const pair = await openSides(provider);
    expect(pair.a.endpoint.sendBatch(0, pair.toB)).toBe(0);
    pair.a.read();
    expect(pair.a.completed).toEqual([]);
  });

  it('sends what comes before a bad message, and then says what is wrong with it', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(pattern(64));
    const into = await b.memory(64);
    await postReceives(pair, into, 2, 8);
    // So that the peer is connected, and both good messages find room.
    const warm = await b.memory(8);
    await pair.post('a receive', () => b.endpoint.recv(warm, 0, 8, 50));
    await pair.post('a message', () => a.endpoint.send(from, 0, 8, toB, 50));
    await pair.until('the message', () => a.of(50) !== undefined && b.completed.length === 1);
    fill(from, 0, 2, 8);
    const outside = from.capacity + 1;
    Endpoint.batch.set([2, from.id, outside, 8], 8);
    expect(a.endpoint.sendBatch(3, toB)).toBe(2);
    Endpoint.batch.set([2, from.id, outside, 8]);
    expect(() => a.endpoint.sendBatch(1, toB)).toThrow(expect.objectContaining({ code: 'FI_EINVAL' }));
    Endpoint.batch.set([2, from.id, -8, 8]);
    expect(() => a.endpoint.sendBatch(1, toB)).toThrow(expect.objectContaining({ code: 'FI_EINVAL' }));
    Endpoint.batch.set([-1, from.id, 0, 8]);
    expect(() => a.endpoint.sendBatch(1, toB)).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_BUSY' }));
    Endpoint.batch.set([2, 0x7fff_ffff, 0, 8]);
    expect(() => a.endpoint.sendBatch(1, toB)).toThrow(
      expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' }),
    );
    Endpoint.batch.set([2, from.id, 0, 8]);
    expect(() => a.endpoint.sendBatch(1, toB + 100)).toThrow(
      expect.objectContaining({ code: 'ERR_FABRIC_ADDRESS' }),
    );
    await pair.until('the two good ones', () => a.completed.length === 3);
    expect(a.completed.every(({ error }) => error === 0)).toBe(true);
  });

  it('never sends more than the batch holds', async () => {
    const { a, toB } = await openSides(provider);
    expect(Endpoint.batch.length).toBe(Endpoint.batchLimit * 4);
    const from = await a.memory(8);
    Endpoint.batch.fill(0);
    // All of the same context: the second one is refused, so one at most is taken, whatever count is asked for.
    for (let index = 0; index < Endpoint.batchLimit; index++)
      Endpoint.batch.set([0, from.id, 0, 8], index * 4);
    expect(a.endpoint.sendBatch(1 << 30, toB)).toBeLessThanOrEqual(1);
  });
});

describeOnProviders('injectBatch', {}, (provider) => {
  it.each([1, 16, 300])('injects %i messages in order, without completions', async (count) => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const length = 24;
    const from = await a.memory(pattern(count * length));
    const expected = from.bytes.slice();
    const into = await b.memory(count * length);
    await postReceives(pair, into, count, length);
    let sent = 0;
    await pair.post('all of the batch', () => {
      fill(from, sent, count - sent, length);
      const taken = a.endpoint.injectBatch(count - sent, toB);
      expect(taken).toBeLessThanOrEqual(count - sent);
      // The memory is the program's again.
      from.bytes.fill(0, sent * length, (sent + taken) * length);
      sent += taken;
      return sent === count;
    });
    await pair.until('all messages', () => b.completed.length === count);
    expect(b.completed.map(({ context }) => context)).toEqual([...Array(count).keys()]);
    expect(sameBytes(into.bytes, expected)).toBe(true);
    expect(a.completed).toEqual([]);
  });

  it('injects what comes before a bad message, and then says what is wrong with it', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(a.endpoint.info.injectSize + 64);
    const into = await b.memory(64);
    await postReceives(pair, into, 3, 8);
    // So that the peer is connected, and both good messages find room.
    await pair.post('a message', () => a.endpoint.inject(from, 0, 8, toB));
    await pair.until('the message', () => b.completed.length === 1);
    fill(from, 0, 2, 8);
    Endpoint.batch.set([2, from.id, from.capacity + 1, 8], 8);
    expect(a.endpoint.injectBatch(3, toB)).toBe(2);
    const alone = (code: string, peer: number, ...message: [number, number, number]): void => {
      Endpoint.batch.set(message, 1);
      expect(() => a.endpoint.injectBatch(1, peer)).toThrow(expect.objectContaining({ code }));
    };
    alone('FI_EINVAL', toB, from.id, from.capacity + 1, 8);
    alone('FI_EINVAL', toB, from.id, -8, 8);
    alone('FI_EMSGSIZE', toB, from.id, 0, a.endpoint.info.injectSize + 1);
    alone('ERR_FABRIC_CLOSED', toB, 0x7fff_ffff, 0, 8);
    alone('ERR_FABRIC_ADDRESS', toB + 100, from.id, 0, 8);
    expect(a.endpoint.injectBatch(0, toB)).toBe(0);
    await pair.until('the two good ones', () => b.completed.length === 3);
  });
});
