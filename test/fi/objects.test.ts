import { describe, expect, it } from 'vitest';
import {
  AddressVector,
  CompletionQueue,
  Domain,
  Endpoint,
  Engine,
  EventQueue,
  FI_RECV,
  FI_TRANSMIT,
  Fabric,
  type FabricError,
  FabricObject,
  type Info,
  Memory,
  MemoryRegion,
} from 'libfabric/fi';
import { anotherAddresses, anotherInfo, infoFor, openSide, openSides } from '../helpers/fi.js';
import { describeOnProviders } from '../helpers/providers.js';

const closed = expect.objectContaining({ name: 'FabricError', code: 'ERR_FABRIC_CLOSED' });

/** The error of a close that must be refused since others depend on the object. */
async function busy(object: FabricObject): Promise<FabricError> {
  let refusal: unknown;
  await object.close().catch((error: unknown) => {
    refusal = error;
  });
  expect(refusal).toMatchObject({ name: 'FabricError', code: 'ERR_FABRIC_BUSY' });
  expect(object.closed).toBe(false);
  return refusal as FabricError;
}

describeOnProviders('objects', {}, (provider) => {
  describe('close', () => {
    it('is refused while something depends on the object, and says what', async () => {
      const side = await openSide(provider);
      const { fabric, domain, events, queue, addresses, endpoint } = side;
      const memory = Memory.allocate(4096);
      const region = await MemoryRegion.register(domain, memory);

      expect((await busy(fabric)).message).toMatch(/Domain/);
      expect((await busy(fabric)).message).toMatch(/EventQueue/);
      const ofDomain = (await busy(domain)).message;
      for (const name of ['CompletionQueue', 'AddressVector', 'Endpoint', 'MemoryRegion'])
        expect(ofDomain).toContain(name);
      for (const object of [events, queue, addresses])
        expect((await busy(object)).message).toContain('Endpoint');

      // All of it still works.
      expect(endpoint.getName().byteLength).toBeGreaterThan(0);
      await region.close();
      await endpoint.close();
      // Each goes as soon as nothing depends on it any more, in any order.
      await addresses.close();
      await queue.close();
      await busy(fabric);
      await domain.close();
      expect((await busy(fabric)).message).not.toContain('Domain');
      await events.close();
      await fabric.close();
      for (const object of [endpoint, region, addresses, queue, domain, events, fabric])
        expect(object.closed).toBe(true);
    });

    it('works in another order too', async () => {
      const { fabric, domain, events, queue, addresses, endpoint } = await openSide(provider);
      await endpoint.close();
      await events.close();
      await queue.close();
      await addresses.close();
      await domain.close();
      await fabric.close();
      expect(fabric.closed).toBe(true);
    });

    it('does it once, however often it is called', async () => {
      const { endpoint } = await openSide(provider);
      const first = endpoint.close();
      expect(endpoint.close()).toBe(first);
      expect(endpoint.closed).toBe(true);
      await first;
      await expect(endpoint.close()).resolves.toBeUndefined();
      await expect(endpoint[Symbol.asyncDispose]()).resolves.toBeUndefined();
    });

    it('of many objects at once, children first, is in order', async () => {
      const { fabric, domain, events, queue, addresses, endpoint } = await openSide(provider);
      // Nothing may close before what depends on it has: the parents are refused.
      const closing = endpoint.close();
      await busy(queue);
      await closing;
      await Promise.all([queue.close(), addresses.close()]);
      await domain.close();
      await events.close();
      await fabric.close();
    });

    it('is what the end of an `await using` block does', async () => {
      const { domain, events } = await openSide(provider);
      let kept: AddressVector | undefined;
      {
        await using addresses = await AddressVector.open(domain);
        await using queue = await CompletionQueue.open(domain);
        expect(queue.closed).toBe(false);
        kept = addresses;
      }
      expect(kept.closed).toBe(true);
      expect(events.closed).toBe(false);
    });

    it('makes every call of the object throw ERR_FABRIC_CLOSED', async () => {
      const side = await openSide(provider);
      const { fabric, domain, events, queue, addresses, endpoint, info } = side;
      const spare = await Endpoint.open(domain, info);
      const name = endpoint.getName();
      const memory = Memory.allocate(64);
      await endpoint.close();

      expect(() => endpoint.getName()).toThrow(closed);
      expect(() => endpoint.calls).toThrow(closed);
      expect(() => {
        endpoint.bind(queue);
      }).toThrow(closed);
      await expect(endpoint.enable()).rejects.toThrow(closed);
      const calls: (() => unknown)[] = [
        () => endpoint.send(memory, 0, 8, 0, 0),
        () => endpoint.inject(memory, 0, 8, 0),
        () => endpoint.recv(memory, 0, 8, 0),
        () => endpoint.sendTagged(memory, 0, 8, 0, 1n, 0),
        () => endpoint.injectTagged(memory, 0, 8, 0, 1n),
        () => endpoint.recvTagged(memory, 0, 8, 1n, 0),
        () => endpoint.sendBatch(1, 0),
        () => endpoint.cancel(0),
      ];
      for (const call of calls) expect(call).toThrow(closed);

      await queue.close();
      expect(() => queue.read()).toThrow(closed);
      expect(() => queue.errorText(0)).toThrow(closed);
      expect(() => Engine.start(queue, { onReadable: () => undefined })).toThrow(closed);
      expect(() => {
        spare.bind(queue);
      }).toThrow(closed);

      await addresses.close();
      expect(() => addresses.insert(name)).toThrow(closed);
      await expect(addresses.insertMany([name])).rejects.toThrow(closed);
      expect(() => addresses.lookup(0)).toThrow(closed);
      expect(() => addresses.toText(name)).toThrow(closed);
      expect(() => {
        addresses.remove(0);
      }).toThrow(closed);

      await spare.close();
      await domain.close();
      for (const opening of [
        () => AddressVector.open(domain),
        () => CompletionQueue.open(domain),
        () => Endpoint.open(domain, info),
        () => MemoryRegion.register(domain, memory),
      ])
        await expect(opening()).rejects.toThrow(closed);

      await events.close();
      expect(() => events.read()).toThrow(closed);
      await fabric.close();
      await expect(Domain.open(fabric, info)).rejects.toThrow(closed);
      await expect(EventQueue.open(fabric)).rejects.toThrow(closed);
    });

    it('refuses calls from the moment that it is called', async () => {
      const { endpoint } = await openSide(provider);
      const memory = Memory.allocate(64);
      const closing = endpoint.close();
      expect(() => endpoint.recv(memory, 0, 8, 0)).toThrow(closed);
      expect(() => endpoint.getName()).toThrow(closed);
      await closing;
    });
  });

  it('know what they depend on', async () => {
    const { fabric, domain, events, queue, addresses, endpoint } = await openSide(provider);
    expect(fabric.parents).toEqual([]);
    expect(domain.parents).toEqual([fabric]);
    expect(events.parents).toEqual([fabric]);
    for (const object of [queue, addresses, endpoint]) expect(object.parents).toEqual([domain]);
    for (const object of [fabric, domain, events, queue, addresses, endpoint]) {
      expect(object).toBeInstanceOf(FabricObject);
      expect(object.closed).toBe(false);
    }
  });

  it('refuse what is not theirs with a TypeError', async () => {
    const { fabric, domain, events, queue, addresses, endpoint, info } = await openSide(provider);
    const wrongs = [
      undefined,
      null,
      5,
      'domain',
      {},
      [],
      () => 0,
      Symbol('x'),
      { handle: 1 },
      { raw: { native: {} } },
    ];
    for (const wrong of [...wrongs, events, queue, endpoint, new Date()]) {
      const fake = wrong as never;
      await expect(Domain.open(fake, info)).rejects.toThrow(TypeError);
      await expect(EventQueue.open(fake)).rejects.toThrow(TypeError);
      await expect(AddressVector.open(fake)).rejects.toThrow(TypeError);
      await expect(CompletionQueue.open(fake)).rejects.toThrow(TypeError);
      await expect(Endpoint.open(fake, info)).rejects.toThrow(TypeError);
      await expect(MemoryRegion.register(fake, Memory.allocate(1))).rejects.toThrow(TypeError);
      await expect(MemoryRegion.register(domain, fake)).rejects.toThrow(TypeError);
      if (wrong !== queue)
        expect(() => Engine.start(fake, { onReadable: () => undefined })).toThrow(TypeError);
    }
    for (const wrong of [...wrongs, fabric, domain, endpoint]) {
      expect(() => {
        endpoint.bind(wrong as never);
      }).toThrow(TypeError);
      if (wrong === fabric || wrong === domain || wrong === endpoint) continue;
      await expect(Fabric.open(wrong as never)).rejects.toThrow(TypeError);
      await expect(Domain.open(fabric, wrong as never)).rejects.toThrow(TypeError);
      await expect(Endpoint.open(domain, wrong as never)).rejects.toThrow(TypeError);
    }
    // The real ones were not disturbed by any of it.
    expect(addresses.insert(endpoint.getName())).toBeGreaterThanOrEqual(0);
    expect(queue.read()).toBe(0);
  });

  it('copy what they need of an Info: it may be changed or lost', async () => {
    const info = await infoFor(provider);
    expect(Object.isFrozen(info)).toBe(true);
    const copy: Info = { ...info };
    await using fabric = await Fabric.open(copy);
    expect(fabric.info).toBe(copy);
    await using domain = await Domain.open(fabric, copy);
    expect(domain.info.domainName).toBe(info.domainName);
  });

  it('can have one queue for sends and another for receives', async () => {
    const pair = await openSides(provider);
    const { a, toA } = pair;
    const { domain, events } = pair.b;
    await using sends = await CompletionQueue.open(domain);
    await using receives = await CompletionQueue.open(domain);
    await using addresses = await AddressVector.open(domain);
    await using endpoint = await Endpoint.open(domain, await anotherInfo(pair.b));
    endpoint.bind(events);
    endpoint.bind(sends, FI_TRANSMIT);
    endpoint.bind(receives, FI_RECV);
    endpoint.bind(addresses);
    await endpoint.enable();
    const there = addresses.insert(a.endpoint.getName());
    expect(toA).toBeGreaterThanOrEqual(0);
    const memory = await a.memory(64);
    const own = Memory.allocate(64);
    await pair.post('the receive', () => a.endpoint.recv(memory, 0, 64, 0));
    await pair.post('the send', () => {
      receives.read();
      sends.read();
      return endpoint.send(own, 0, 8, there, 3);
    });
    let sent = -1;
    let received = 0;
    await pair.until('both completions', () => {
      received += receives.read();
      if (sends.read() > 0) sent = sends.completions.context(0);
      return a.of(0) !== undefined && sent !== -1;
    });
    expect(sent).toBe(3);
    expect(received).toBe(0);
    expect(a.of(0)).toMatchObject({ error: 0, length: 8 });
  });

  it('share a queue, and one goes on when the other is closed', async () => {
    const side = await openSide(provider, { queue: { capacity: 8 } });
    const { domain, events, queue } = side;
    const addresses = await anotherAddresses(side);
    const into = await side.memory(64);
    const second = await Endpoint.open(domain, await anotherInfo(side));
    for (const other of [events, queue, addresses]) second.bind(other);
    await second.enable();
    for (let context = 0; context < 4; context++) expect(second.recv(into, 0, 8, context)).toBe(true);
    // One operation a context, whichever endpoint it belongs to.
    expect(() => side.endpoint.recv(into, 0, 8, 0)).toThrow(
      expect.objectContaining({ code: 'ERR_FABRIC_BUSY' }),
    );
    expect(side.endpoint.recv(into, 0, 8, 4)).toBe(true);
    await second.close();
    side.read();
    const ended = [...second.dropped, ...side.completed.map(({ context }) => context)];
    expect(ended.sort()).toEqual([0, 1, 2, 3]);
    expect(side.endpoint.recv(into, 0, 8, 5)).toBe(true);
    expect(side.endpoint.cancel(4)).toBe(true);
  });
});

