// Connections (FI_EP_MSG): a server listens, a client connects, and both sides exchange a message. Both run here.
import * as fi from 'libfabric/fi';
import { place } from '../options.js';
import { until } from '../side.js';

// libfabric 1.17 calls it net.
const tcp = fi.libraryVersion().version < 0x10012 ? 'net' : 'tcp';
const { provider = tcp, node = '127.0.0.1' } = place();
const mode = fi.FI_CONTEXT | fi.FI_CONTEXT2;
const hints = { ...{ providerName: provider, endpointType: 'FI_EP_MSG', caps: ['FI_MSG'] }, mode };
const infos = await fi.getInfo(hints, { node, flags: fi.FI_SOURCE });
const info = infos.find((entry) => entry.provider === provider);
if (info === undefined) throw new Error(`the provider ${provider} has no connections on ${node}`);

/** What both sides have, whether they listen or connect. */
const openParty = async (own: fi.Info) => {
  const fabric = await fi.Fabric.open(own);
  const events = await fi.EventQueue.open(fabric);
  const domain = await fi.Domain.open(fabric, own);
  const queue = await fi.CompletionQueue.open(domain);
  const endpointOf = async (of: fi.Info): Promise<fi.Endpoint> => {
    const endpoint = await fi.Endpoint.open(domain, of);
    for (const object of [events, queue]) endpoint.bind(object);
    await endpoint.enable();
    return endpoint;
  };
  const close = async (...endpoints: readonly fi.FabricObject[]): Promise<void> => {
    for (const object of [...endpoints, queue, domain, events, fabric]) await object.close();
  };
  return { fabric, events, queue, endpointOf, close };
};
type Party = Awaited<ReturnType<typeof openParty>>;

const [server, client] = [await openParty(info), await openParty(info)];
const seen: [Party, fi.FabricEvent][] = [];
/**
 * The next event of a party. All queues of both are read meanwhile, which is what makes progress: with tcp of libfabric 1.17
 * a side's connections go on only while its own EventQueue is read.
 */
const eventOf = async (party: Party): Promise<fi.FabricEvent> => {
  let place = -1;
  await until(() => {
    for (const one of [server, client]) {
      one.queue.read();
      const event = one.events.read();
      if (event !== undefined) seen.push([one, event]);
    }
    place = seen.findIndex(([of]) => of === party);
    return place >= 0;
  });
  return seen.splice(place, 1)[0][1];
};

const passive = await fi.PassiveEndpoint.open(server.fabric, info);
passive.bind(server.events);
await passive.listen();
const here = await client.endpointOf(info);
await here.connect(passive.getName(), Buffer.from('it is me'));
const request = await eventOf(server);
const there = await server.endpointOf(request.info ?? info);
await there.accept();
for (const party of [client, server]) console.log((await eventOf(party)).name);

const [from, into] = [fi.Memory.allocate(64), fi.Memory.allocate(64)];
from.bytes.set(Buffer.from('hello'));
await until(() => there.recv(into, 0, 64, 0));
await until(() => here.send(from, 0, 5, 0, 0));
let length = -1;
await until(() => {
  client.queue.read();
  if (server.queue.read() !== 0) length = server.queue.completions.length(0);
  return length >= 0;
});
console.log(`the server was told: ${Buffer.from(into.bytes.subarray(0, length)).toString()}`);
await client.close(here);
await server.close(there, passive);
