import { expect, it } from 'vitest';
import {
  Counter,
  DeferredWork,
  type DeferredOperation,
  FI_COMPLETION,
  FI_DELIVERY_COMPLETE,
  FI_INJECT,
  type Part,
} from 'libfabric/fi';
import { runModule } from '../helpers/child.js';
import {
  type FiPair,
  type FiSide,
  introduceSides,
  openSide,
  openSides,
  pattern,
  sameBytes,
  unattendedInfo,
} from '../helpers/fi.js';
import { describeOnProviders } from '../helpers/providers.js';

const caps = ['FI_MSG', 'FI_TAGGED', 'FI_RMA', 'FI_ATOMIC', 'FI_TRIGGER'];
const unsupported = expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED' });
const waits = expect.objectContaining({ code: 'ERR_FABRIC_BUSY' });

/** Two counters of a side, and work that the first triggers and the second counts. */
class Works {
  readonly queued: DeferredWork[] = [];
  private constructor(
    readonly pair: FiPair,
    readonly side: FiSide,
    readonly trigger: Counter,
    readonly done: Counter,
  ) {}

  static async of(pair: FiPair, side = pair.a): Promise<Works> {
    return new Works(pair, side, await Counter.open(side.domain), await Counter.open(side.domain));
  }

  queue(threshold: number, operation: DeferredOperation): DeferredWork {
    const completion = 'counter' in operation ? {} : { completion: this.done };
    const { side, trigger } = this;
    const work = DeferredWork.queue(side.domain, { counter: trigger, threshold, ...completion, operation });
    this.queued.push(work);
    return work;
  }

  /** Waits until so many are done, and lets go of all. */
  async end(count: number): Promise<void> {
    await this.pair.until('the completion counter', () => this.done.read() >= BigInt(count));
    expect(this.done.read()).toBe(BigInt(count));
    await this.close();
  }

  async close(): Promise<void> {
    for (const work of this.queued) {
      work.retire();
      await work.close();
    }
    await this.trigger.close();
    await this.done.close();
  }
}