describeOnProviders('data calls', {}, (provider) => {
  const busyContext = expect.objectContaining({ code: 'ERR_FABRIC_BUSY' });
  const outside = expect.objectContaining({ code: 'FI_EINVAL' });

  it.each([-1, -2, 64, 65, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 53, Number.NaN, Infinity])(
    'refuse the context %d, which the queue does not have',
    async (context) => {
      const { a, toB } = await openSides(provider, { queue: { capacity: 64 } });
      const memory = await a.memory(64);
      expect(() => a.endpoint.send(memory, 0, 8, toB, context)).toThrow(busyContext);
      expect(() => a.endpoint.recv(memory, 0, 8, context)).toThrow(busyContext);
      expect(() => a.endpoint.sendTagged(memory, 0, 8, toB, 1n, context)).toThrow(busyContext);
      expect(() => a.endpoint.recvTagged(memory, 0, 8, 1n, context)).toThrow(busyContext);
      a.read();
      expect(a.completed).toEqual([]);
    },
  );

  it('refuse a context that is in flight', async () => {
    const pair = await openSides(provider);
    const { b, toA } = pair;
    const memory = await b.memory(64);
    await pair.post('a receive', () => b.endpoint.recv(memory, 0, 8, 1));
    expect(() => b.endpoint.recv(memory, 8, 8, 1)).toThrow(busyContext);
    expect(() => b.endpoint.recvTagged(memory, 8, 8, 0n, 1)).toThrow(busyContext);
    expect(() => b.endpoint.send(memory, 8, 8, toA, 1)).toThrow(busyContext);
  });

  it.each([
    [0, 4097],
    [1, 4096],
    [4096, 1],
    [4097, 0],
    [-1, 8],
    [0, -1],
    [8, -8],
    [2 ** 53, 8],
    [0, 2 ** 53],
    [2 ** 32, 0],
    [Number.NaN, 8],
    [0, Number.NaN],
    [0, Infinity],
  ])('refuse offset %d with length %d in 4096 bytes', async (offset, length) => {
    const { a, toB } = await openSides(provider);
    const memory = await a.memory(4096);
    expect(() => a.endpoint.send(memory, offset, length, toB, 0)).toThrow(outside);
    expect(() => a.endpoint.inject(memory, offset, length, toB)).toThrow(outside);
    expect(() => a.endpoint.recv(memory, offset, length, 0)).toThrow(outside);
    expect(() => a.endpoint.sendTagged(memory, offset, length, toB, 1n, 0)).toThrow(outside);
    expect(() => a.endpoint.injectTagged(memory, offset, length, toB, 1n)).toThrow(outside);
    expect(() => a.endpoint.recvTagged(memory, offset, length, 1n, 0)).toThrow(outside);
  });

  it('refuse what is no Memory with a TypeError', async () => {
    const { a, toB } = await openSides(provider);
    for (const wrong of [
      undefined,
      null,
      5,
      'memory',
      {},
      new Uint8Array(64),
      Buffer.alloc(64),
      a.domain,
      a.endpoint,
    ]) {
      const fake = wrong as never;
      expect(() => a.endpoint.send(fake, 0, 8, toB, 0)).toThrow(TypeError);
      expect(() => a.endpoint.inject(fake, 0, 8, toB)).toThrow(TypeError);
      expect(() => a.endpoint.recv(fake, 0, 8, 0)).toThrow(TypeError);
      expect(() => a.endpoint.sendTagged(fake, 0, 8, toB, 1n, 0)).toThrow(TypeError);
      expect(() => a.endpoint.injectTagged(fake, 0, 8, toB, 1n)).toThrow(TypeError);
      expect(() => a.endpoint.recvTagged(fake, 0, 8, 1n, 0)).toThrow(TypeError);
    }
  });

  it('refuse memory that was freed', async () => {
    const { a, toB } = await openSides(provider);
    const memory = Memory.allocate(64);
    memory.free();
    expect(() => a.endpoint.send(memory, 0, 8, toB, 0)).toThrow(closed);
    expect(() => a.endpoint.recv(memory, 0, 8, 0)).toThrow(closed);
    expect(() => memory.id).toThrow(closed);
  });

  it('refuse tags and remote CQ data that are no bigints, and unknown completion levels', async () => {
    const { a, toB } = await openSides(provider);
    const memory = await a.memory(64);
    for (const wrong of [1, null, undefined, {}]) {
      expect(() => a.endpoint.sendTagged(memory, 0, 8, toB, wrong as never, 0)).toThrow();
      expect(() => a.endpoint.recvTagged(memory, 0, 8, wrong as never, 0)).toThrow();
    }
    for (const wrong of [1, null])
      expect(() => a.endpoint.send(memory, 0, 8, toB, 0, { immediate: wrong as never })).toThrow(TypeError);
    expect(() => a.endpoint.send(memory, 0, 8, toB, 0, { completion: 'sent' as never })).toThrow(RangeError);
    a.read();
    expect(a.completed).toEqual([]);
  });

  it('name the call in the error of what the provider refuses', async () => {
    const { domain } = await openSide(provider);
    const wanted = { call: 'fi_cq_open', name: 'FabricError' };
    // No provider has a wait object of this number.
    await expect(CompletionQueue.open(domain, { waitObject: 99 })).rejects.toMatchObject(wanted);
  });

  it('say which groups of calls there are', async () => {
    const { endpoint } = await openSide(provider);
    expect(endpoint.calls).toEqual({ messages: true, tagged: true, cancel: true, rma: false, atomic: false });
  });
});

