import { expect, it } from 'vitest';
import { AddressVector, Endpoint, EventQueue, Memory, PassiveEndpoint } from 'libfabric/fi';
import { BOUND_MS, Party, connected, connectionInfo, until } from '../helpers/connections.js';
import { openSide, pattern, sameBytes } from '../helpers/fi.js';
import { describeOnProviders } from '../helpers/providers.js';

const ROUNDS = 200;
const code = (name: string): unknown => expect.objectContaining({ code: name });

describeOnProviders('connections', { providers: ['tcp', 'sockets'] }, (provider) => {
  it('are asked for, accepted with data, and ended', async () => {
    const server = await Party.open(provider);
    const client = await Party.open(provider);
    const passive = await server.listen();
    const here = await client.endpoint();
    await here.connect(passive.getName(), Buffer.from('hello'));

    const request = await server.event(client);
    expect(request).toMatchObject({ name: 'FI_CONNREQ', error: 0 });
    expect(request.source).toBe(passive);
    expect(Buffer.from(request.data).toString()).toMatch(/^hello/);
    expect(request.info?.endpointType).toBe('FI_EP_MSG');
    const there = await server.endpoint(request.info);
    await there.accept(Buffer.from('welcome'));

    const [atClient, atServer] = await Promise.all([client.event(server), server.event(client)]);
    expect(atClient).toMatchObject({ name: 'FI_CONNECTED', error: 0 });
    expect(atClient.source).toBe(here);
    expect(Buffer.from(atClient.data).toString()).toMatch(/^welcome/);
    expect(atServer).toMatchObject({ name: 'FI_CONNECTED', error: 0 });
    expect(atServer.source).toBe(there);
    expect(here.getPeer().byteLength).toBeGreaterThanOrEqual(16);

    await here.shutdown();
    const end = await server.event(client);
    expect(end).toMatchObject({ name: 'FI_SHUTDOWN', error: 0 });
    expect(end.source).toBe(there);
  });

  it('carry messages both ways', async () => {
    const { client, server, here, there } = await connected(provider);
    for (const [from, to, size] of [
      [here, there, 64],
      [there, here, 100_000],
    ] as const) {
      const content = Memory.allocate(size);
      content.bytes.set(pattern(size));
      const into = Memory.allocate(size);
      await until(provider, 'room', () => to.recv(into, 0, size, 1));
      await until(provider, 'room', () => from.send(content, 0, size, 0, 2));
      const queues = [client.queue, server.queue];
      let finished = 0;
      await until(provider, 'both completions', () => {
        for (const queue of queues) {
          const count = queue.read();
          for (let index = 0; index < count; index++) expect(queue.completions.error(index)).toBe(0);
          finished += count;
        }
        return finished === 2;
      });
      expect(sameBytes(into.bytes, content.bytes)).toBe(true);
    }
  });

  it('can be refused with data', async () => {
    const server = await Party.open(provider);
    const client = await Party.open(provider);
    const passive = await server.listen();
    const here = await client.endpoint();
    await here.connect(passive.getName());
    const request = await server.event(client);
    await passive.reject(request.info!, Buffer.from('no'));
    const refused = await client.event(server);
    expect(refused).toMatchObject({ event: undefined, name: '', error: 111 });
    expect(refused.source).toBe(here);
    // A request is of use once.
    await expect(passive.reject(request.info!)).rejects.toThrow(code('FI_EOPBADSTATE'));
    await expect(passive.reject(client.info)).rejects.toThrow(code('FI_EOPBADSTATE'));
  });

  it('are no use before they are there', async () => {
    const party = await Party.open(provider);
    const endpoint = await Endpoint.open(party.domain, party.info);
    await expect(endpoint.enable()).rejects.toThrow(code('FI_ENOCQ'));
    await endpoint.close();
    const here = await party.endpoint();
    const memory = Memory.allocate(64);
    expect(() => here.send(memory, 0, 8, 0, 0)).toThrow(code('FI_ENOTCONN'));
    expect(() => here.inject(memory, 0, 8, 0)).toThrow(code('FI_ENOTCONN'));
    expect(() => here.getPeer()).toThrow(code('FI_ENOTCONN'));
    await expect(here.shutdown()).rejects.toThrow(code('FI_ENOTCONN'));
    await expect(here.accept()).rejects.toThrow(code('FI_EOPBADSTATE'));
  });

  it('refuse what cannot be meant, before the provider sees it', async () => {
    const { here, there, server } = await connected(provider);
    const address = server.info.sourceAddress!;
    for (const endpoint of [here, there])
      await expect(endpoint.connect(address)).rejects.toThrow(code('FI_EOPBADSTATE'));
    await expect(there.accept()).rejects.toThrow(code('FI_EOPBADSTATE'));
    const fresh = await server.endpoint();
    await expect(fresh.connect(new Uint8Array(16))).rejects.toThrow(code('ERR_FABRIC_ADDRESS'));
    await expect(fresh.connect(address.subarray(0, 8))).rejects.toThrow(code('ERR_FABRIC_ADDRESS'));
    await expect(fresh.connect(new Uint8Array(0))).rejects.toThrow(RangeError);
    await expect(fresh.connect('127.0.0.1' as never)).rejects.toThrow(TypeError);
    await expect(fresh.connect(address, 'x' as never)).rejects.toThrow(TypeError);
    await expect(fresh.connect(address, new Uint8Array(100_000))).rejects.toThrow(code('FI_EMSGSIZE'));
    await fresh.close();
    await expect(fresh.connect(address)).rejects.toThrow(code('ERR_FABRIC_CLOSED'));
    await expect(fresh.shutdown()).rejects.toThrow(code('ERR_FABRIC_CLOSED'));
    expect(() => fresh.getPeer()).toThrow(code('ERR_FABRIC_CLOSED'));
  });

  it('are for endpoints of type FI_EP_MSG', async () => {
    const { endpoint, fabric, domain, events } = await openSide(provider);
    const name = endpoint.getName();
    await expect(endpoint.connect(name)).rejects.toThrow(code('ERR_FABRIC_UNSUPPORTED'));
    await expect(endpoint.accept()).rejects.toThrow(code('ERR_FABRIC_UNSUPPORTED'));
    await expect(endpoint.shutdown()).rejects.toThrow(code('ERR_FABRIC_UNSUPPORTED'));
    expect(() => endpoint.getPeer()).toThrow(code('ERR_FABRIC_UNSUPPORTED'));
    for (const wrong of [undefined, null, {}, domain, events])
      await expect(PassiveEndpoint.open(wrong as never, await connectionInfo(provider))).rejects.toThrow(
        TypeError,
      );
    await expect(PassiveEndpoint.open(fabric, {} as never)).rejects.toThrow(TypeError);
  });

  it('are not listened for by what is closed meanwhile', async () => {
    const party = await Party.open(provider);
    for (let round = 0; round < ROUNDS; round++) {
      const passive = await PassiveEndpoint.open(party.fabric, party.info);
      passive.bind(party.events);
      // On a thread each: either may come first.
      const [listening, closing] = await Promise.allSettled([passive.listen(), passive.close()]);
      expect(closing).toMatchObject({ status: 'fulfilled' });
      if (listening.status === 'rejected') expect(listening.reason).toEqual(code('ERR_FABRIC_CLOSED'));
    }
  });

  it('need a queue of events', async () => {
    const party = await Party.open(provider);
    await using passive = await PassiveEndpoint.open(party.fabric, party.info);
    await expect(passive.listen()).rejects.toThrow(code('FI_ENOEQ'));
    await using addresses = await AddressVector.open((await openSide(provider)).domain);
    for (const wrong of [undefined, null, {}, addresses, party.queue])
      expect(() => {
        passive.bind(wrong as never);
      }).toThrow(TypeError);
    passive.bind(party.events);
    await expect(party.events.close()).rejects.toThrow(code('ERR_FABRIC_BUSY'));
    await passive.listen();
    await passive.close();
    expect(() => passive.getName()).toThrow(code('ERR_FABRIC_CLOSED'));
    await expect(passive.listen()).rejects.toThrow(code('ERR_FABRIC_CLOSED'));
  });
});

describeOnProviders('waiting for events', {}, (provider) => {
  it('ends when the time is over', async () => {
    const { events } = await openSide(provider);
    expect(await events.sread(0)).toBeUndefined();
    expect(await events.sread(20)).toBeUndefined();
    for (const wrong of [-1, 0.5, Infinity]) await expect(events.sread(wrong)).rejects.toThrow(RangeError);
    await expect(events.sread('1' as never)).rejects.toThrow(TypeError);
  });

  it('ends when the queue is closed', async () => {
    const { fabric } = await openSide(provider);
    const events = await EventQueue.open(fabric);
    const waiting = expect(events.sread(BOUND_MS)).rejects.toThrow(code('ERR_FABRIC_CLOSED'));
    await events.close();
    await waiting;
    await expect(events.sread(1)).rejects.toThrow(code('ERR_FABRIC_CLOSED'));
  });
});
