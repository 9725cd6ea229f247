// What the loops over libfabric/fi run on: the objects that bench/native/endpoint.c opens, with the same hints.
import {
  AddressVector,
  CompletionQueue,
  Domain,
  Endpoint,
  EventQueue,
  FI_CONTEXT,
  FI_CONTEXT2,
  FI_MSG,
  FI_RMA,
  FI_SOURCE,
  Fabric,
  type Info,
  Memory,
  MemoryRegion,
  getInfo,
} from 'libfabric/fi';
import { type Settings, exchange } from './link.js';

/** At most so many operations are in flight. */
const CAPACITY = 256;

/** Completions read in one call. */
export const READ_BATCH = 64;
/** How long one call looks for one. */
export const SPIN_MICROSECONDS = 1000;

/** An endpoint with all that it needs, and one slot of memory for each operation in flight. */
export interface Opened {
  info: Info;
  domain: Domain;
  queue: CompletionQueue;
  endpoint: Endpoint;
  memory: Memory;
  /** Bytes from one slot to the next. */
  stride: number;
  /** The other process. */
  peer: number;
  close: () => Promise<void>;
}

async function findInfo(provider: string, caps: bigint): Promise<Info> {
  const hints = {
    providerName: provider,
    endpointType: 'FI_EP_RDM',
    caps,
    mode: FI_CONTEXT | FI_CONTEXT2,
    memoryMode: ['FI_MR_LOCAL', 'FI_MR_VIRT_ADDR', 'FI_MR_ALLOCATED', 'FI_MR_PROV_KEY'],
    threading: 'FI_THREAD_SAFE',
    addressVectorType: 'FI_AV_TABLE',
    transmit: { messageOrder: ['FI_ORDER_SAS'] },
    receive: { messageOrder: ['FI_ORDER_SAS'] },
  };
  const named = (infos: Info[]): Info | undefined => infos.find((info) => info.provider === provider);
  let found = named(await getInfo(hints));
  if (found?.addressFormat.startsWith('FI_SOCKADDR') === true)
    found = named(await getInfo(hints, { node: '127.0.0.1', flags: FI_SOURCE }));
  if (found === undefined) throw new Error(`no RDM provider is named exactly ${provider}`);
  return found;
}

/** Opens an endpoint, and learns of the other process's. */
export async function openLoop(settings: Settings, slots: number, rma = false): Promise<Opened> {
  const info = await findInfo(settings.provider, rma ? FI_MSG | FI_RMA : FI_MSG);
  const fabric = await Fabric.open(info);
  const domain = await Domain.open(fabric, info);
  const events = await EventQueue.open(fabric);
  const queue = await CompletionQueue.open(domain, { capacity: CAPACITY });
  const addresses = await AddressVector.open(domain);
  const endpoint = await Endpoint.open(domain, info);
  endpoint.bind(events);
  endpoint.bind(queue);
  endpoint.bind(addresses);
  await endpoint.enable();
  const stride = Math.ceil((settings.size + 64) / 128) * 128;
  const memory = Memory.allocate(slots * stride);
  memory.bytes.fill(0x78);
  const region = info.memoryMode.includes('FI_MR_LOCAL')
    ? await MemoryRegion.register(domain, memory, {
        access: rma ? ['send', 'recv', 'read', 'write'] : ['send', 'recv'],
      })
    : undefined;
  const theirs = await exchange(Buffer.from(endpoint.getName()).toString('base64'));
  const peer = addresses.insert(Buffer.from(theirs, 'base64'));
  const close = async (): Promise<void> => {
    await endpoint.close();
    await region?.close();
    for (const object of [queue, addresses, events, domain, fabric]) await object.close();
  };
  return { info, domain, queue, endpoint, memory, stride, peer, close };
}

/** The bytes of a slot. */
export function slotBytes({ memory, stride }: Opened, slot: number, size: number): Uint8Array {
  return memory.bytes.subarray(slot * stride, slot * stride + size);
}

/** The contexts of the completions that were read last; an operation that failed is an error. */
export function contextOf(queue: CompletionQueue, index: number): number {
  const { completions } = queue;
  const error = completions.error(index);
  if (error !== 0) throw new Error(`completion failed: errno ${error}`);
  return completions.context(index);
}