describeOnProviders('queues', {}, (provider) => {
  it.each([8, 16, 1024, 65_536])('open with %i contexts', async (capacity) => {
    const { domain } = await openSide(provider);
    await using queue = await CompletionQueue.open(domain, { capacity });
    expect(queue.capacity).toBe(capacity);
    expect(queue.read()).toBe(0);
    expect(queue.completions.count).toBe(0);
  });

  it.each([0, 4, 9, 1000, -8, 8.5, Number.NaN, 2 ** 21])('do not open with %d contexts', async (capacity) => {
    const { domain } = await openSide(provider);
    await expect(CompletionQueue.open(domain, { capacity })).rejects.toThrow(RangeError);
    await expect(CompletionQueue.open(domain, { capacity: '8' as never })).rejects.toThrow(TypeError);
  });

  it('say which wait object they got', async () => {
    const { domain, queue } = await openSide(provider);
    expect(queue.waitObject).toBe('FI_WAIT_NONE');
    expect(queue.waitFd).toBe(-1);
    await expect(CompletionQueue.open(domain, { waitObject: 'FI_WAIT_NOT' })).rejects.toThrow(RangeError);
    // efa's came with libfabric 2.3.
    const there = !provider.family.startsWith('efa') || provider.libraryVersion >= 0x20003;
    for (const waitObject of there ? provider.waitObjects : []) {
      await using waitable = await CompletionQueue.open(domain, { waitObject });
      expect(waitable.waitObject).toBe(waitObject);
      if (provider.sleepBy === 'fd') expect(waitable.waitFd).toBeGreaterThanOrEqual(0);
    }
  });

  it('of events have nothing to say at first', async () => {
    const { fabric, events } = await openSide(provider);
    expect(events.read()).toBeUndefined();
    await using larger = await EventQueue.open(fabric, { size: 4096 });
    expect(larger.read()).toBeUndefined();
  });

  it.each([0, -1, 1.5, Number.NaN, 2 ** 21])('of events do not open for %d events', async (size) => {
    const { fabric } = await openSide(provider);
    await expect(EventQueue.open(fabric, { size })).rejects.toThrow(RangeError);
  });
});
