// One address with several queues, fi_scalable_ep(3), and aliases, fi_ep_alias(3).
import { expect, onTestFinished, test } from 'vitest';
import {
  AddressVector,
  CompletionQueue,
  Counter,
  Domain,
  FI_SEND,
  FI_SOURCE,
  Fabric,
  type FabricObject,
  type Info,
  Memory,
  MemoryRegion,
  ReceiveContext,
  ScalableEndpoint,
  TransmitContext,
  getInfo,
} from 'libfabric/fi';
import { hintsFor, openSide, openSides, pattern, sameBytes, turn } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const BOUND_MS = 15_000;
const CONTEXTS = 3;
const code = (name: string): unknown => expect.objectContaining({ code: name });

async function scalableInfo(provider: ProviderUnderTest): Promise<Info | undefined> {
  const hints = hintsFor(provider, ['FI_MSG', 'FI_TAGGED', 'FI_RMA', 'FI_ATOMIC', 'FI_NAMED_RX_CTX']);
  hints.transmit = { ...hints.transmit, contexts: CONTEXTS };
  hints.receive = { ...hints.receive, contexts: CONTEXTS };
  const target = provider.node === undefined ? {} : { node: provider.node, flags: FI_SOURCE };
  const infos = await getInfo(hints, target);
  return infos.find((entry) => entry.provider === provider.name);
}

/** A scalable endpoint and all of its contexts, enabled; closed after the test. */
class Side {
  readonly opened: FabricObject[] = [];
  fabric!: Fabric;
  domain!: Domain;
  addresses!: AddressVector;
  endpoint!: ScalableEndpoint;
  readonly queues: CompletionQueue[] = [];
  readonly transmit: TransmitContext[] = [];
  readonly receive: ReceiveContext[] = [];
  /** By queue: contexts that completed, with their lengths, or their errors below zero. */
  readonly completed: Map<number, number>[] = [];

  async keep<T extends FabricObject>(opening: Promise<T>): Promise<T> {
    const object = await opening;
    this.opened.push(object);
    return object;
  }

  static async open(provider: ProviderUnderTest): Promise<Side> {
    const info = (await scalableInfo(provider))!;
    const side = new Side();
    onTestFinished(async () => {
      for (const object of side.opened.reverse()) await object.close();
    });
    side.fabric = await side.keep(Fabric.open(info));
    side.domain = await side.keep(Domain.open(side.fabric, info));
    side.addresses = await side.keep(AddressVector.open(side.domain, { receiveContextBits: 2 }));
    for (let index = 0; index < 2 * CONTEXTS; index++) {
      side.queues.push(await side.keep(CompletionQueue.open(side.domain)));
      side.completed.push(new Map());
    }
    side.endpoint = await side.keep(ScalableEndpoint.open(side.domain, info));
    side.endpoint.bind(side.addresses);
    for (let index = 0; index < CONTEXTS; index++) {
      side.transmit.push(await side.keep(TransmitContext.open(side.endpoint, index)));
      side.receive.push(await side.keep(ReceiveContext.open(side.endpoint, index)));
      side.transmit[index].bind(side.queues[index]);
      side.receive[index].bind(side.queues[CONTEXTS + index]);
      await side.transmit[index].enable();
      await side.receive[index].enable();
    }
    await side.endpoint.enable();
    return side;
  }

  read(): void {
    for (const [index, queue] of this.queues.entries()) {
      const count = queue.read();
      for (let at = 0; at < count; at++) {
        const error = queue.completions.error(at);
        const what = error === 0 ? queue.completions.length(at) : -error;
        this.completed[index].set(queue.completions.context(at), what);
      }
    }
  }

  /** What receive context `index` got. */
  got(index: number): Map<number, number> {
    return this.completed[CONTEXTS + index];
  }
}

