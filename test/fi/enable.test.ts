import { expect, it } from 'vitest';
import {
  AddressVector,
  CompletionQueue,
  Counter,
  Endpoint,
  Engine,
  EventQueue,
  FI_RECV,
  FI_SEND,
  FI_TRANSMIT,
  Memory,
} from 'libfabric/fi';
import { anotherAddresses, anotherInfo, openSide, openSides } from '../helpers/fi.js';
import { describeOnProviders } from '../helpers/providers.js';

const closed = expect.objectContaining({ name: 'FabricError', code: 'ERR_FABRIC_CLOSED' });

describeOnProviders('enable', {}, (provider) => {
  it('is refused where the endpoint is closed meanwhile', async () => {
    const seen: { enabling?: Promise<void>; closing?: Promise<void> } = {};
    await expect(
      openSide(provider, {
        prepare(endpoint) {
          // Which shm takes only once the endpoint is enabled.
          if (provider.name === 'shm') endpoint.setOpt('FI_OPT_MIN_MULTI_RECV', 64);
          seen.enabling = endpoint.enable();
          seen.enabling.catch(() => undefined);
          seen.closing = endpoint.close();
        },
      }),
    ).rejects.toThrow(closed);
    await expect(seen.enabling).rejects.toThrow(closed);
    await seen.closing;
  });

  const missing = expect.objectContaining({ code: 'FI_ENOCQ', call: 'fi_enable' });

  it('says FI_ENOCQ without queue or address vector, and works once they are there', async () => {
    const side = await openSide(provider);
    const { domain, events, info, queue } = side;
    const addresses = await anotherAddresses(side);
    await using endpoint = await Endpoint.open(domain, info);
    await expect(endpoint.enable()).rejects.toThrow(missing);
    endpoint.bind(events);
    await expect(endpoint.enable()).rejects.toThrow(missing);
    endpoint.bind(addresses);
    await expect(endpoint.enable()).rejects.toThrow(missing);
    endpoint.bind(queue, FI_TRANSMIT);
    await expect(endpoint.enable()).rejects.toThrow(missing);
    endpoint.bind(queue, FI_RECV);
    await endpoint.enable();
    expect(endpoint.getName().byteLength).toBeGreaterThan(0);
  });

  it('says FI_ENOCQ with a queue but no address vector', async () => {
    const { domain, events, info, queue } = await openSide(provider);
    await using endpoint = await Endpoint.open(domain, info);
    endpoint.bind(events);
    endpoint.bind(queue);
    await expect(endpoint.enable()).rejects.toThrow(missing);
  });

  it('comes before any data call', async () => {
    const side = await openSide(provider);
    const { domain, events, info, queue } = side;
    const addresses = await anotherAddresses(side);
    await using endpoint = await Endpoint.open(domain, info);
    const memory = Memory.allocate(64);
    for (const other of [events, queue, addresses]) endpoint.bind(other);
    expect(() => endpoint.recv(memory, 0, 8, 0)).toThrow(closed);
    expect(() => endpoint.send(memory, 0, 8, 0, 0)).toThrow(closed);
    expect(() => endpoint.cancel(0)).toThrow(closed);
  });
});

describeOnProviders('what is bound to an endpoint that is not enabled yet', {}, (provider) => {
  it('can be read all the same, and belongs to it from then on', async () => {
    const pair = await openSides(provider);
    const { a, b } = pair;
    const { domain, events, queue } = a;
    const addresses = await anotherAddresses(a);
    await using counter = await Counter.open(domain);
    await using endpoint = await Endpoint.open(domain, await anotherInfo(a));
    // Somebody reads while it is bound, too.
    const engine = Engine.start(queue, { mode: 'thread', onReadable: () => undefined });
    for (const other of [events, addresses, queue]) endpoint.bind(other);
    endpoint.bind(counter, FI_SEND);
    engine.stop();
    for (let reads = 0; reads < 10; reads++) expect([queue.read(), counter.read()]).toEqual([0, 0n]);
    await endpoint.enable();
    const toB = addresses.insert(b.endpoint.getName());
    const [from, into] = [await a.memory(8), await b.memory(8)];
    await pair.post('a receive', () => b.endpoint.recv(into, 0, 8, 0));
    await pair.post('a send', () => endpoint.send(from, 0, 8, toB, 5));
    expect(await pair.completion(b, 0)).toMatchObject({ error: 0, length: 8 });
    expect(await pair.completion(a, 5)).toMatchObject({ error: 0 });
    await pair.until('the counter', () => counter.read() === 1n);
  });
});

describeOnProviders('bind', {}, (provider) => {
  it('takes nothing of another Domain, nor an EventQueue of another Fabric', async () => {
    const { domain, fabric } = await openSide(provider);
    const other = await openSide(provider);
    const { endpoint } = other;
    await using counter = await Counter.open(domain);
    await using addresses = await AddressVector.open(domain);
    await using queue = await CompletionQueue.open(domain);
    await using events = await EventQueue.open(fabric);
    for (const foreign of [counter, addresses, queue, events])
      expect(() => {
        endpoint.bind(foreign);
      }).toThrow(RangeError);
  });
});