describeOnProviders('deferred work', { providers: ['sockets'] }, (provider) => {
  const open = () => openSides(provider, { caps });

  it('sends when a counter reaches its threshold, not before', async () => {
    const pair = await open();
    const { a, b, toB } = pair;
    const works = await Works.of(pair);
    const content = pattern(100);
    const into = await b.memory(200);
    await pair.post('a receive', () => b.endpoint.recv(into, 0, 100, 0));
    await pair.post('a receive', () => b.endpoint.recv(into, 100, 100, 1));
    const from = await a.memory(content);
    works.queue(3, { type: 'FI_OP_SEND', endpoint: a.endpoint, parts: [{ memory: from }], peer: toB });
    works.trigger.add(2);
    // What was sent later comes first: the other still waits.
    const other = await a.memory(pattern(100, 2));
    await pair.post('a send', () => a.endpoint.send(other, 0, 100, toB, 0));
    await pair.completion(b, 0);
    expect(sameBytes(into.bytes.subarray(0, 100), pattern(100, 2))).toBe(true);
    expect([works.done.read(), b.completed.length]).toEqual([0n, 1]);
    works.trigger.add(1);
    expect(await pair.completion(b, 1)).toMatchObject({ error: 0, length: 100 });
    expect(sameBytes(into.bytes.subarray(100), content)).toBe(true);
    await works.end(1);
    // No completion of it: only the send without a trigger had one.
    expect(a.completed).toHaveLength(1);
  });

  it('starts at once where the counter is there already', async () => {
    const pair = await open();
    const { a, b, toB } = pair;
    const works = await Works.of(pair);
    works.trigger.set(5);
    const into = await b.memory(8);
    await pair.post('a receive', () => b.endpoint.recv(into, 0, 8, 0));
    const parts: Part[] = [{ memory: await a.memory(pattern(8)) }];
    works.queue(5, { type: 'FI_OP_SEND', endpoint: a.endpoint, parts, peer: toB, immediate: 7n });
    expect(await pair.completion(b, 0)).toMatchObject({ error: 0, immediate: 7n });
    await works.end(1);
  });

  it('posts receives, and sends tagged messages of several parts', async () => {
    const pair = await open();
    const { a, b, toB, toA } = pair;
    const sends = await Works.of(pair);
    const receives = await Works.of(pair, b);
    const from = [await a.memory(pattern(30)), await a.memory(pattern(70, 2))];
    const into = [await b.memory(50), await b.memory(50), await b.memory(10)];
    const { endpoint } = b;
    const parts = into.map((memory) => ({ memory }));
    receives.queue(1, {
      ...{ type: 'FI_OP_TRECV', endpoint, parts: parts.slice(0, 2), peer: toA },
      ...{ tag: 0x70n, ignore: 0xfn },
    });
    receives.queue(1, { type: 'FI_OP_RECV', endpoint, parts: parts.slice(2) });
    receives.trigger.add(1);
    const pieces = from.map((memory) => ({ memory }));
    sends.queue(1, { type: 'FI_OP_TSEND', endpoint: a.endpoint, parts: pieces, peer: toB, tag: 0x77n });
    sends.queue(2, {
      ...{ type: 'FI_OP_SEND', endpoint: a.endpoint, peer: toB },
      parts: [{ memory: from[0], offset: 5, length: 10 }],
    });
    sends.trigger.add(2);
    await sends.end(2);
    await receives.end(2);
    const got = Buffer.concat(into.map(({ bytes }) => bytes));
    const all = Buffer.concat([pattern(30), pattern(70, 2), pattern(30).subarray(5, 15)]);
    expect(sameBytes(got, all)).toBe(true);
  });

  it('writes and reads the memory of a peer', async () => {
    const pair = await open();
    const { a, b, toB } = pair;
    const works = await Works.of(pair);
    const { endpoint } = a;
    const regions = [await b.exposed(64), await b.exposed(64)];
    const remotes = regions.map(({ remote }) => remote);
    const from = await a.memory(pattern(128));
    const into = await a.memory(128);
    const flags = FI_DELIVERY_COMPLETE;
    const whole = { endpoint, peer: toB, remotes };
    works.queue(1, { type: 'FI_OP_WRITE', ...whole, parts: [{ memory: from }], flags });
    works.trigger.add(1);
    await pair.until('the write', () => works.done.read() === 1n);
    expect(sameBytes(Buffer.concat(regions.map(({ memory }) => memory.bytes)), pattern(128))).toBe(true);
    works.queue(2, { type: 'FI_OP_READ', ...whole, parts: [{ memory: into }] });
    works.trigger.add(1);
    await works.end(2);
    expect(sameBytes(into.bytes, pattern(128))).toBe(true);
  });

  it('makes atomic operations of each kind', async () => {
    const pair = await open();
    const { a, b, toB } = pair;
    const works = await Works.of(pair);
    const region = await b.exposed(new Uint8Array(new BigUint64Array([5n, 6n]).buffer));
    const memory = await a.memory(new Uint8Array(new BigUint64Array([10n, 20n, 0n, 0n, 15n, 99n]).buffer));
    const words = new BigUint64Array(memory.bytes.buffer, 0, 6);
    const common = {
      ...{ endpoint: a.endpoint, peer: toB, remote: region.remote, datatype: 'FI_UINT64' as const },
      operands: [words.subarray(0, 1), words.subarray(1, 2)],
    } as const;
    works.queue(1, { type: 'FI_OP_ATOMIC', ...common, operation: 'FI_SUM', flags: FI_DELIVERY_COMPLETE });
    works.trigger.add(1);
    await pair.until('the sum', () => works.done.read() === 1n);
    expect([...new BigUint64Array(region.memory.bytes.buffer, 0, 2)]).toEqual([15n, 26n]);
    const results = [words.subarray(2, 4)];
    works.queue(2, { type: 'FI_OP_FETCH_ATOMIC', ...common, results, operation: 'FI_SUM' });
    works.trigger.add(1);
    await pair.until('the fetch', () => works.done.read() === 2n);
    expect([...words.subarray(2, 4)]).toEqual([15n, 26n]);
    words[4] = 25n;
    const compares = [words.subarray(4, 6)];
    works.queue(3, { type: 'FI_OP_COMPARE_ATOMIC', ...common, results, compares, operation: 'FI_CSWAP' });
    works.trigger.add(1);
    await works.end(3);
    expect([...words.subarray(2, 4)]).toEqual([25n, 46n]);
    expect([...new BigUint64Array(region.memory.bytes.buffer, 0, 2)]).toEqual([10n, 46n]);
  });

  it('changes counters, one after the other, and starts what waits for those', async () => {
    const pair = await open();
    const { a, b, toB } = pair;
    const works = await Works.of(pair);
    const second = await Counter.open(a.domain);
    const third = await Counter.open(a.domain);
    works.queue(2, { type: 'FI_OP_CNTR_ADD', counter: second, value: 40 });
    const set: DeferredOperation = { type: 'FI_OP_CNTR_SET', counter: third, value: 7n };
    const chained = DeferredWork.queue(a.domain, { counter: second, threshold: 40, operation: set });
    const into = await b.memory(8);
    await pair.post('a receive', () => b.endpoint.recv(into, 0, 8, 0));
    const parts = [{ memory: await a.memory(pattern(8)) }];
    const send = DeferredWork.queue(a.domain, {
      ...{ counter: third, threshold: 7n, completion: works.done },
      operation: { type: 'FI_OP_SEND', endpoint: a.endpoint, parts, peer: toB },
    });
    works.trigger.add(1);
    expect([second.read(), third.read()]).toEqual([0n, 0n]);
    works.trigger.add(1);
    expect([second.read(), third.read()]).toEqual([40n, 7n]);
    await pair.completion(b, 0);
    works.queued.push(chained, send);
    await works.end(1);
    await second.close();
    await third.close();
  });

  it('refuses changes of counters that lead back to where they started', async () => {
    const { domain } = await openSide(provider, { caps });
    const [one, two, three] = [
      await Counter.open(domain),
      await Counter.open(domain),
      await Counter.open(domain),
    ];
    const add = (counter: Counter, target: Counter): DeferredWork =>
      DeferredWork.queue(domain, {
        ...{ counter, threshold: 1 },
        operation: { type: 'FI_OP_CNTR_ADD', counter: target, value: 1 },
      });
    expect(() => add(one, one)).toThrow(RangeError);
    const works = [add(one, two), add(two, three)];
    expect(() => add(three, one)).toThrow(RangeError);
    expect(() => add(three, two)).toThrow(RangeError);
    one.add(1);
    expect([one.read(), two.read(), three.read()]).toEqual([1n, 1n, 1n]);
    for (const work of works) {
      work.retire();
      await work.close();
    }
    // What is over leads nowhere.
    const back = add(three, one);
    expect(one.read()).toBe(2n);
    back.retire();
    await back.close();
    for (const counter of [one, two, three]) await counter.close();
  });

  it('holds all that it names until it is done', async () => {
    const pair = await open();
    const { a, b, toB } = pair;
    const works = await Works.of(pair);
    const into = await b.memory(100);
    await pair.post('a receive', () => b.endpoint.recv(into, 0, 100, 0));
    const memory = await a.memory(pattern(100));
    const parts = [{ memory }];
    const work = works.queue(1, { type: 'FI_OP_SEND', endpoint: a.endpoint, parts, peer: toB });
    memory.free();
    for (const held of [works.trigger, works.done, a.endpoint])
      await expect(held.close()).rejects.toThrow(waits);
    expect(() => {
      work.retire();
    }).toThrow(waits);
    // sockets cannot cancel it.
    await expect(work.close()).rejects.toThrow(waits);
    works.trigger.add(1);
    await pair.completion(b, 0);
    expect(sameBytes(into.bytes, pattern(100))).toBe(true);
    await works.end(1);
    expect(() => {
      work.retire();
    }).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_CLOSED' }));
  });

  it('waits for room where its counter is there and the transmit queue is full', async () => {
    const options = { info: await unattendedInfo(provider, caps), queue: { capacity: 4096 } };
    const pair = introduceSides(await openSide(provider, options), await openSide(provider, options));
    const { a, b, toB } = pair;
    const works = await Works.of(pair);
    const memory = await a.memory(pattern(8));
    let sent = 0;
    while (a.endpoint.send(memory, 0, 8, toB, sent)) sent++;
    const parts = [{ memory: await a.memory(pattern(16, 2)) }];
    const work = works.queue(1, { type: 'FI_OP_SEND', endpoint: a.endpoint, parts, peer: toB });
    works.trigger.add(1);
    expect(works.done.read()).toBe(0n);
    // Neither started nor cancelled: the provider still has it, and all that it names.
    for (const held of [work, a.endpoint, works.trigger, works.done])
      await expect(held.close()).rejects.toThrow(waits);
    const into = await b.memory(64);
    for (let context = 0; context < sent; context++)
      await pair.post('a receive', () => b.endpoint.recv(into, 0, 8, context));
    await pair.until('all sends', () => a.completed.length === sent && b.completed.length === sent);
    await pair.post('a receive', () => b.endpoint.recv(into, 0, 64, sent));
    works.trigger.add(0);
    expect(await pair.completion(b, sent)).toMatchObject({ error: 0, length: 16 });
    await works.end(1);
  });

  it('that still waits keeps no process', async () => {
    const { code, signal, stdout, stderr } = await runModule(`
      import * as fi from 'libfabric/fi';
      const hints = { providerName: 'sockets', endpointType: 'FI_EP_RDM', caps: ['FI_MSG', 'FI_TRIGGER'], addressVectorType: 'FI_AV_TABLE', mode: fi.FI_CONTEXT | fi.FI_CONTEXT2 };
      const [info] = await fi.getInfo(hints, { node: '127.0.0.1', flags: fi.FI_SOURCE });
      const fabric = await fi.Fabric.open(info);
      const domain = await fi.Domain.open(fabric, info);
      const queue = await fi.CompletionQueue.open(domain);
      const addresses = await fi.AddressVector.open(domain);
      const endpoint = await fi.Endpoint.open(domain, info);
      for (const other of [queue, addresses]) endpoint.bind(other);
      await endpoint.enable();
      const peer = addresses.insert(endpoint.getName());
      const [counter, completion] = [await fi.Counter.open(domain), await fi.Counter.open(domain)];
      const parts = [{ memory: fi.Memory.allocate(8) }];
      fi.DeferredWork.queue(domain, { counter, threshold: 1, completion, operation: { type: 'FI_OP_SEND', endpoint, parts, peer } });
      console.log('queued');
    `);
    expect({ code, signal, stdout, stderr }).toEqual({
      ...{ code: 0, signal: null },
      ...{ stdout: 'queued\n', stderr: '' },
    });
  });

  it('refuses what cannot be meant, before the provider sees it', async () => {
    const pair = await open();
    const { a, b, toB } = pair;
    const { domain, endpoint } = a;
    await using counter = await Counter.open(domain);
    await using completion = await Counter.open(domain);
    await using foreign = await Counter.open(b.domain);
    const memory = await a.memory(64);
    const { remote } = await b.exposed(32);
    const send = { type: 'FI_OP_SEND', endpoint, parts: [{ memory }], peer: toB } as const;
    const good = { counter, threshold: 1, completion, operation: send };
    const queue =
      (changes: object, operation: object = {}) =>
      () =>
        DeferredWork.queue(domain, { ...good, ...changes, operation: { ...send, ...operation } });
    for (const wrong of [undefined, null, {}, a.queue]) {
      expect(queue({ counter: wrong })).toThrow(TypeError);
      expect(queue({ completion: wrong })).toThrow(TypeError);
      expect(queue({}, { endpoint: wrong })).toThrow(TypeError);
      expect(() => DeferredWork.queue(wrong as never, good)).toThrow(TypeError);
      expect(() => {
        DeferredWork.flush(wrong as never);
      }).toThrow(TypeError);
    }
    for (const wrong of [undefined, null, 5])
      expect(() => DeferredWork.queue(domain, { ...good, operation: wrong as never })).toThrow(TypeError);
    expect(queue({ counter: foreign })).toThrow(RangeError);
    expect(queue({ completion: foreign })).toThrow(RangeError);
    expect(queue({}, { endpoint: b.endpoint })).toThrow(RangeError);
    for (const wrong of [-1, 0.5, 1n << 64n]) expect(queue({ threshold: wrong })).toThrow(RangeError);
    expect(queue({}, { type: 'FI_OP_NOT' })).toThrow(RangeError);
    for (const flags of [FI_COMPLETION, FI_INJECT]) expect(queue({}, { flags })).toThrow(RangeError);
    expect(queue({}, { parts: [] })).toThrow(RangeError);
    expect(queue({}, { parts: [{ memory, length: 1 << 20 }] })).toThrow(
      expect.objectContaining({ code: 'FI_EINVAL' }),
    );
    expect(queue({}, { peer: 4711 })).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_ADDRESS' }));
    const type = 'FI_OP_WRITE';
    expect(queue({}, { type, remotes: [remote] })).toThrow(RangeError);
    expect(queue({}, { type: 'FI_OP_READ', remotes: [remote], immediate: 1n })).toThrow(RangeError);
    const change = { type: 'FI_OP_CNTR_ADD', counter, value: 1 };
    expect(() => DeferredWork.queue(domain, { ...good, operation: change as never })).toThrow(RangeError);
    const elements = new BigUint64Array(memory.bytes.buffer, 0, 1);
    const atomic = { type: 'FI_OP_ATOMIC', remote, datatype: 'FI_UINT64', operands: [elements] };
    expect(queue({}, { ...atomic, operation: 'FI_CSWAP' })).toThrow(unsupported);
    expect(queue({}, { ...atomic, operation: 'FI_SUM', remote: remote.slice(4, 8) })).toThrow(
      expect.objectContaining({ code: 'FI_EINVAL' }),
    );
    expect([counter.read(), completion.read()]).toEqual([0n, 0n]);
  });
});

describeOnProviders('deferred work, where the provider has none,', {}, (provider) => {
  it('is refused', async () => {
    const pair = await openSides(provider);
    const { a, toB } = pair;
    const memory = await a.memory(8);
    await using counter = await Counter.open(a.domain);
    await using completion = await Counter.open(a.domain);
    const { domain, endpoint } = a;
    expect(() => {
      DeferredWork.flush(domain);
    }).toThrow(unsupported);
    expect(() => {
      DeferredWork.flush(domain, counter);
    }).toThrow(unsupported);
    if (provider.name === 'sockets') return;
    const send: DeferredOperation = { type: 'FI_OP_SEND', endpoint, parts: [{ memory }], peer: toB };
    const add: DeferredOperation = { type: 'FI_OP_CNTR_ADD', counter: completion, value: 1 };
    expect(() => DeferredWork.queue(domain, { counter, threshold: 1, completion, operation: send })).toThrow(
      unsupported,
    );
    expect(() => DeferredWork.queue(domain, { counter, threshold: 1, operation: add })).toThrow(unsupported);
  });
});