async function until(provider: ProviderUnderTest, sides: readonly Side[], what: string, isSo: () => boolean) {
  const deadline = Date.now() + BOUND_MS;
  for (;;) {
    for (const side of sides) side.read();
    if (isSo()) return;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${BOUND_MS} ms`);
    await turn(provider);
  }
}

const lacks = async (provider: ProviderUnderTest) =>
  (await scalableInfo(provider)) === undefined
    ? `fi_getinfo lists no ${provider.name} with FI_NAMED_RX_CTX and ${CONTEXTS} contexts`
    : undefined;

describeOnProviders('a scalable endpoint', { unless: lacks }, (provider) => {
  test('sends from each context to each of a peer', async () => {
    const a = await Side.open(provider);
    const b = await Side.open(provider);
    const toB = a.addresses.insert(b.endpoint.getName());
    const memory = Memory.allocate(CONTEXTS * CONTEXTS * 256);
    const source = Memory.allocate(256);
    source.bytes.set(pattern(256));
    for (let to = 0; to < CONTEXTS; to++)
      for (let from = 0; from < CONTEXTS; from++) {
        const context = to * CONTEXTS + from;
        const length = 100 + context;
        expect(b.receive[to].recv(memory, context * 256, 256, context)).toBe(true);
        const peer = a.addresses.receiveContext(toB, to);
        await until(provider, [a, b], 'the send', () =>
          a.transmit[from].send(source, 0, length, peer, context),
        );
        await until(provider, [a, b], 'both', () => b.got(to).has(context) && a.completed[from].has(context));
        expect(b.got(to).get(context)).toBe(length);
        expect(
          sameBytes(
            memory.bytes.subarray(context * 256, context * 256 + length),
            pattern(256).subarray(0, length),
          ),
        ).toBe(true);
      }
    // None came to another than it was sent to.
    for (let to = 0; to < CONTEXTS; to++) expect(b.got(to).size).toBe(CONTEXTS);
  });

  test('sends tagged messages from each context', async () => {
    const a = await Side.open(provider);
    const b = await Side.open(provider);
    const toB = a.addresses.insert(b.endpoint.getName());
    const into = Memory.allocate(CONTEXTS * 256);
    const source = Memory.allocate(256);
    source.bytes.set(pattern(256));
    for (let index = 0; index < CONTEXTS; index++) {
      const tag = 0x70n + BigInt(index);
      const peer = a.addresses.receiveContext(toB, index);
      expect(b.receive[index].recvTagged(into, index * 256, 256, tag, index)).toBe(true);
      const length = 200 + index;
      await until(provider, [a, b], 'the send', () =>
        a.transmit[index].sendTagged(source, 0, length, peer, tag, index),
      );
      await until(provider, [a, b], 'both', () => b.got(index).has(index) && a.completed[index].has(index));
      expect(b.got(index).get(index)).toBe(length);
      const got = into.bytes.subarray(index * 256, index * 256 + length);
      expect(sameBytes(got, pattern(256).subarray(0, length))).toBe(true);
    }
  });

  test('writes, reads and does atomics from each context', async () => {
    const a = await Side.open(provider);
    const b = await Side.open(provider);
    const toB = a.addresses.insert(b.endpoint.getName());
    const access = ['remoteRead', 'remoteWrite'] as const;
    const target = Memory.allocate(CONTEXTS * 8);
    const { remote } = await b.keep(MemoryRegion.register(b.domain, target, { access: [...access] }));
    const words = new BigUint64Array(target.bytes.buffer, target.bytes.byteOffset, CONTEXTS);
    const local = Memory.allocate(24);
    const own = new BigUint64Array(local.bytes.buffer, local.bytes.byteOffset, 3);
    for (const [index, transmit] of a.transmit.entries()) {
      const peer = a.addresses.receiveContext(toB, index);
      const place = remote.slice(index * 8, 8);
      const done = async (what: string, context: number, call: () => boolean): Promise<void> => {
        await until(provider, [a, b], `room for ${what}`, call);
        await until(provider, [a, b], what, () => a.completed[index].has(context));
        expect(a.completed[index].get(context)).toBeGreaterThanOrEqual(0);
      };
      own.set([BigInt(index + 10), 0n, 5n]);
      await done('the write', 1, () =>
        transmit.write(local, 0, 8, peer, place, 1, { completion: 'delivery' }),
      );
      expect(words[index]).toBe(BigInt(index + 10));
      await done('the atomic', 2, () =>
        transmit.fetchAtomic(local, 16, 1, 8, peer, place, 'FI_UINT64', 'FI_SUM', 2),
      );
      expect(own[1]).toBe(BigInt(index + 10));
      await done('the read', 3, () => transmit.read(local, 8, 8, peer, place, 3));
      expect(own[1]).toBe(BigInt(index + 15));
    }
    expect([...words]).toEqual(Array.from({ length: CONTEXTS }, (_, index) => BigInt(index + 15)));
    expect(() => b.receive[0].write(local, 0, 8, 0, remote, 4)).toThrow(code('ERR_FABRIC_UNSUPPORTED'));
    expect(() => b.receive[0].atomic(local, 0, 1, 0, remote, 'FI_UINT64', 'FI_SUM', 4)).toThrow(
      code('ERR_FABRIC_UNSUPPORTED'),
    );
  });

  test('takes tagged messages, which are cancelled or dropped as those of endpoints', async () => {
    const side = await Side.open(provider);
    const [context] = side.receive;
    const memory = Memory.allocate(256);
    expect(context.recvTagged(memory, 0, 256, 5n, 1)).toBe(true);
    expect(context.cancel(1)).toBe(true);
    await until(provider, [side], 'the cancelled receive', () => side.got(0).has(1));
    expect(side.got(0).get(1)).toBeLessThan(0);
    expect(context.recv(memory, 0, 256, 2)).toBe(true);
    await context.close();
    expect(context.dropped).toEqual([2]);
    // The endpoint would go on looking at what is gone.
    await expect(side.endpoint.enable()).rejects.toMatchObject({ code: 'FI_EOPBADSTATE' });
    expect(() => side.endpoint.bind(side.addresses)).toThrow(code('FI_EOPBADSTATE'));
  });

  test('moves nothing by itself, nor do its contexts in the other direction', async () => {
    const { transmit, receive, endpoint } = await Side.open(provider);
    const memory = Memory.allocate(64);
    for (const call of [
      () => transmit[0].recv(memory, 0, 8, 0),
      () => transmit[0].recvTagged(memory, 0, 8, 1n, 0),
      () => transmit[0].cancel(0, 'receive'),
      () => transmit[0].getOpt('FI_OPT_MIN_MULTI_RECV'),
      () => receive[0].send(memory, 0, 8, 0, 0),
      () => receive[0].inject(memory, 0, 8, 0),
      () => receive[0].sendMessage([{ memory }], 0, 0),
      () => receive[0].retire(0, 'send'),
    ])
      expect(call).toThrow(code('ERR_FABRIC_UNSUPPORTED'));
    expect(() => transmit[0].send(memory, 0, 8, 99, 0)).toThrow(code('ERR_FABRIC_ADDRESS'));
    await expect(transmit[0].connect(endpoint.getName())).rejects.toMatchObject({
      code: 'ERR_FABRIC_UNSUPPORTED',
    });
  });

  test('gives each context once, and closes after them', async () => {
    const { endpoint, transmit, receive, addresses, queues, domain } = await Side.open(provider);
    expect([...transmit, ...receive].map(({ index }) => index)).toEqual([0, 1, 2, 0, 1, 2]);
    expect(endpoint.addresses).toBe(addresses);
    expect(endpoint.info).toBe(domain.info);
    await expect(TransmitContext.open(endpoint, 0)).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
    await expect(ReceiveContext.open(endpoint, CONTEXTS)).rejects.toThrow(RangeError);
    await expect(ReceiveContext.open(endpoint, -1)).rejects.toThrow(RangeError);
    await expect(endpoint.close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
    await expect(addresses.close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
    await expect(queues[0].close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
    expect(() => transmit[0].bind(queues[0], 1n)).toThrow(RangeError);
  });

  test('needs its address vector before its contexts, and those a queue', async () => {
    const side = await Side.open(provider);
    const counter = await side.keep(Counter.open(side.domain));
    const other = await side.keep(ScalableEndpoint.open(side.domain, side.domain.info));
    await expect(TransmitContext.open(other, 0)).rejects.toMatchObject({ code: 'FI_ENOCQ' });
    await expect(other.enable()).rejects.toMatchObject({ code: 'FI_ENOCQ' });
    other.bind(side.addresses);
    const context = await side.keep(TransmitContext.open(other, 0));
    await expect(context.enable()).rejects.toMatchObject({ code: 'FI_ENOCQ' });
    context.bind(counter, FI_SEND);
    await expect(counter.close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
    expect(() => context.send(Memory.allocate(8), 0, 8, 0, 0)).toThrow(code('ERR_FABRIC_CLOSED'));
  });
});

describeOnProviders('an alias of an endpoint', {}, (provider) => {
  test(provider.name === 'sockets' ? 'sends and receives with flags of its own' : 'is refused', async () => {
    const pair = await openSides(provider);
    const { a, b, toB } = pair;
    const opening = a.endpoint.alias('transmit', ['FI_DELIVERY_COMPLETE']);
    if (provider.name !== 'sockets') {
      await expect(opening).rejects.toMatchObject({ code: 'ERR_FABRIC_UNSUPPORTED' });
      return;
    }
    const alias = await opening;
    expect(alias.getOpFlags('transmit')).not.toBe(a.endpoint.getOpFlags('transmit'));
    await expect(a.endpoint.close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
    expect(() => alias.bind(a.queue)).toThrow(code('ERR_FABRIC_UNSUPPORTED'));
    await expect(alias.enable()).rejects.toMatchObject({ code: 'FI_EOPBADSTATE' });
    await expect(alias.alias('transmit', [])).rejects.toMatchObject({ code: 'ERR_FABRIC_UNSUPPORTED' });
    const sent = await a.memory(pattern(700));
    const into = await b.memory(4096);
    await pair.post('the receive', () => b.endpoint.recv(into, 0, 4096, 1));
    await pair.post('the send', () => alias.send(sent, 0, 700, toB, 2));
    await pair.until('both', () => a.of(2) !== undefined && b.of(1) !== undefined);
    expect(a.of(2)).toMatchObject({ error: 0 });
    expect(sameBytes(into.bytes.subarray(0, 700), pattern(700))).toBe(true);
    // What was posted on it is its endpoint's.
    expect(alias.recv(await a.memory(64), 0, 64, 3)).toBe(true);
    await alias.close();
    expect(alias.dropped).toEqual([]);
    expect(() => a.endpoint.recv(into, 0, 64, 3)).toThrow(code('ERR_FABRIC_BUSY'));
  });
});

describeOnProviders('scalable endpoints, where there are none,', {}, (provider) => {
  test('are refused', async (context) => {
    if ((await scalableInfo(provider)) !== undefined) context.skip(`${provider.name} has some`);
    const { domain } = await openSide(provider);
    await expect(ScalableEndpoint.open(domain, domain.info)).rejects.toMatchObject({
      code: 'ERR_FABRIC_UNSUPPORTED',
    });
  });
});
