import { expect, it } from 'vitest';
import {
  FI_MULTI_RECV,
  FI_RECV,
  FI_SEND,
  FI_TRANSMIT,
  FI_SELECTIVE_COMPLETION,
  FI_COMPLETION,
} from 'libfabric/fi';
import { FI_ECANCELED } from '../../src/fi/errno.js';
import { type Completed, type FiPair, infoFor, openSides, pattern, sameBytes } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const caps = ['FI_MSG', 'FI_MULTI_RECV'];
const busy = expect.objectContaining({ code: 'ERR_FABRIC_BUSY' });
/** Bytes of the longest message: no buffer is offered less, since a message that is too long is not survived. */
const LONGEST = 256;

/** Why a provider cannot run the suite. */
async function lacksMultiReceive(provider: ProviderUnderTest): Promise<string | undefined> {
  const found = await infoFor(provider, caps).catch(() => undefined);
  return found === undefined ? 'the provider has no buffers for several messages' : undefined;
}

async function openPair(
  provider: ProviderUnderTest,
  options: Parameters<typeof openSides>[1] = {},
): Promise<FiPair> {
  return openSides(provider, {
    caps,
    prepare: (endpoint) => {
      endpoint.setOpt('FI_OPT_MIN_MULTI_RECV', LONGEST);
    },
    ...options,
  });
}

/** What b's completions of a buffer say about messages, in the order of their places. */
const messagesIn = (pair: FiPair, context: number): Completed[] =>
  pair.b.completed
    .filter((entry) => entry.context === context && entry.isReceive)
    .sort((one, other) => one.place - other.place);

const isReleased = (pair: FiPair, context: number): boolean =>
  pair.b.completed.some((entry) => entry.context === context && entry.isReleased);

