// Queues that several endpoints share: fi_srx_context(3) and fi_stx_context(3).
import { expect, onTestFinished, test } from 'vitest';
import {
  AddressVector,
  CompletionQueue,
  Domain,
  Endpoint,
  EventQueue,
  FI_SOURCE,
  Fabric,
  type FabricObject,
  type Hints,
  type Info,
  SharedReceiveContext,
  SharedTransmitContext,
  getInfo,
} from 'libfabric/fi';
import {
  type FiPair,
  FiSide,
  hintsFor,
  introduceSides,
  openSide,
  pattern,
  sameBytes,
  unattendedInfo,
} from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

type Shared = 'receive' | 'transmit';

function sharingHints(provider: ProviderUnderTest, what: readonly Shared[]): Hints {
  const hints = hintsFor(provider);
  for (const direction of what) hints[direction] = { ...hints[direction], contexts: 'FI_SHARED_CONTEXT' };
  return hints;
}

async function sharingInfo(provider: ProviderUnderTest, what: readonly Shared[]): Promise<Info | undefined> {
  const target = provider.node === undefined ? {} : { node: provider.node, flags: FI_SOURCE };
  const infos = await getInfo(sharingHints(provider, what), target);
  return infos.find((entry) => entry.provider === provider.name);
}

/** Objects of one domain, closed after the test, the newest first. */
class Opened {
  readonly #objects: FabricObject[] = [];
  constructor() {
    onTestFinished(async () => {
      for (const object of this.#objects.reverse()) await object.close();
    });
  }
  async keep<T extends FabricObject>(opening: Promise<T>): Promise<T> {
    const object = await opening;
    this.#objects.push(object);
    return object;
  }
}

/** A domain with one queue and one address vector, for endpoints that share. */
async function openGround(info: Info) {
  const opened = new Opened();
  const fabric = await opened.keep(Fabric.open(info));
  const domain = await opened.keep(Domain.open(fabric, info));
  const events = await opened.keep(EventQueue.open(fabric));
  const queue = await opened.keep(CompletionQueue.open(domain));
  const addresses = await opened.keep(AddressVector.open(domain));
  return { opened, fabric, domain, events, queue, addresses };
}

/** Endpoints that share what is bound to them; the first test's two. */
async function openSharing(provider: ProviderUnderTest, what: readonly Shared[], count = 2) {
  const info = (await sharingInfo(provider, what))!;
  const ground = await openGround(info);
  const { opened, domain, queue, addresses } = ground;
  const receive = what.includes('receive')
    ? await opened.keep(SharedReceiveContext.open(domain, info, queue))
    : undefined;
  const transmit = what.includes('transmit')
    ? await opened.keep(SharedTransmitContext.open(domain, info))
    : undefined;
  const sides: FiSide[] = [];
  for (let index = 0; index < count; index++) {
    const endpoint = await opened.keep(Endpoint.open(domain, info));
    endpoint.bind(queue);
    endpoint.bind(addresses);
    if (receive !== undefined) endpoint.bind(receive);
    if (transmit !== undefined) endpoint.bind(transmit);
    await endpoint.enable();
    sides.push(new FiSide(provider, info, ground.fabric, domain, ground.events, queue, addresses, endpoint));
  }
  return { ...ground, info, receive: receive!, transmit: transmit!, sides };
}

const lacks = (what: readonly Shared[]) => async (provider: ProviderUnderTest) =>
  (await sharingInfo(provider, what)) === undefined
    ? `fi_getinfo lists no ${provider.name} with FI_SHARED_CONTEXT`
    : undefined;

describeOnProviders('a shared receive context', { unless: lacks(['receive']) }, (provider) => {
  test('takes the messages of two endpoints, in the order of its buffers', async () => {
    const { receive, sides } = await openSharing(provider, ['receive']);
    const [first, second] = sides;
    const sender = await openSide(provider);
    const toFirst = introduceSides(sender, first);
    const toSecond = sender.addresses.insert(second.endpoint.getName());
    const memory = await first.memory(3 * 4096);
    for (const context of [0, 1]) expect(receive.recv(memory, context * 4096, 4096, context)).toBe(true);
    const sent = await sender.memory(pattern(1000));
    for (const [context, peer] of [toFirst.toB, toSecond].entries()) {
      await toFirst.post('the send', () => sender.endpoint.send(sent, 0, 1000, peer, context));
      const { error, length, isReceive } = await toFirst.completion(first, context);
      expect({ error, length, isReceive }).toEqual({ error: 0, length: 1000, isReceive: true });
      expect(sameBytes(memory.bytes.subarray(context * 4096, context * 4096 + 1000), pattern(1000))).toBe(
        true,
      );
    }
  });

  test('takes tagged messages, and messages in parts', async () => {
    const { receive, sides } = await openSharing(provider, ['receive'], 1);
    const sender = await openSide(provider);
    const pair = introduceSides(sender, sides[0]);
    const memory = await sides[0].memory(8192);
    const sent = await sender.memory(pattern(500));
    expect(receive.recvTagged(memory, 0, 4096, 7n, 0)).toBe(true);
    expect(
      receive.recvVector(
        [
          { memory, offset: 4096, length: 200 },
          { memory, offset: 5000, length: 300 },
        ],
        1,
      ),
    ).toBe(true);
    await pair.post('a send', () => sender.endpoint.send(sent, 0, 500, pair.toB, 10));
    await pair.post('a tagged send', () => sender.endpoint.sendTagged(sent, 0, 500, pair.toB, 7n, 11));
    expect(await pair.completion(sides[0], 0)).toMatchObject({ error: 0, length: 500, tag: 7n });
    expect(await pair.completion(sides[0], 1)).toMatchObject({ error: 0, length: 500 });
    expect(sameBytes(memory.bytes.subarray(0, 500), pattern(500))).toBe(true);
    expect(sameBytes(memory.bytes.subarray(4096, 4296), pattern(500).subarray(0, 200))).toBe(true);
    expect(sameBytes(memory.bytes.subarray(5000, 5300), pattern(500).subarray(200))).toBe(true);
  });

  test('stays open while an endpoint is bound, and gives back its buffers when it closes', async () => {
    const { receive, sides } = await openSharing(provider, ['receive'], 1);
    const memory = await sides[0].memory(4096);
    expect(receive.recv(memory, 0, 4096, 5)).toBe(true);
    await expect(receive.close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
    await sides[0].endpoint.close();
    await receive.close();
    sides[0].read();
    const told = sides[0].of(5);
    expect(told === undefined ? receive.dropped : [told.context]).toEqual([5]);
  });

  test('refuses what sends, and receives of the endpoint itself', async () => {
    const { receive, sides } = await openSharing(provider, ['receive'], 1);
    const { endpoint } = sides[0];
    const memory = await sides[0].memory(64);
    for (const call of [
      () => receive.send(memory, 0, 8, 0, 0),
      () => receive.inject(memory, 0, 8, 0),
      () => receive.sendVector([{ memory }], 0, 0),
      () => endpoint.recv(memory, 0, 8, 0),
      () => endpoint.recvTagged(memory, 0, 8, 1n, 0),
      () => endpoint.recvVector([{ memory }], 0),
    ])
      expect(call).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED' }));
    expect(() => receive.recv(memory, 0, 8, 0, 99)).toThrow(
      expect.objectContaining({ code: 'ERR_FABRIC_ADDRESS' }),
    );
    await expect(receive.connect(endpoint.getName())).rejects.toMatchObject({
      code: 'ERR_FABRIC_UNSUPPORTED',
    });
  });

  test('is needed, once, with the queue and the address vector that it has', async () => {
    const { opened, domain, info, receive, queue, addresses } = await openSharing(provider, ['receive'], 1);
    const lacking = await opened.keep(Endpoint.open(domain, info));
    lacking.bind(queue);
    lacking.bind(addresses);
    await expect(lacking.enable()).rejects.toMatchObject({ code: 'FI_EINVAL' });
    lacking.bind(receive);
    expect(() => lacking.bind(receive)).toThrow(expect.objectContaining({ code: 'ERR_FABRIC_BUSY' }));
    await lacking.enable();
    const otherQueue = await opened.keep(CompletionQueue.open(domain));
    const otherAddresses = await opened.keep(AddressVector.open(domain));
    const strange = await opened.keep(Endpoint.open(domain, info));
    strange.bind(otherQueue);
    strange.bind(addresses);
    strange.bind(receive);
    await expect(strange.enable()).rejects.toMatchObject({ code: 'FI_EINVAL' });
    const elsewhere = await opened.keep(Endpoint.open(domain, info));
    elsewhere.bind(queue);
    elsewhere.bind(otherAddresses);
    elsewhere.bind(receive);
    await expect(elsewhere.enable()).rejects.toMatchObject({ code: 'FI_EINVAL' });
  });

  test('is bound to no endpoint whose Info does not say so', async () => {
    const { opened, receive, queue, domain } = await openSharing(provider, ['receive'], 1);
    const other = await sharingInfo(provider, []);
    const endpoint = await opened.keep(Endpoint.open(domain, other!));
    expect(() => endpoint.bind(receive)).toThrow(expect.objectContaining({ code: 'FI_EINVAL' }));
    await expect(SharedReceiveContext.open(domain, other!, queue)).rejects.toMatchObject({
      code: 'ERR_FABRIC_UNSUPPORTED',
    });
  });
});

describeOnProviders('a shared transmit context', { unless: lacks(['transmit']) }, (provider) => {
  test('sends for two endpoints', async () => {
    const { info, transmit, sides } = await openSharing(provider, ['transmit']);
    expect(transmit.info).toBe(info);
    const receiver = await openSide(provider);
    const memory = await receiver.memory(2 * 4096);
    for (const [index, side] of sides.entries()) {
      const pair = introduceSides(side, receiver);
      const sent = await side.memory(pattern(900, index));
      await pair.post('the receive', () => receiver.endpoint.recv(memory, index * 4096, 4096, index));
      await pair.post('the send', () => side.endpoint.send(sent, 0, 900, pair.toB, index));
      expect(await pair.completion(receiver, index)).toMatchObject({ error: 0, length: 900 });
      expect(await pair.completion(side, index)).toMatchObject({ error: 0, isReceive: false });
      const at = index * 4096;
      expect(sameBytes(memory.bytes.subarray(at, at + 900), pattern(900, index))).toBe(true);
    }
    await expect(transmit.close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
  });

  test('is needed, and bound to no endpoint whose Info does not say so', async () => {
    const { opened, domain, info, transmit, queue, addresses } = await openSharing(provider, ['transmit'], 1);
    const lacking = await opened.keep(Endpoint.open(domain, info));
    lacking.bind(queue);
    lacking.bind(addresses);
    await expect(lacking.enable()).rejects.toMatchObject({ code: 'FI_EINVAL' });
    lacking.bind(transmit);
    await lacking.enable();
    const endpoint = await opened.keep(Endpoint.open(domain, (await sharingInfo(provider, []))!));
    expect(() => endpoint.bind(transmit)).toThrow(expect.objectContaining({ code: 'FI_EINVAL' }));
  });

  test('is shared together with a receive context', async () => {
    const { receive, sides } = await openSharing(provider, ['receive', 'transmit']);
    const [first, second] = sides;
    const pair = introduceSides(first, second);
    const memory = await first.memory(pattern(300));
    const into = await second.memory(4096);
    expect(receive.recv(into, 0, 4096, 3)).toBe(true);
    await pair.post('the send', () => first.endpoint.send(memory, 0, 300, pair.toB, 4));
    await pair.until('both', () => [3, 4].every((context) => first.of(context) ?? second.of(context)));
    expect(sameBytes(into.bytes.subarray(0, 300), pattern(300))).toBe(true);
  });
});

// What sockets has in a shared context points into the endpoint.
const sockets = { providers: ['sockets'] };
describeOnProviders('an endpoint that shares', sockets, (provider) => {
  async function sending(): Promise<{ pair: FiPair; transmit: SharedTransmitContext }> {
    const { transmit, sides } = await openSharing(provider, ['transmit'], 1);
    // It takes a message only when the test reads its queue.
    const receiver = await openSide(provider, { info: await unattendedInfo(provider) });
    return { pair: introduceSides(sides[0], receiver), transmit };
  }

  test('stays open while operations of it are in the transmit context', async () => {
    const { pair, transmit } = await sending();
    const { endpoint, queue } = pair.a;
    const memory = await pair.a.memory(pattern(500));
    const into = await pair.b.memory(4096);
    expect(pair.b.endpoint.recv(into, 0, 4096, 0)).toBe(true);
    expect(endpoint.send(memory, 0, 500, pair.toB, 7)).toBe(true);
    const busy = {
      code: 'ERR_FABRIC_BUSY',
      message: expect.stringContaining('SharedTransmitContext') as string,
    };
    await expect(endpoint.close()).rejects.toMatchObject(busy);
    expect(endpoint.closed).toBe(false);
    // The peer reads, and the send completes; what still counts is that the program has read of it.
    expect(await pair.completion(pair.b, 0)).toMatchObject({ error: 0, length: 500 });
    expect(await pair.completion(pair.a, 7)).toMatchObject({ error: 0 });
    await endpoint.close();
    expect(endpoint.dropped).toEqual([]);
    await transmit.close();
    expect(queue.read()).toBe(0);
  });

  test('closes with receives of its own outstanding', async () => {
    const { pair } = await sending();
    const { endpoint } = pair.a;
    expect(endpoint.recv(await pair.a.memory(64), 0, 64, 3)).toBe(true);
    await endpoint.close();
    expect(endpoint.dropped).toEqual([3]);
  });

  test('injects nothing into the transmit context, of which nobody would tell', async () => {
    const { pair } = await sending();
    const { endpoint } = pair.a;
    const memory = await pair.a.memory(64);
    const unsupported = expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED' }) as Error;
    expect(() => endpoint.inject(memory, 0, 8, pair.toB)).toThrow(unsupported);
    expect(() => endpoint.injectTagged(memory, 0, 8, pair.toB, 1n)).toThrow(unsupported);
    // With a context it can: the memory is the program's at once, and the completion tells when it has left.
    memory.bytes.fill(1);
    expect(endpoint.sendMessage([{ memory }], pair.toB, 1, { flags: ['FI_INJECT'] })).toBe(true);
    memory.bytes.fill(2);
    await expect(endpoint.close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
    const into = await pair.b.memory(64);
    expect(pair.b.endpoint.recv(into, 0, 64, 0)).toBe(true);
    await pair.completion(pair.b, 0);
    expect(into.bytes.every((byte) => byte === 1)).toBe(true);
    await pair.completion(pair.a, 1);
  });

  test('leaves no message behind in a receive context that goes on', async () => {
    const { receive, sides } = await openSharing(provider, ['receive'], 2);
    const sender = await openSide(provider);
    const pair = introduceSides(sender, sides[0]);
    const toOther = sender.addresses.insert(sides[1].endpoint.getName());
    const sent = await sender.memory(pattern(100));
    const memory = await sides[0].memory(8192);
    // A receive that takes any message is waiting all the time: so none of this kind can be left.
    for (const context of [1, 2]) expect(receive.recv(memory, 0, 100, context)).toBe(true);
    await pair.post('a send', () => sender.endpoint.send(sent, 0, 100, pair.toB, 10));
    expect(await pair.completion(sides[0], 1)).toMatchObject({ error: 0 });
    await pair.post('a tagged send', () => sender.endpoint.sendTagged(sent, 0, 100, pair.toB, 5n, 11));
    // It is in the receive context now, and nobody has taken it.
    await pair.completion(sender, 11);
    await sides[0].endpoint.close();
    expect(receive.recv(memory, 4096, 100, 3)).toBe(true);
    for (const [index, context] of [2, 3].entries()) {
      await pair.post('a send', () => sender.endpoint.send(sent, 0, 100, toOther, 20 + index));
      await pair.until('the receive', () => {
        sides[1].read();
        return [...sides[0].completed, ...sides[1].completed].some((one) => one.context === context);
      });
    }
    const lost = expect.objectContaining({ code: 'FI_EOPBADSTATE' }) as Error;
    expect(() => receive.recvTagged(memory, 0, 100, 5n, 4)).toThrow(lost);
    expect(() => receive.recvVectorTagged([{ memory }], 5n, 4)).toThrow(lost);
    await sides[1].endpoint.close();
    // Nothing was waiting when that one closed.
    expect(() => receive.recv(memory, 0, 100, 4)).toThrow(lost);
    expect(() => receive.recvVector([{ memory }], 4)).toThrow(lost);
    await receive.close();
  });

  test('has a receive context that looks for no message without receiving it', async () => {
    const { receive } = await openSharing(provider, ['receive'], 1);
    for (const flags of [['FI_PEEK'], ['FI_PEEK', 'FI_DISCARD'], ['FI_PEEK', 'FI_CLAIM']])
      expect(() => receive.recvMessageTagged([], 1n, 0, flags)).toThrow(
        expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED' }),
      );
  });
});

describeOnProviders('shared contexts, where there are none,', {}, (provider) => {
  test('are refused', async (context) => {
    const found = await Promise.all([
      sharingInfo(provider, ['receive']),
      sharingInfo(provider, ['transmit']),
    ]);
    if (found.some((info) => info !== undefined)) context.skip(`${provider.name} has some`);
    const { domain, queue } = await openGround((await sharingInfo(provider, []))!);
    await expect(SharedReceiveContext.open(domain, domain.info, queue)).rejects.toMatchObject({
      code: 'ERR_FABRIC_UNSUPPORTED',
    });
    await expect(SharedTransmitContext.open(domain, domain.info)).rejects.toMatchObject({
      code: 'ERR_FABRIC_UNSUPPORTED',
    });
  });
});
