/** A SharedReceiveContext of connected endpoints (FI_EP_MSG), as a server has one for all of its clients. */
import { expect, test } from 'vitest';
import { type Endpoint, Memory, SharedReceiveContext } from 'libfabric/fi';
import { Party, connectionInfo, until } from '../helpers/connections.js';
import { pattern, sameBytes } from '../helpers/fi.js';
import { type ProviderUnderTest, describeOnProviders } from '../helpers/providers.js';

const LENGTH = 256;
const unsupported = expect.objectContaining({ code: 'ERR_FABRIC_UNSUPPORTED' });

/** What a party's queue has told: errors by context, 0 where it went well. */
function readOf({ queue }: Party, told: Map<number, number>): void {
  const count = queue.read();
  for (let index = 0; index < count; index++)
    told.set(queue.completions.context(index), queue.completions.error(index));
}

interface Client {
  party: Party;
  here: Endpoint;
  /** The server's end. */
  there: Endpoint;
}

async function connect(server: Party, receive: SharedReceiveContext, address: Uint8Array): Promise<Client> {
  const party = await Party.open(server.provider);
  const here = await party.endpoint();
  await here.connect(address);
  const request = await server.event(party);
  const there = await server.endpoint(request.info, receive);
  await there.accept();
  const events = await Promise.all([party.event(server), server.event(party)]);
  expect(events.map(({ name }) => name)).toEqual(['FI_CONNECTED', 'FI_CONNECTED']);
  return { party, here, there };
}

const lacks = (provider: ProviderUnderTest) =>
  connectionInfo(provider, { receive: { contexts: 'FI_SHARED_CONTEXT' } }).then(
    () => undefined,
    () => `fi_getinfo lists no ${provider.name} of type FI_EP_MSG with FI_SHARED_CONTEXT`,
  );

describeOnProviders(
  'a receive context of several connections',
  { providers: ['tcp', 'sockets'], unless: lacks },
  (provider) => {
    test('takes the messages of all, and goes on where one ends', async () => {
      const server = await Party.open(provider, { receive: { contexts: 'FI_SHARED_CONTEXT' } });
      const receive = await server.keep(SharedReceiveContext.open(server.domain, server.info, server.queue));
      const passive = await server.listen();
      const clients = [
        await connect(server, receive, passive.getName()),
        await connect(server, receive, passive.getName()),
      ];
      const into = Memory.allocate(4 * LENGTH);
      const told = new Map<number, number>();
      // One more than there are messages at first: it waits while a connection ends.
      for (const context of [0, 1, 2])
        expect(receive.recv(into, context * LENGTH, LENGTH, context)).toBe(true);

      async function send({ party, here }: Client, seed: number, context: number): Promise<void> {
        const content = Memory.allocate(LENGTH);
        content.bytes.set(pattern(LENGTH, seed));
        const sent = new Map<number, number>();
        await until(provider, 'the message', () => {
          if (!sent.has(-1) && here.send(content, 0, LENGTH, 0, 0)) sent.set(-1, 0);
          readOf(party, sent);
          readOf(server, told);
          return sent.has(0) && told.has(context);
        });
        expect([sent.get(0), told.get(context)]).toEqual([0, 0]);
        const got = into.bytes.subarray(context * LENGTH, (context + 1) * LENGTH);
        expect(sameBytes(got, pattern(LENGTH, seed))).toBe(true);
      }

      for (const [index, client] of clients.entries()) await send(client, index + 1, index);
      expect(() => clients[0].there.recv(into, 0, LENGTH, 3)).toThrow(unsupported);
      expect(() => receive.send(into, 0, LENGTH, 0, 3)).toThrow(unsupported);

      await clients[0].there.close();
      await expect(receive.close()).rejects.toMatchObject({ code: 'ERR_FABRIC_BUSY' });
      expect(receive.recv(into, 3 * LENGTH, LENGTH, 3)).toBe(true);
      await send(clients[1], 5, 2);
      await send(clients[1], 6, 3);
    });

    test('is answered by the endpoints themselves', async () => {
      const server = await Party.open(provider, { receive: { contexts: 'FI_SHARED_CONTEXT' } });
      const receive = await server.keep(SharedReceiveContext.open(server.domain, server.info, server.queue));
      const passive = await server.listen();
      const { party, here, there } = await connect(server, receive, passive.getName());
      const answer = Memory.allocate(LENGTH);
      answer.bytes.set(pattern(LENGTH, 9));
      const into = Memory.allocate(LENGTH);
      expect(here.recv(into, 0, LENGTH, 0)).toBe(true);
      expect(there.send(answer, 0, LENGTH, 0, 0)).toBe(true);
      const [sent, got] = [new Map<number, number>(), new Map<number, number>()];
      await until(provider, 'the answer', () => {
        readOf(server, sent);
        readOf(party, got);
        return sent.has(0) && got.has(0);
      });
      expect([sent.get(0), got.get(0)]).toEqual([0, 0]);
      expect(sameBytes(into.bytes, pattern(LENGTH, 9))).toBe(true);
      // A close of the endpoint is no end of what it shared.
      await there.close();
      expect(receive.closed).toBe(false);
      await receive.close();
    });
  },
);
