// sendBatch(): many small messages out of one chunk, in one crossing into native code.
import { Endpoint as FiEndpoint } from '../fi/index.js';
import type { Core } from './core.js';
import { Kind, type Operation } from './operation.js';
import type { Peer } from './peer.js';
import { type Chunk, Lease } from './slab.js';

/** Each message starts on a cache line of its own. */
function aligned(length: number): number {
  return (length + 63) & ~63;
}

/** Copied messages up to so many bytes share a chunk. */
export const BATCH_BYTES = 65536;

/** Those of the batch that is being posted: one array for all, which are posted one after the other. */
const posting: Operation[] = [];

/** How many messages from `first` on fit one chunk, and what they need of it. */
function measure(
  core: Core,
  peer: Peer,
  items: readonly (Uint8Array | Lease)[],
  first: number,
): { count: number; bytes: number } {
  const { sendsFree } = core.operations;
  const most = Math.min(items.length - first, FiEndpoint.batchLimit);
  let count = 0;
  let bytes = 0;
  while (count < most) {
    const item = items[first + count];
    if (item instanceof Lease || bytes + item.length > BATCH_BYTES) break;
    // A peer gets no more than it leaves to the others.
    if (peer.inFlight + 2 * count >= sendsFree) break;
    bytes += aligned(item.length);
    count += 1;
  }
  return { count, bytes };
}

/** Posts small copied messages from `first` on, out of one chunk; how many the provider took. */
export function postBatch(
  core: Core,
  peer: Peer,
  items: readonly (Uint8Array | Lease)[],
  first: number,
): number {
  const { count, bytes } = measure(core, peer, items, first);
  if (count === 0 || !core.hasRoomFor(peer, bytes)) return 0;
  const chunk = core.memory.take(bytes);
  const { failure, ready } = chunk.slab;
  if (!ready) {
    core.memory.release(chunk);
    if (failure !== undefined) throw failure;
    return 0;
  }
  const { batch } = FiEndpoint;
  const memory = chunk.memory.id;
  let offset = 0;
  posting.length = 0;
  for (let index = 0; index < count; index++) {
    const item = items[first + index] as Uint8Array;
    const operation = core.operations.takeSend();
    if (operation === undefined) break;
    operation.length = item.length;
    posting.push(operation);
    chunk.bytes.set(item, offset);
    batch[index * 4] = operation.context;
    batch[index * 4 + 1] = memory;
    batch[index * 4 + 2] = chunk.offset + offset;
    batch[index * 4 + 3] = item.length;
    offset += aligned(item.length);
  }
  let taken = 0;
  try {
    taken = core.endpoint.sendBatch(posting.length, peer.address);
  } finally {
    accountBatch(core, peer, chunk, posting, taken);
  }
  if (taken === 0) core.counters.timesWithoutRoom += 1;
  return taken;
}

/** Injects messages from `first` on, by way of a chunk that is free again at once; how many the provider took. */
export function injectBatch(
  core: Core,
  peer: Peer,
  items: readonly (Uint8Array | Lease)[],
  first: number,
  scratch: Chunk,
): number {
  const { batch } = FiEndpoint;
  const memory = scratch.memory.id;
  const most = Math.min(items.length - first, FiEndpoint.batchLimit);
  const room = scratch.bytes.length;
  let count = 0;
  let offset = 0;
  while (count < most) {
    const item = items[first + count] as Uint8Array;
    const { length } = item;
    if (offset + length > room) break;
    scratch.bytes.set(item, offset);
    batch[count * 4 + 1] = memory;
    batch[count * 4 + 2] = scratch.offset + offset;
    batch[count * 4 + 3] = length;
    offset += aligned(length);
    count += 1;
  }
  const taken = core.endpoint.injectBatch(count, peer.address);
  const { counters } = core;
  let bytes = 0;
  for (let index = 0; index < taken; index++) bytes += batch[index * 4 + 3];
  counters.bytesSent += bytes;
  counters.bytesCopied += bytes;
  counters.messagesSent += taken;
  if (taken === 0) counters.timesWithoutRoom += 1;
  return taken;
}

function accountBatch(
  core: Core,
  peer: Peer,
  chunk: Chunk,
  operations: readonly Operation[],
  taken: number,
): void {
  for (let index = operations.length - 1; index >= taken; index--) core.operations.release(operations[index]);
  if (taken === 0) {
    core.memory.release(chunk);
    return;
  }
  chunk.users = taken;
  core.bytesInFlight += chunk.bytes.byteLength;
  peer.bytesInFlight += chunk.bytes.byteLength;
  for (let index = 0; index < taken; index++) {
    const operation = operations[index];
    operation.kind = Kind.Send;
    operation.chunk = chunk;
    operation.peer = peer;
    core.counters.bytesSent += operation.length;
    core.counters.bytesCopied += operation.length;
  }
  peer.inFlight += taken;
  core.counters.messagesSent += taken;
}