describeOnProviders('a buffer for several messages', { unless: lacksMultiReceive }, (provider) => {
  it('takes them one behind the other, says where each is, and is released', async () => {
    const pair = await openPair(provider);
    const { a, b, toB } = pair;
    const content = pattern(1000);
    const from = await a.memory(content);
    const into = await b.memory(8192);
    // In the middle of its memory, with room for less than ten messages of LONGEST bytes.
    const start = 512;
    const room = 1600;
    await pair.post('the buffer', () =>
      b.endpoint.recvMessage([{ memory: into, offset: start, length: room }], 7, FI_MULTI_RECV),
    );
    expect(() => b.endpoint.recv(into, 0, 8, 7)).toThrow(busy);
    const lengths = [100, 1, 256, 33, 200, 256, 256, 250];
    let sent = 0;
    let used = 0;
    for (const length of lengths) {
      const context = a.context();
      await pair.post('a send', () => a.endpoint.send(from, sent, length, toB, context));
      sent++;
      used += length;
      await pair.until(`message ${sent}`, () => messagesIn(pair, 7).length === sent);
      expect((await pair.completion(a, context)).error).toBe(0);
      const last = messagesIn(pair, 7).at(-1)!;
      expect(last).toMatchObject({ error: 0, length, isReceive: true });
      expect(last.place).toBeGreaterThanOrEqual(start + used - length);
      expect(
        sameBytes(
          into.bytes.subarray(last.place, last.place + length),
          content.subarray(sent - 1, sent - 1 + length),
        ),
      ).toBe(true);
    }
    // 1352 bytes are used: what is left is less than one message may need.
    await pair.until('its release', () => isReleased(pair, 7));
    const released = b.completed.filter((entry) => entry.isReleased);
    expect(released).toHaveLength(1);
    expect([...into.bytes.subarray(0, start)]).toEqual(Array(start).fill(0));
    expect([...into.bytes.subarray(start + room)].every((byte) => byte === 0)).toBe(true);
    // Its context is free again.
    await pair.post('a receive', () => b.endpoint.recv(into, 0, LONGEST, 7));
    await pair.post('a send', () => a.endpoint.send(from, 0, 5, toB, 900));
    await pair.until('the message', () => messagesIn(pair, 7).length === lengths.length + 1);
  });

  it('takes what has come before it was there', async () => {
    const pair = await openPair(provider);
    const { a, b, toB } = pair;
    const content = pattern(1000);
    const from = await a.memory(content);
    const into = await b.memory(4096);
    for (let index = 0; index < 8; index++)
      await pair.post('a send', () => a.endpoint.send(from, index, 50 + index, toB, index));
    await pair.until('their completions', () => a.completed.length === 8);
    expect(b.completed).toEqual([]);
    await pair.post('the buffer', () =>
      b.endpoint.recvMessage([{ memory: into, length: 4096 }], 3, FI_MULTI_RECV),
    );
    await pair.until('all', () => messagesIn(pair, 3).length === 8);
    const arrived = b.completed.filter((entry) => entry.isReceive);
    for (const [index, { length, place }] of arrived.entries()) {
      expect(length).toBe(50 + index);
      expect(
        sameBytes(into.bytes.subarray(place, place + length), content.subarray(index, index + length)),
      ).toBe(true);
    }
    expect(isReleased(pair, 3)).toBe(false);
  });

  it('is followed by the next one', async () => {
    const pair = await openPair(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(LONGEST);
    const into = await b.memory(4096);
    for (const context of [0, 1])
      await pair.post('a buffer', () =>
        b.endpoint.recvMessage(
          [{ memory: into, offset: 2048 * context, length: 1024 }],
          context,
          FI_MULTI_RECV,
        ),
      );
    const count = 6;
    for (let index = 0; index < count; index++) {
      from.bytes.fill(index + 1);
      await pair.post('a send', () => a.endpoint.send(from, 0, LONGEST, toB, index));
      expect((await pair.completion(a, index)).error).toBe(0);
      await pair.until(
        'the message',
        () => b.completed.filter(({ isReceive }) => isReceive).length === index + 1,
      );
    }
    expect(isReleased(pair, 0)).toBe(true);
    for (const { context, place, length } of b.completed.filter(({ isReceive }) => isReceive)) {
      expect(length).toBe(LONGEST);
      expect(Math.floor(place / 2048)).toBe(context);
    }
    const first = b.completed.filter(({ isReceive }) => isReceive).map(({ place }) => into.bytes[place]);
    expect(first).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("is the program's again when it is cancelled, with what it has", async () => {
    const pair = await openPair(provider);
    const { a, b, toB } = pair;
    const from = await a.memory(pattern(64));
    const into = await b.memory(4096);
    await pair.post('the buffer', () =>
      b.endpoint.recvMessage([{ memory: into, length: 4096 }], 5, FI_MULTI_RECV),
    );
    await pair.post('a send', () => a.endpoint.send(from, 0, 64, toB, 0));
    await pair.until('the message', () => messagesIn(pair, 5).length === 1);
    expect((await pair.completion(a, 0)).error).toBe(0);
    expect(b.endpoint.cancel(5)).toBe(true);
    await pair.until('its release', () => isReleased(pair, 5));
    const cancelled = b.completed.find((entry) => entry.isReleased)!;
    expect(cancelled).toMatchObject({ context: 5, error: FI_ECANCELED });
    expect(sameBytes(into.bytes.subarray(0, 64), from.bytes.subarray(0, 64))).toBe(true);
    expect(b.endpoint.cancel(5)).toBe(false);
    await pair.post('a receive', () => b.endpoint.recv(into, 0, LONGEST, 5));
  });

  it('is dropped when its endpoint is closed', async () => {
    const pair = await openPair(provider);
    const { b } = pair;
    const into = await b.memory(4096);
    await pair.post('the buffer', () =>
      b.endpoint.recvMessage([{ memory: into, length: 4096 }], 5, FI_MULTI_RECV),
    );
    await b.endpoint.close();
    b.read();
    expect([...b.endpoint.dropped, ...b.completed.map(({ context }) => context)]).toContain(5);
  });

  it('keeps its memory until it is released, though that was freed', async (test) => {
    const pair = await openPair(provider);
    const { a, b, toB } = pair;
    if (b.info.memoryMode.includes('FI_MR_LOCAL')) test.skip('what is registered cannot be freed');
    const { Memory } = await import('libfabric/fi');
    const from = await a.memory(pattern(200));
    const into = Memory.allocate(4096);
    const view = into.bytes;
    await pair.post('the buffer', () =>
      b.endpoint.recvMessage([{ memory: into, length: 1024 }], 1, FI_MULTI_RECV),
    );
    into.free();
    for (let index = 0; index < 3; index++)
      await pair.post('a send', () => a.endpoint.send(from, 0, 200, toB, index));
    await pair.until('all', () => messagesIn(pair, 1).length === 3);
    for (const { place } of messagesIn(pair, 1))
      expect(sameBytes(view.subarray(place, place + 200), from.bytes)).toBe(true);
  });

  it('is one part, of an endpoint that was opened for it', async () => {
    const { b } = await openPair(provider);
    const memory = await b.memory(4096);
    expect(() => b.endpoint.recvMessage([{ memory }, { memory }], 0, FI_MULTI_RECV)).toThrow(RangeError);
    expect(() => b.endpoint.recvMessage([], 0, FI_MULTI_RECV)).toThrow(RangeError);
    expect(() =>
      b.endpoint.recvMessage([{ memory, offset: 1, length: memory.capacity }], 0, ['FI_MULTI_RECV']),
    ).toThrow(expect.objectContaining({ code: 'FI_EINVAL' }));
    expect(b.endpoint.getOpt('FI_OPT_MIN_MULTI_RECV')).toBe(LONGEST);
  });
});

describeOnProviders(
  'buffers for several messages and selective completion',
  { unless: lacksMultiReceive },
  (provider) => {
    it('go together: receives complete, sends where they are asked to', async () => {
      const pair = await openPair(provider, {
        counters: [FI_SEND],
        bindQueue: (endpoint, queue) => {
          endpoint.bind(queue, FI_TRANSMIT | FI_SELECTIVE_COMPLETION);
          endpoint.bind(queue, FI_RECV);
        },
      });
      const { a, b, toB } = pair;
      const from = await a.memory(pattern(64));
      const into = await b.memory(4096);
      await pair.post('the buffer', () =>
        b.endpoint.recvMessage([{ memory: into, length: 4096 }], 1, FI_MULTI_RECV),
      );
      await pair.post('a send', () => a.endpoint.send(from, 0, 64, toB, 0));
      await pair.post('a send', () =>
        a.endpoint.sendMessage([{ memory: from }], toB, 1, { flags: FI_COMPLETION }),
      );
      await pair.until('both', () => messagesIn(pair, 1).length === 2);
      expect((await pair.completion(a, 1)).error).toBe(0);
      expect(sameBytes(into.bytes.subarray(0, 64), from.bytes)).toBe(true);
    });
  },
);
