/** Operations with FI_TRIGGER, which wait for a counter. */
import { expect, it } from 'vitest';
import { Counter, FI_COMPLETION, FI_INJECT, FI_PEEK, type MessageOptions } from 'libfabric/fi';
import {
  type FiPair,
  introduceSides,
  openSide,
  openSides,
  pattern,
  sameBytes,
  unattendedInfo,
} from '../helpers/fi.js';
import { describeOnProviders } from '../helpers/providers.js';

const caps = ['FI_MSG', 'FI_TAGGED', 'FI_RMA', 'FI_ATOMIC', 'FI_TRIGGER'];
const busy = expect.objectContaining({ code: 'ERR_FABRIC_BUSY' });
const unsupported = expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED' });

async function counterOf(pair: FiPair): Promise<Counter> {
  return Counter.open(pair.a.domain);
}

/** Closes a before its counter, which it holds. */
async function end({ a }: FiPair, counter: Counter): Promise<void> {
  await a.endpoint.close();
  await counter.close();
}

describeOnProviders('operations with a trigger', { providers: ['sockets'] }, (provider) => {
  const open = () => openSides(provider, { caps });

  it('are sent in the order of their thresholds, and complete as others', async () => {
    const pair = await open();
    const { a, b, toB } = pair;
    const counter = await counterOf(pair);
    const into = await b.memory(40);
    for (let index = 0; index < 4; index++)
      await pair.post('a receive', () => b.endpoint.recv(into, 10 * index, 10, index));
    const from = await a.memory(pattern(40));
    const send = (index: number, options?: MessageOptions) =>
      pair.post('a send', () =>
        a.endpoint.sendMessage([{ memory: from, offset: 10 * index, length: 10 }], toB, index, options),
      );
    await send(2, { trigger: { counter, threshold: 2 } });
    await send(1, { trigger: { counter, threshold: 1n } });
    await send(0);
    await pair.completion(b, 0);
    expect(a.completed.map(({ context }) => context)).not.toContain(1);
    counter.add(1);
    await pair.completion(b, 1);
    counter.add(1);
    await pair.completion(b, 2);
    // What it waits for has come already.
    await send(3, { trigger: { counter, threshold: 2 } });
    await pair.completion(b, 3);
    await pair.until('the completions', () => a.completed.length === 4);
    expect(a.completed.map(({ context, error }) => [context, error])).toEqual(
      [0, 1, 2, 3].map((c) => [c, 0]),
    );
    expect(sameBytes(into.bytes.subarray(0, 40), pattern(40))).toBe(true);
    await end(pair, counter);
  });

  it('are receives, tagged or not', async () => {
    const pair = await open();
    const { a, b, toA, toB } = pair;
    const counter = await counterOf(pair);
    const trigger = { counter, threshold: 1 };
    const into = [await a.memory(8), await a.memory(8)];
    const post = pair.post.bind(pair, 'a receive');
    await post(() => a.endpoint.recvMessage([{ memory: into[0] }], 0, undefined, -1, trigger));
    await post(() =>
      a.endpoint.recvMessageTagged([{ memory: into[1] }], 0x70n, 1, FI_COMPLETION, 0xfn, toB, trigger),
    );
    counter.add(1);
    const from = await b.memory(pattern(16));
    await pair.post('a send', () => b.endpoint.sendTagged(from, 8, 8, toA, 0x75n, 0));
    await pair.post('a send', () => b.endpoint.send(from, 0, 8, toA, 1));
    expect(await pair.completion(a, 0)).toMatchObject({ error: 0, length: 8, isTagged: false });
    expect(await pair.completion(a, 1)).toMatchObject({ error: 0, length: 8, tag: 0x75n });
    expect(sameBytes(Buffer.concat(into.map(({ bytes }) => bytes)), pattern(16))).toBe(true);
    await end(pair, counter);
  });

  it('are writes, reads and atomics', async () => {
    const pair = await open();
    const { a, b, toB } = pair;
    const { endpoint } = a;
    const counter = await counterOf(pair);
    const region = await b.exposed(new Uint8Array(new BigUint64Array([1n, 2n]).buffer));
    const memory = await a.memory(new Uint8Array(new BigUint64Array([10n, 20n, 0n, 0n]).buffer));
    const words = new BigUint64Array(memory.bytes.buffer, 0, 4);
    const target = new BigUint64Array(region.memory.bytes.buffer, 0, 2);
    const { remote } = region;
    const when = (threshold: number) => ({ trigger: { counter, threshold } });
    const sum = [words.subarray(0, 2)];
    await pair.post('the atomic', () =>
      endpoint.atomicMessage(sum, toB, [remote], 'FI_UINT64', 'FI_SUM', 0, when(1)),
    );
    const parts = [{ memory, offset: 16, length: 16 }];
    await pair.post('the read', () => endpoint.readMessage(parts, toB, [remote], 1, when(2)));
    const flags = ['FI_DELIVERY_COMPLETE', 'FI_COMPLETION'];
    await pair.post('the write', () =>
      endpoint.writeMessage([{ memory, length: 16 }], toB, [remote], 2, { flags, ...when(3) }),
    );
    counter.add(1);
    expect(await pair.completion(a, 0)).toMatchObject({ error: 0 });
    await pair.until('the sums', () => target[1] === 22n);
    counter.add(1);
    expect(await pair.completion(a, 1)).toMatchObject({ error: 0 });
    expect([...words]).toEqual([10n, 20n, 11n, 22n]);
    counter.add(1);
    expect(await pair.completion(a, 2)).toMatchObject({ error: 0 });
    expect([...target]).toEqual([10n, 20n]);
    await end(pair, counter);
  });

  it('hold what they use, and the endpoint that they are of', async () => {
    const pair = await open();
    const { a, b, toB } = pair;
    const counter = await counterOf(pair);
    const into = await b.memory(100);
    await pair.post('a receive', () => b.endpoint.recv(into, 0, 100, 0));
    const memory = await a.memory(pattern(100));
    const trigger = { counter, threshold: 1 };
    await pair.post('the send', () => a.endpoint.sendMessage([{ memory }], toB, 0, { trigger }));
    memory.free();
    await expect(counter.close()).rejects.toThrow(busy);
    await expect(a.endpoint.close()).rejects.toThrow(busy);
    counter.add(1);
    await pair.completion(b, 0);
    expect(sameBytes(into.bytes.subarray(0, 100), pattern(100))).toBe(true);
    // A receive that was posted when its counter came, and which nothing has come for, is no reason to stay open.
    const spare = await a.memory(8);
    const late = { counter, threshold: 2 };
    await pair.post('a receive', () => a.endpoint.recvMessage([{ memory: spare }], 1, undefined, -1, late));
    await expect(a.endpoint.close()).rejects.toThrow(busy);
    counter.add(1);
    await end(pair, counter);
    expect(a.endpoint.dropped).toEqual([1]);
  });

  it('hold the endpoint while its queue has no room for them', async () => {
    const options = { info: await unattendedInfo(provider, caps), queue: { capacity: 4096 } };
    const pair = introduceSides(await openSide(provider, options), await openSide(provider, options));
    const { a, b, toB } = pair;
    const counter = await counterOf(pair);
    const memory = await a.memory(pattern(8));
    let sent = 0;
    while (a.endpoint.send(memory, 0, 8, toB, sent)) sent++;
    const trigger = { counter, threshold: 1 };
    const last = await a.memory(pattern(16, 2));
    expect(a.endpoint.sendMessage([{ memory: last }], toB, sent, { trigger })).toBe(true);
    counter.add(1);
    await expect(a.endpoint.close()).rejects.toThrow(busy);
    const into = await b.memory(64);
    for (let context = 0; context < sent; context++)
      await pair.post('a receive', () => b.endpoint.recv(into, 0, 8, context));
    await pair.until('all but the last', () => a.completed.length === sent && b.completed.length === sent);
    // There is room, but the provider looks only when the counter changes, or is asked to.
    await pair.post('a receive', () => b.endpoint.recv(into, 0, 64, sent));
    counter.add(0);
    expect(await pair.completion(a, sent)).toMatchObject({ error: 0 });
    expect(await pair.completion(b, sent)).toMatchObject({ error: 0, length: 16 });
    expect(sameBytes(into.bytes.subarray(0, 16), pattern(16, 2))).toBe(true);
    await end(pair, counter);
  });

  it('are refused where they cannot be meant', async () => {
    const pair = await open();
    const { a, b, toB } = pair;
    const counter = await counterOf(pair);
    await using foreign = await Counter.open(b.domain);
    const memory = await a.memory(8);
    const send = (trigger: unknown, flags?: bigint) => () =>
      a.endpoint.sendMessage([{ memory }], toB, 0, { trigger: trigger as never, flags });
    for (const wrong of [
      null,
      5,
      {},
      { counter: a.queue, threshold: 1 },
      { counter },
      { counter, threshold: '1' },
    ])
      expect(send(wrong)).toThrow(TypeError);
    expect(send({ counter: foreign, threshold: 1 })).toThrow(RangeError);
    for (const threshold of [-1, 0.5, 2n ** 53n]) expect(send({ counter, threshold })).toThrow(RangeError);
    expect(send({ counter, threshold: 1 }, FI_INJECT)).toThrow(RangeError);
    expect(() => a.endpoint.recvMessageTagged([], 1n, 0, FI_PEEK, 0n, -1, { counter, threshold: 1 })).toThrow(
      RangeError,
    );
    await counter.close();
    expect(send({ counter, threshold: 1 })).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' }));
    expect(a.completed).toEqual([]);
  });
});

const unless = ({ name }: { name: string }) =>
  name === 'sockets' ? 'its endpoints have FI_TRIGGER whether it was asked for or not' : undefined;

describeOnProviders('operations with a trigger, without FI_TRIGGER,', { unless }, (provider) => {
  it('are refused', async () => {
    const { domain, endpoint, memory, addresses } = await openSide(provider).then(async (side) => ({
      ...{ domain: side.domain, endpoint: side.endpoint, addresses: side.addresses },
      memory: await side.memory(8),
    }));
    await using counter = await Counter.open(domain);
    const self = addresses.insert(endpoint.getName());
    const trigger = { counter, threshold: 1 };
    expect(() => endpoint.sendMessage([{ memory }], self, 0, { trigger })).toThrow(unsupported);
    expect(() => endpoint.recvMessage([{ memory }], 0, undefined, -1, trigger)).toThrow(unsupported);
  });
});
