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
import { FiSide, hintsFor, introduceSides, openSide, pattern, sameBytes } from '../helpers/fi.js';
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
    const { transmit, sides } = await openSharing(provider, ['transmit']);
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
