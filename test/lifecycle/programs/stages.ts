// Brings an endpoint to a stage of its life, for the programs of the lifecycle tests.
import { type Endpoint, open } from 'libfabric';
import {
  AddressVector,
  CompletionQueue,
  Domain,
  Endpoint as FiEndpoint,
  EventQueue,
  FI_CONTEXT,
  FI_CONTEXT2,
  FI_SOURCE,
  Fabric,
  Memory,
  MemoryRegion,
  SharedMemoryName,
  getInfo,
} from 'libfabric/fi';

import { type ContextStage, contextStages } from './contexts.js';

/** Where to open endpoints. */
export interface Place {
  provider: string;
  node?: string;
}

export type Stage = 'created' | 'enabled' | 'receiving' | 'sending' | 'writing' | 'closing' | ContextStage;

/** What a stage keeps; a program that forgets it has nothing left of the endpoint. */
export interface Staged {
  endpoint?: Endpoint;
  objects?: FiObjects;
  others?: readonly object[];
  closing?: Promise<void>;
}

export interface FiObjects {
  fabric: Fabric;
  domain: Domain;
  events: EventQueue;
  queue: CompletionQueue;
  addresses: AddressVector;
  endpoint: FiEndpoint;
}

/** Libfabric's objects up to the endpoint. The endpoint is enabled only on request: it has a file in /dev/shm then. */
export async function openObjects(
  place: Place,
  enable = false,
  caps: readonly string[] = ['FI_MSG'],
): Promise<FiObjects> {
  const name = place.provider === 'shm' ? SharedMemoryName.claim() : undefined;
  const node = name?.name ?? place.node;
  const infos = await getInfo(
    {
      providerName: place.provider,
      endpointType: 'FI_EP_RDM',
      caps,
      mode: FI_CONTEXT | FI_CONTEXT2,
      memoryMode: ['FI_MR_LOCAL', 'FI_MR_VIRT_ADDR', 'FI_MR_ALLOCATED', 'FI_MR_PROV_KEY'],
      threading: 'FI_THREAD_SAFE',
      addressVectorType: 'FI_AV_TABLE',
    },
    node === undefined ? {} : { node, flags: FI_SOURCE },
  );
  const info = infos.find((entry) => entry.provider === place.provider);
  if (info === undefined) throw new Error(`fi_getinfo lists no ${place.provider}`);
  const fabric = await Fabric.open(info);
  const domain = await Domain.open(fabric, info);
  const events = await EventQueue.open(fabric);
  const queue = await CompletionQueue.open(domain);
  const addresses = await AddressVector.open(domain);
  const endpoint = await FiEndpoint.open(domain, info);
  for (const object of [events, queue, addresses]) endpoint.bind(object);
  if (enable) {
    name?.giveTo(endpoint);
    await endpoint.enable();
  } else {
    name?.release();
  }
  return { fabric, domain, events, queue, addresses, endpoint };
}

// Never read, so that what is sent to it stays under way. Kept for the life of the process.
const silent: unknown[] = [];

/** The contact of a peer that never reads its queue. */
export async function silentPeer(place: Place): Promise<Uint8Array> {
  const objects = await openObjects(place, true);
  silent.push(objects);
  return objects.endpoint.getName();
}

const ignore = (): void => undefined;

/** Sends in flight, and where the provider says that it is full, sends that wait for room. */
export async function startSending(endpoint: Endpoint, place: Place): Promise<void> {
  const peer = endpoint.peer(await silentPeer(place));
  const large = new Uint8Array(4 << 20);
  const small = new Uint8Array(1024);
  for (let count = 0; count < 4; count++) endpoint.send(peer, large).catch(ignore);
  for (let count = 0; count < 2000; count++)
    endpoint.send(peer, small, { completion: 'buffer' }).catch(ignore);
  const { sendsWaiting, sendsInFlight } = endpoint.stats();
  if (sendsWaiting + sendsInFlight === 0) throw new Error('nothing is being sent');
}

/** Memory that peers may reach, and reads and writes under way of the memory of one that never reads its queue. */
async function startWriting(place: Place): Promise<Endpoint> {
  const access = ['remoteRead', 'remoteWrite'] as const;
  const objects = await openObjects(place, true, ['FI_MSG', 'FI_RMA']);
  const region = await MemoryRegion.register(objects.domain, Memory.allocate(1 << 20), { access });
  silent.push(objects, region);
  const endpoint = await open({ ...place, features: ['rma'] });
  await endpoint.memory.register(1 << 20, access);
  const peer = endpoint.peer(objects.endpoint.getName());
  const lease = endpoint.memory.alloc(1 << 20);
  for (let count = 0; count < 1000; count++) {
    endpoint.write(peer, lease, region.remote).catch(ignore);
    endpoint.read(peer, 1000, region.remote).catch(ignore);
  }
  const { sendsWaiting, sendsInFlight } = endpoint.stats();
  if (sendsWaiting + sendsInFlight === 0) throw new Error('nothing is being written');
  return endpoint;
}

/** A receive of the program's and an iterator, both waiting. */
function startReceiving(endpoint: Endpoint): void {
  endpoint.recv(64).catch(ignore);
  void (async () => {
    for await (const message of endpoint.messages()) ignore.call(message);
  })();
  if (endpoint.stats().receivesPosted === 0) throw new Error('nothing is being received');
}

/** `unattended`: as far as the stage goes without anybody waiting, so that the endpoint can be collected. */
export async function reach(stage: Stage, place: Place, unattended = false): Promise<Staged> {
  if (stage === 'writing') return { endpoint: await startWriting(place) };
  if (stage === 'scalable' || stage === 'shared' || stage === 'waiting')
    return { others: await contextStages[stage](place) };
  if (stage === 'created') return { objects: await openObjects(place) };
  const endpoint = await open(place);
  switch (stage) {
    case 'enabled':
      return { endpoint };
    case 'receiving':
      if (unattended) endpoint.tryRecv();
      else startReceiving(endpoint);
      return { endpoint };
    case 'sending':
      if (unattended) {
        const peer = endpoint.peer(await silentPeer(place));
        for (let count = 0; count < 100; count++) endpoint.trySend(peer, new Uint8Array(1024));
      } else {
        await startSending(endpoint, place);
      }
      return { endpoint };
    case 'closing':
      await startSending(endpoint, place);
      startReceiving(endpoint);
      // Long enough for fi_close on a machine that is busy: what takes longer is told on stderr.
      return { endpoint, closing: endpoint.close({ timeoutMs: 300 }) };
  }
}
