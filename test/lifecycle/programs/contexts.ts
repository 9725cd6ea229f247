// What provider sockets has beyond others, in use: contexts, shared ones, and operations that wait for a counter.
import {
  AddressVector,
  CompletionQueue,
  Counter,
  DeferredWork,
  Domain,
  Endpoint,
  FI_CONTEXT,
  FI_CONTEXT2,
  FI_SOURCE,
  Fabric,
  type FabricObject,
  type Hints,
  type Info,
  Memory,
  ReceiveContext,
  ScalableEndpoint,
  SharedReceiveContext,
  SharedTransmitContext,
  TransmitContext,
  getInfo,
} from 'libfabric/fi';
import type { Place } from './stages.js';

export type ContextStage = 'scalable' | 'shared' | 'waiting';

/** Objects in the order in which they were opened, for as long as the program lives. */
type Objects = (FabricObject | Memory)[];

async function infoWith(place: Place, hints: Hints): Promise<Info> {
  const [info] = await getInfo(
    {
      ...{ providerName: place.provider, endpointType: 'FI_EP_RDM', addressVectorType: 'FI_AV_TABLE' },
      ...{ caps: ['FI_MSG', 'FI_TAGGED', 'FI_TRIGGER'], mode: FI_CONTEXT | FI_CONTEXT2 },
      ...{ threading: 'FI_THREAD_SAFE' },
      ...hints,
    },
    place.node === undefined ? {} : { node: place.node, flags: FI_SOURCE },
  );
  return info;
}

async function openGround(info: Info, objects: Objects, receiveContextBits = 0) {
  const fabric = await Fabric.open(info);
  const domain = await Domain.open(fabric, info);
  const queue = await CompletionQueue.open(domain);
  const addresses = await AddressVector.open(domain, { receiveContextBits });
  objects.push(fabric, domain, queue, addresses);
  return { domain, queue, addresses };
}

async function openEndpoint(
  { domain, queue, addresses }: Awaited<ReturnType<typeof openGround>>,
  shared: readonly (SharedReceiveContext | SharedTransmitContext)[] = [],
): Promise<Endpoint> {
  const endpoint = await Endpoint.open(domain, domain.info);
  for (const other of [queue, addresses, ...shared]) endpoint.bind(other);
  await endpoint.enable();
  return endpoint;
}

/** The address of one that takes nothing in, since nobody reads its queue: what is sent to it stays under way. */
async function silentAddress(place: Place, objects: Objects): Promise<Uint8Array> {
  const ground = await openGround(await infoWith(place, { dataProgress: 'FI_PROGRESS_MANUAL' }), objects);
  const endpoint = await openEndpoint(ground);
  objects.push(endpoint);
  return endpoint.getName();
}

function expectTaken(what: string, taken: boolean): void {
  if (!taken) throw new Error(`${what} was not taken`);
}

/** A scalable endpoint with two contexts each way: receives posted in both, sends under way from both. */
async function scalable(place: Place): Promise<Objects> {
  const objects: Objects = [];
  const silent = await silentAddress(place, objects);
  const contexts = { contexts: 2 };
  const info = await infoWith(place, { transmit: contexts, receive: contexts });
  const { domain, queue, addresses } = await openGround(info, objects, 1);
  const endpoint = await ScalableEndpoint.open(domain, info);
  endpoint.bind(addresses);
  const memory = Memory.allocate(1 << 20);
  objects.push(endpoint, memory);
  for (const index of [0, 1]) {
    const [transmit, receive] = [
      await TransmitContext.open(endpoint, index),
      await ReceiveContext.open(endpoint, index),
    ];
    for (const context of [transmit, receive]) {
      context.bind(queue);
      await context.enable();
    }
    objects.push(transmit, receive);
    const peer = addresses.insert(silent);
    expectTaken('a receive', receive.recv(memory, 0, 1024, 2 * index));
    expectTaken('a send', transmit.send(memory, 0, 1 << 20, peer, 2 * index + 1));
  }
  return objects;
}

/** Two endpoints that share their contexts: receives posted, sends under way, a message that nobody has received. */
async function shared(place: Place): Promise<Objects> {
  const objects: Objects = [];
  const silent = await silentAddress(place, objects);
  const sharing = { contexts: 'FI_SHARED_CONTEXT' } as const;
  const info = await infoWith(place, { transmit: sharing, receive: sharing });
  const ground = await openGround(info, objects);
  const transmit = await SharedTransmitContext.open(ground.domain, info);
  const receive = await SharedReceiveContext.open(ground.domain, info, ground.queue);
  const memory = Memory.allocate(1 << 20);
  objects.push(transmit, receive, memory);
  for (const index of [0, 1]) {
    const endpoint = await openEndpoint(ground, [receive, transmit]);
    objects.push(endpoint);
    const self = ground.addresses.insert(endpoint.getName());
    expectTaken('a receive', receive.recvTagged(memory, 0, 64, 1n, 4 * index));
    expectTaken('a send', endpoint.send(memory, 0, 64, self, 4 * index + 1));
    expectTaken('a send', endpoint.send(memory, 0, 1 << 20, ground.addresses.insert(silent), 4 * index + 2));
  }
  return objects;
}

/** A send and deferred work that wait for a counter, which nobody will raise. */
async function waiting(place: Place): Promise<Objects> {
  const objects: Objects = [];
  const ground = await openGround(await infoWith(place, {}), objects);
  const endpoint = await openEndpoint(ground);
  const [counter, completion] = [await Counter.open(ground.domain), await Counter.open(ground.domain)];
  const memory = Memory.allocate(64);
  const peer = ground.addresses.insert(endpoint.getName());
  const trigger = { counter, threshold: 1 };
  expectTaken('a send', endpoint.sendMessage([{ memory }], peer, 0, { trigger }));
  const operation = { type: 'FI_OP_SEND', endpoint, parts: [{ memory }], peer } as const;
  const work = DeferredWork.queue(ground.domain, { ...trigger, completion, operation });
  objects.push(endpoint, counter, completion, memory, work);
  return objects;
}

export const contextStages = { scalable, shared, waiting } as const;
